"""Training settings determined by experiments, each with its reason.

A pass is as many samples as contain the voxels of the training images, at least one per image.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

# Samples.

CROPPED_VOXELS = 64**3
"""Voxels up to which a volume counts as a box around the object and is cropped to the region of the labels."""
LABEL_MARGIN = 1
"""Margin in voxels on either side of the labels. Hippocampi: boxes of 32 x 56 x 40 were as good as 48 x 64 x 48."""
CONTEXT = 0.75
"""Minimum fraction of the median image in a crop along each axis: surroundings of small objects are informative."""
FOREGROUND = {False: 0.33, True: 0.5}
"""Fraction of random patches centered on a label (nnU-Net: a third); the second is for lesions."""
LESION_PATCH = 1 / 3
"""Maximum fraction of a volume in a patch if all classes are lesions, which are too small a part of whole volumes.
Phantom, 10 subjects, ten minutes on a core: Dice 0.48 with patches, 0 with whole volumes."""
OVERLAP = 0.5
"""Overlap of neighboring patches as a fraction (nnU-Net); borders are predicted worse."""
MUCH_PADDING = 0.25
"""Fraction of padding in a median sample above which intensities are normalized over the foreground."""

# Length of the training, and size of the network.

UPDATES = {True: 25_000, False: 5_000}
"""Updates of a first training without a budget, on a GPU and on a CPU."""
FEWEST_EPOCHS, MOST_EPOCHS = 20, 500
"""Without a budget."""
FEWEST_EPOCHS_OF_A_BUDGET, MORE_EPOCHS = 10, 4
"""Number of epochs below which epochs are shortened, each into at most so many; validation follows every epoch."""
TIME_OF_UPDATES = 0.8
"""Fraction of training time spent on steps; the rest is validation, loading, augmentation and packaging."""
UPDATES_OF_A_PASS = (25, 125)
"""Minimum and maximum number of updates that a pass counts as: 40 passes are 1,000 to 5,000 updates."""
UPDATES_OF_A_BATCH = 5_000
"""Minimum number of updates that a larger batch must leave in a training with a budget."""


@dataclass(frozen=True)
class Rung:
    """A network size and the training length from which it is worthwhile.

    Args:
        n_filters: Feature maps of the first stage.
        n_blocks: Residual blocks of each stage, the last entry for all deeper ones; empty for the
            published 1, 3, 4, 6.
        passes: Passes over the training images needed to train this network.
    """

    n_filters: int
    n_blocks: tuple[int, ...]
    passes: float


LADDER = (
    Rung(4, (1, 1), 0),
    Rung(8, (1, 2), 15),
    Rung(12, (1, 2), 35),
    Rung(16, (1, 2), 150),
    Rung(24, (1, 2), 200),
    Rung(32, (1, 2), 250),
    Rung(32, (), 300),
)
"""Narrow first: the last one whose passes, like those of all before it, fit into the budget is chosen. Hippocampi: 45
passes of 12 filters reach a Dice of 0.885; more passes help more than width up to about 150. Micrographs, seven
minutes on two cores: Dice 0.75 of axons with 17 passes of 8 filters, 0.35 with more passes of 4."""
USEFUL = LADDER[2]
"""Smallest network worth comparing with others, or training on several folds: unless the budget allows its passes for
each of them, a single training with the whole budget gains more."""
SAMPLES_OF_AN_UPDATE = {2: 8, 3: 2}
"""Batch size of a typical update in 2D and 3D, by which passes are converted to updates."""

# Optimizer.

OPTIMIZER: dict[str, Any] = {"name": "AdamW"}
SCHEDULER: dict[str, Any] = {"initial_lr": 0.0002, "lr_scheduler": {"name": "OneCycleLR", "max_lr": 0.003}}
"""Hippocampi: 0.885 in 45 epochs, against 0.875 with Adam and a cosine from 0.001."""
NEVER_EARLY = {"early_stopping_patience": 50, "early_stopping_epsilon": 0.0}
"""A shortened cycle never reaches its small learning rates, which gain most."""
EMA_DECAY = {False: 0.99, True: 0.999}
"""Decay of the average of the weights, for short and long trainings."""
LONG = 10_000
"""Number of updates from which a training is long."""

# Augmentation.

FULL_FROM_PASSES = 100
"""Passes from which augmentation has nnU-Net's strength; shorter trainings see too little of it."""
_TRAINING: dict[str, Any] = {"dataset_type": ["training"]}
_IMAGE: dict[str, Any] = {"applied_to": ["im"], **_TRAINING}
LIGHT_DEGREES, LIGHT_SCALE, LIGHT_SHIFT = 20, 0.2, 0.05
FULL_AFFINE: dict[str, Any] = {"degrees": 30, "scale_range": [0.7, 1.4], "p": 0.4}
LIGHT: tuple[tuple[str, dict[str, Any], str], ...] = (
    ("AdditiveGaussianNoise", {"std": 0.1, "p": 0.15, **_IMAGE}, "in units of the deviation"),
    ("RandomBrightness", _IMAGE, "scanners differ in more than scale"),
    ("RandomContrast", _IMAGE, "scanners differ in more than scale"),
    (
        "RandomGamma",
        {"log_gamma_range": [-0.3, 0.3], "p": 0.3, **_IMAGE},
        "scanners differ in more than scale",
    ),
)
FULL: tuple[tuple[str, dict[str, Any], str], ...] = (
    ("AdditiveGaussianNoise", {"std": 0.1, "p": 0.1, **_IMAGE}, "as nnU-Net, in units of the deviation"),
    ("RandomBlur", {"sigma_range": [0.5, 1.0], "p": 0.2, **_IMAGE}, "as nnU-Net"),
    ("RandomBrightness", _IMAGE, "as nnU-Net"),
    ("RandomContrast", _IMAGE, "as nnU-Net"),
    ("RandomLowResolution", {"factor_range": [1.0, 2.0], "p": 0.25, **_IMAGE}, "as nnU-Net"),
    (
        "RandomGamma",
        {"log_gamma_range": [-0.35, 0.4], "p": 0.4, "p_inverted": 0.25, **_IMAGE},
        "as nnU-Net, a quarter of them on the negative of the image",
    ),
)
"""Transforms of intensities, after normalization: name, arguments, reason."""
MIRROR_P = 0.5
"""Probability that an axis is mirrored (nnU-Net)."""

# Candidates.

LEAST_SLICES = 200
"""Minimum number of training slices to offer a 2D network in addition to a 3D one."""
SMALL_PATCH = 0.25
"""Fraction of the median image in a patch below which a low resolution is offered (nnU-Net)."""
LOWRES_SHOWS = 0.5
"""Fraction of the median image in a patch at the low resolution."""
CASCADE_BOX = 0.5
"""Maximum fraction of the median image in the box around the object for a cascade to be offered."""
LEAST_BOX = 32
"""Minimum voxels of a box along each axis, limited by the image: surroundings of small objects are informative."""
PAIR_FROM = 4.0
"""Length of each training, in units of `USEFUL`, from which the folds of two candidates may be trained; below it, a
longer training of one candidate gains more."""
PAIR_GAIN = 0.002
"""Minimum gain in score of two candidates combined over the better one on the held-out subjects, with a 95 %
confidence interval above 0: they take twice as long to train and to predict."""
SAFETY_FACTOR = 1.25
"""Enlargement of a box found by a low-resolution model."""
