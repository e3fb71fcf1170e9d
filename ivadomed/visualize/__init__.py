"""Visualizations. Names are loaded on first use, because importing torch and matplotlib takes seconds."""

from __future__ import annotations

import numpy as np

from ivadomed.runtime.moved import moved_names

# One colour per class, distinguishable for colour-blind readers too (Okabe and Ito, 2008).
COLOURS = np.array(
    [[213, 94, 0], [0, 158, 115], [86, 180, 233], [204, 121, 167], [0, 114, 178], [230, 159, 0]], np.float32
)
"""[6, 3] red, green, blue in 0..255."""

LINE_ORDER = (0, 4, 1, 3, 2, 5)
"""Order of the colours for lines of a plot: the first two contrast most."""

KEPT = {
    "ivadomed.visualize.before_after": "plot_transformed_sample",
    "ivadomed.visualize.features": "HookBasedFeatureExtractor save_feature_map",
    "ivadomed.visualize.gif": "AnimatedGif LoopingPillowWriter",
    "ivadomed.visualize.overlays": "overlap_im_seg overlay save_color_labels save_overlays upright",
    "ivadomed.visualize.slices": "SliceStack stack_slices",
    "ivadomed.visualize.tensorboard": "convert_labels_to_RGB save_img",
}

__all__ = ["COLOURS", "LINE_ORDER", *(name for names in KEPT.values() for name in names.split())]
__getattr__ = moved_names(__name__, {}, KEPT)
