"""Pictures for people. A name is loaded when it is asked for: torch and matplotlib take seconds."""

from ivadomed.runtime.moved import moved_names

_NAMES = {
    "colours": "COLOURS",
    "features": "HookBasedFeatureExtractor save_feature_map",
    "gif": "AnimatedGif LoopingPillowWriter",
    "labels": "save_color_labels",
    "overlays": "overlap_im_seg overlay save_overlays upright",
    "tensorboard": "convert_labels_to_RGB save_img",
    "transformed": "plot_transformed_sample",
}
KEPT = {
    name: f"ivadomed.visualize.{module}.{name}" for module, names in _NAMES.items() for name in names.split()
}

__all__ = sorted(KEPT)
__getattr__ = moved_names(__name__, {}, KEPT)
