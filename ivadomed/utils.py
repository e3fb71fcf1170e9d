"""The names of ``ivadomed.utils`` of earlier versions: those that moved, and those that are kept here."""

from ivadomed.runtime.moved import moved_names

MOVED = {
    "HookBasedFeatureExtractor": "ivadomed.visualize.HookBasedFeatureExtractor",
    "SliceFilter": "ivadomed.loader.slice_filter.SliceFilter",
    "combine_predictions": "ivadomed.uncertainty.combine_predictions",
    "convert_labels_to_RGB": "ivadomed.visualize.convert_labels_to_RGB",
    "cuda": "ivadomed.runtime.device.cuda",
    "define_device": "ivadomed.runtime.device.define_device",
    "initialize_wandb": "ivadomed.training.tracking.initialize_wandb",
    "mixup": "ivadomed.training.mixup.mixup",
    "onnx_inference": "ivadomed.inference.onnx_inference",
    "plot_transformed_sample": "ivadomed.visualize.plot_transformed_sample",
    "pred_to_nib": "ivadomed.inference.pred_to_nib",
    "reorient_image": "ivadomed.loader.utils.reorient_image",
    "run_uncertainty": "ivadomed.uncertainty.run_uncertainty",
    "save_color_labels": "ivadomed.visualize.save_color_labels",
    "save_feature_map": "ivadomed.visualize.save_feature_map",
    "save_mixup_sample": "ivadomed.training.mixup.save_mixup_sample",
    "save_onnx_model": "ivadomed.models.onnx.save_onnx_model",
    "save_tensorboard_img": "ivadomed.visualize.save_img",
    "segment_volume": "ivadomed.inference.segment_volume",
    "structurewise_uncertainty": "ivadomed.uncertainty.structurewise_uncertainty",
    "unstack_tensors": "ivadomed.loader.utils.unstack_tensors",
    "volume_reconstruction": "ivadomed.inference.volume_reconstruction",
    "voxelwise_uncertainty": "ivadomed.uncertainty.voxelwise_uncertainty",
}

KEPT = {
    name: f"ivadomed.compat.utils.{name}"
    for name in (
        "AXIS_DCT",
        "CLASSIFIER_LIST",
        "ArgParseException",
        "Metavar",
        "check_exe",
        "display_selected_model_spec",
        "display_selected_transfoms",
        "format_path_data",
        "generate_sha_256",
        "get_arguments",
        "get_command",
        "get_linux_system_memory",
        "get_mac_system_memory",
        "get_path_data",
        "get_path_output",
        "get_system_memory",
        "get_task",
        "get_timestamp",
        "get_win_system_memory",
        "init_ivadomed",
        "print_stats",
        "similarity_score",
    )
}
KEPT["__ivadomed_dir__"] = "ivadomed.compat.utils.IVADOMED_DIR"

__getattr__ = moved_names(__name__, MOVED, KEPT)
