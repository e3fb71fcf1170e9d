"""The numbers of a training that experiments decide: each stands here once, with its reason.

A pass is as many samples as hold the voxels of the training images, one for each image at least.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

# Samples.

CROPPED_VOXELS = 64**3
"""Voxels of a volume up to which it is taken for a box around the object, and cropped to where the labels are."""
LABEL_MARGIN = 1
"""Voxels on either side of the labels. Hippocampi: boxes of 32 x 56 x 40 lost nothing next to 48 x 64 x 48."""
CONTEXT = 0.75
"""Least share of the median image that a crop shows along each axis: what lies around a small object tells of it."""
FOREGROUND = {False: 0.33, True: 0.5}
"""Share of random patches that are centred on a label (nnU-Net: a third); the second is for lesions."""
LESION_PATCH = 1 / 3
"""Largest share of a volume in a patch where all classes are lesions, which are too small a part of whole volumes.
Phantom, 10 subjects, ten minutes on a core: Dice 0.48 with patches, 0 with whole volumes."""
OVERLAP = 0.5
"""Share of a patch that its neighbour shows too (nnU-Net); borders are predicted worse."""
MUCH_PADDING = 0.25
"""Share of padded voxels in a median sample above which intensities are normalized over the foreground."""

# Length of a training, and the size of the network.

UPDATES = {True: 25_000, False: 5_000}
"""Updates of a first training without a budget, on a GPU and on a CPU."""
FEWEST_EPOCHS, MOST_EPOCHS = 20, 500
"""Without a budget."""
FEWEST_EPOCHS_OF_A_BUDGET, MORE_EPOCHS = 10, 4
"""Below so many epochs they are shortened, to make up to so many of each: validation follows every one."""
TIME_OF_UPDATES = 0.8
"""Share of a training that its steps take; validation, loading, augmentation and packaging take the rest."""
UPDATES_OF_A_PASS = (25, 125)
"""A pass counts as so many updates at least and at most: 40 passes are 1,000 to 5,000 updates."""
UPDATES_OF_A_BATCH = 5_000
"""Updates that a larger batch must leave of a training with a budget."""


@dataclass(frozen=True)
class Rung:
    """A size of the network, and how long a training must last for it to pay.

    Args:
        n_filters: Feature maps of the first stage.
        n_blocks: Residual blocks of each stage, the last entry for all deeper ones; empty for the
            published 1, 3, 4, 6.
        passes: Passes over the training images that a training of this network needs.
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
"""Narrow first: the last one is taken that has its passes within the budget, as have those before. Hippocampi: 45
passes of 12 filters reach a Dice of 0.885; more passes pay more than width until there are some 150. Micrographs, seven
minutes on two cores: Dice 0.75 of axons with 17 passes of 8 filters, 0.35 with more of 4."""
USEFUL = LADDER[2]
"""Smallest network that is worth comparing with others, or training on several folds: until the budget has its passes
for each of them, one training of the whole budget gains more."""
SAMPLES_OF_AN_UPDATE = {2: 8, 3: 2}
"""Batch of a usual update in 2D and 3D, by which passes are counted in updates."""

# Optimizer.

OPTIMIZER: dict[str, Any] = {"name": "AdamW"}
SCHEDULER: dict[str, Any] = {"initial_lr": 0.0002, "lr_scheduler": {"name": "OneCycleLR", "max_lr": 0.003}}
"""Hippocampi: 0.885 in 45 epochs, against 0.875 with Adam and a cosine from 0.001."""
NEVER_EARLY = {"early_stopping_patience": 50, "early_stopping_epsilon": 0.0}
"""A cycle that is cut short never gets to its small learning rates, which gain most."""
EMA_DECAY = {False: 0.99, True: 0.999}
"""Decay of the average of the weights, for short and long trainings."""
LONG = 10_000
"""Updates from which on a training is long."""

# Augmentation.

FULL_FROM_PASSES = 100
"""Passes from which on augmentation is of nnU-Net's strength; shorter trainings do not get to see enough of it."""
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
"""Training slices that a 2D network next to a 3D one should have at least."""
SMALL_PATCH = 0.25
"""Share of the median image that a patch shows, below which a low resolution is offered (nnU-Net)."""
LOWRES_SHOWS = 0.5
"""Share of the median image that a patch shows at the low resolution."""
CASCADE_BOX = 0.5
"""Share of the median image that the box around the object may take for a cascade to be offered."""
LEAST_BOX = 32
"""Voxels of a box along each axis, or those of the image: what lies around a small object tells of it."""
PAIR_FROM = 4.0
"""Length of each training, in those of `USEFUL`, from which on the folds of two candidates may be trained: until then a
longer training of one of them gains more."""
PAIR_GAIN = 0.002
"""Score that two candidates together must gain over the better one on the held-out subjects, with a 95 % confidence
interval above 0: they take twice as long to train and to predict."""
SAFETY_FACTOR = 1.25
"""Enlargement of a box that a model of low resolution finds."""
