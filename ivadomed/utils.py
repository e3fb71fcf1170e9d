"""Where the names of ``ivadomed.utils`` of earlier versions are now."""

from ivadomed.moved import moved_names

MOVED = {
    "HookBasedFeatureExtractor": "ivadomed.visualize.HookBasedFeatureExtractor",
    "SliceFilter": "ivadomed.loader.slice_filter.SliceFilter",
    "combine_predictions": "ivadomed.uncertainty.combine_predictions",
    "convert_labels_to_RGB": "ivadomed.visualize.convert_labels_to_RGB",
    "cuda": "ivadomed.runtime.device.cuda",
    "define_device": "ivadomed.runtime.device.define_device",
    "get_task": "ivadomed.config.derived.task",
    "initialize_wandb": "ivadomed.training.tracking.initialize_wandb",
    "mixup": "ivadomed.mixup.mixup",
    "onnx_inference": "ivadomed.inference.onnx_inference",
    "plot_transformed_sample": "ivadomed.visualize.plot_transformed_sample",
    "pred_to_nib": "ivadomed.inference.pred_to_nib",
    "reorient_image": "ivadomed.loader.utils.reorient_image",
    "run_uncertainty": "ivadomed.uncertainty.run_uncertainty",
    "save_color_labels": "ivadomed.visualize.save_color_labels",
    "save_feature_map": "ivadomed.visualize.save_feature_map",
    "save_mixup_sample": "ivadomed.mixup.save_mixup_sample",
    "save_onnx_model": "ivadomed.models.onnx.save_onnx_model",
    "save_tensorboard_img": "ivadomed.visualize.save_img",
    "segment_volume": "ivadomed.inference.segment_volume",
    "structurewise_uncertainty": "ivadomed.uncertainty.structurewise_uncertainty",
    "unstack_tensors": "ivadomed.loader.utils.unstack_tensors",
    "voxelwise_uncertainty": "ivadomed.uncertainty.voxelwise_uncertainty",
}

__getattr__ = moved_names(__name__, MOVED)
