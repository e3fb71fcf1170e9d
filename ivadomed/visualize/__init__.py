"""Pictures for people. A name is loaded when it is asked for: torch and matplotlib take seconds."""

from ivadomed.runtime.moved import moved_names

KEPT = {
    "ivadomed.visualize.before_after": "plot_transformed_sample",
    "ivadomed.visualize.colours": "COLOURS",
    "ivadomed.visualize.features": "HookBasedFeatureExtractor save_feature_map",
    "ivadomed.visualize.gif": "AnimatedGif LoopingPillowWriter",
    "ivadomed.visualize.overlays": "overlap_im_seg overlay save_color_labels save_overlays upright",
    "ivadomed.visualize.tensorboard": "convert_labels_to_RGB save_img",
}

__all__ = sorted(name for names in KEPT.values() for name in names.split())
__getattr__ = moved_names(__name__, {}, KEPT)
