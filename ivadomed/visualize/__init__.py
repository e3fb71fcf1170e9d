"""Pictures for people."""

from typing import Any

from ivadomed.visualize.colours import COLOURS
from ivadomed.visualize.features import HookBasedFeatureExtractor, save_feature_map
from ivadomed.visualize.labels import save_color_labels
from ivadomed.visualize.overlays import overlap_im_seg, overlay, save_overlays, upright
from ivadomed.visualize.tensorboard import convert_labels_to_RGB, save_img
from ivadomed.visualize.transformed import plot_transformed_sample

__all__ = [
    "COLOURS",
    "AnimatedGif",
    "HookBasedFeatureExtractor",
    "LoopingPillowWriter",
    "convert_labels_to_RGB",
    "overlap_im_seg",
    "overlay",
    "plot_transformed_sample",
    "save_color_labels",
    "save_feature_map",
    "save_img",
    "save_overlays",
    "upright",
]


def __getattr__(name: str) -> Any:
    if name in ("AnimatedGif", "LoopingPillowWriter"):  # matplotlib is slow to load, and few need it
        from ivadomed.visualize import gif

        return getattr(gif, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
