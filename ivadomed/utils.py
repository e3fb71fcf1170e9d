"""Where the names of ``ivadomed.utils`` of earlier versions are now."""

from ivadomed.moved import moved_names

MOVED = {
    "SliceFilter": "ivadomed.loader.slice_filter.SliceFilter",
    "combine_predictions": "ivadomed.uncertainty.combine_predictions",
    "convert_labels_to_RGB": "ivadomed.visualize.convert_labels_to_RGB",
    "define_device": "ivadomed.device.define_device",
    "get_task": "ivadomed.config.derived.task",
    "mixup": "ivadomed.mixup.mixup",
    "plot_transformed_sample": "ivadomed.visualize.plot_transformed_sample",
    "pred_to_nib": "ivadomed.inference.pred_to_nib",
    "reorient_image": "ivadomed.loader.utils.reorient_image",
    "run_uncertainty": "ivadomed.uncertainty.run_uncertainty",
    "save_mixup_sample": "ivadomed.mixup.save_mixup_sample",
    "save_tensorboard_img": "ivadomed.visualize.save_img",
    "segment_volume": "ivadomed.inference.segment_volume",
    "structurewise_uncertainty": "ivadomed.uncertainty.structurewise_uncertainty",
    "voxelwise_uncertainty": "ivadomed.uncertainty.voxelwise_uncertainty",
}

__getattr__ = moved_names(__name__, MOVED)
