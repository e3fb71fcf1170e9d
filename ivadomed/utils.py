"""Import path of ivadomed 2; implemented in `ivadomed.compat.utils`, with other names moved elsewhere."""

from ivadomed.compat.utils import *
from ivadomed.compat.utils import __ivadomed_dir__ as __ivadomed_dir__
from ivadomed.runtime.moved import moved_names

_PLACES = {
    "ivadomed.inference": "onnx_inference pred_to_nib segment_volume volume_reconstruction",
    "ivadomed.loader.slice_filter": "SliceFilter",
    "ivadomed.loader.utils": "reorient_image unstack_tensors",
    "ivadomed.models.onnx": "save_onnx_model",
    "ivadomed.runtime.device": "cuda define_device",
    "ivadomed.training.mixup": "mixup save_mixup_sample",
    "ivadomed.training.monitor": "initialize_wandb",
    "ivadomed.uncertainty": "combine_predictions run_uncertainty structurewise_uncertainty voxelwise_uncertainty",
    "ivadomed.visualize": "HookBasedFeatureExtractor convert_labels_to_RGB plot_transformed_sample save_color_labels "
    "save_feature_map",
}
MOVED = {name: f"{place}.{name}" for place, names in _PLACES.items() for name in names.split()}
MOVED["save_tensorboard_img"] = "ivadomed.visualize.save_img"

__getattr__ = moved_names(__name__, MOVED)
