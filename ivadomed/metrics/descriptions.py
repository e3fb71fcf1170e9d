"""Descriptions of the metrics: common name, meaning, unit, and which direction is better.

Reports, comparisons and ``docs/metrics.md`` take their texts from here. Columns of the evaluation
(``evaluation_3Dmetrics.csv``), training curves and functions of ``evaluation_parameters.metrics`` are all looked up
by name.
"""

from __future__ import annotations

import inspect
import re
from dataclasses import dataclass, replace

from ivadomed.metrics.scores import METRICS

UNDEFINED, USUAL = "undefined", "usual"


@dataclass(frozen=True)
class Description:
    """One metric.

    Args:
        title: Full name.
        label: Short name, for table headers.
        explanation: A sentence or two for readers new to the metric.
        better: "higher", "lower", or "" for a count or a volume, which is neither good nor bad.
        unit: For example "mm"; empty for ratios and counts.
        ratio: True if it lies between 0 and 1.
        formula: P is the prediction, T the ground truth.
        empty: Its value if both masks are empty, if only P is, and if only T is.
        source: Reference that introduced it.
    """

    title: str
    label: str
    explanation: str
    better: str = ""
    unit: str = ""
    ratio: bool = False
    formula: str = ""
    empty: tuple[str, str, str] = (USUAL, USUAL, USUAL)
    source: str = ""

    @property
    def label_with_unit(self) -> str:
        """Short name for the axis of a chart: "HD95 (mm)"."""
        return f"{self.label} ({self.unit})" if self.unit else self.label

    @property
    def hint(self) -> str:
        """Title, explanation and direction, shown on hover."""
        direction = f" {self.better.capitalize()} is better." if self.better else ""
        title = self.title[0].upper() + self.title[1:]
        return f"{title}{f' ({self.unit})' if self.unit else ''}. {self.explanation}{direction}"


def _ratio(title: str, label: str, explanation: str, better: str = "higher", **more: object) -> Description:
    return Description(title, label, explanation, better, ratio=True, **more)  # type: ignore[arg-type]


COLUMNS: dict[str, Description] = {
    "vol_pred": Description(
        "predicted volume",
        "Predicted volume",
        "Volume of the prediction.",
        unit="mm³",
        formula="|P| times the volume of a voxel",
        empty=("0", "0", USUAL),
    ),
    "vol_gt": Description(
        "true volume",
        "True volume",
        "Volume of the ground truth.",
        unit="mm³",
        formula="|T| times the volume of a voxel",
        empty=("0", USUAL, "0"),
    ),
    "rvd": Description(
        "relative volume difference",
        "RVD",
        "Fraction of the true volume that the prediction lacks; negative if the prediction is too large. 0 is best.",
        formula="(|T| - |P|) / |T|",
        empty=(UNDEFINED, "1", UNDEFINED),
    ),
    "avd": Description(
        "absolute volume difference",
        "AVD",
        "Difference between both volumes as a fraction of the true one, regardless of their position.",
        "lower",
        formula="absolute value of `rvd`",
        empty=(UNDEFINED, "1", UNDEFINED),
    ),
    "vs": _ratio(
        "volumetric similarity",
        "VS",
        "Agreement of both volumes, regardless of their position: 1 when they are equal.",
        formula="1 - abs(|P| - |T|) / (|P| + |T|)",
        empty=(UNDEFINED, "0", "0"),
        source="Taha 2015",
    ),
    "dice": _ratio(
        "Dice coefficient",
        "Dice",
        "Overlap of prediction and ground truth: 1 when they are equal, 0 when they share no voxel.",
        formula="2 |P T| / (|P| + |T|)",
        empty=(UNDEFINED, "0", "0"),
        source="Dice 1945",
    ),
    "precision": _ratio(
        "precision",
        "Precision",
        "Fraction of the prediction that is correct (positive predictive value).",
        formula="|P T| / |P|",
        empty=(UNDEFINED, UNDEFINED, "0"),
    ),
    "recall": _ratio(
        "recall",
        "Recall",
        "Fraction of the ground truth that is found (sensitivity).",
        formula="|P T| / |T|",
        empty=(UNDEFINED, "0", UNDEFINED),
    ),
    "specificity": _ratio(
        "specificity",
        "Specificity",
        "Fraction of the true background that is predicted as background; near 1 for any small structure.",
        formula="background of both / background of T",
        empty=("1", "1", USUAL),
    ),
    "mse": Description(
        "squared error",
        "Squared error",
        "Sum of squared differences, divided by the size of a slice.",
        "lower",
        formula="sum of squared differences / (voxels along X times Y)",
        empty=("0", USUAL, USUAL),
    ),
    "hd": Description(
        "Hausdorff distance",
        "HD",
        "Largest distance from a point of either surface to the other surface; a single stray voxel determines it.",
        "lower",
        "mm",
        formula="largest distance of a point of either surface to the other surface",
        empty=(UNDEFINED, UNDEFINED, UNDEFINED),
        source="Huttenlocher 1993",
    ),
    "hd95": Description(
        "95th-percentile Hausdorff distance",
        "HD95",
        "95 % of both surfaces lie within this distance of the other one; unlike the Hausdorff distance, it is robust "
        "to a few stray voxels.",
        "lower",
        "mm",
        formula="95th percentile of the distances from each surface to the other, the larger of the two",
        empty=(UNDEFINED, UNDEFINED, UNDEFINED),
        source="Nikolov 2021",
    ),
    "assd": Description(
        "average symmetric surface distance",
        "ASSD",
        "Mean distance between both surfaces.",
        "lower",
        "mm",
        formula="mean distance over both surfaces",
        empty=(UNDEFINED, UNDEFINED, UNDEFINED),
        source="Yeghiazaryan 2018",
    ),
    "nsd": _ratio(
        "normalized surface Dice",
        "NSD",
        "Fraction of both surfaces that lies within the tolerance (surface_tolerance_mm) of the other one.",
        formula="fraction of both surfaces within `surface_tolerance_mm` of the other one",
        empty=(UNDEFINED, "0", "0"),
        source="Nikolov 2021",
    ),
    "n_pred": Description(
        "predicted objects",
        "Predicted objects",
        "Number of connected objects in the prediction.",
        formula="number of predicted objects",
        empty=("0", "0", USUAL),
    ),
    "n_gt": Description(
        "true objects",
        "True objects",
        "Number of connected objects in the ground truth.",
        formula="number of true objects",
        empty=("0", USUAL, "0"),
    ),
    "ltpr": _ratio(
        "lesion true positive rate",
        "LTPR",
        "Fraction of the true objects (lesions) that are found, regardless of their size.",
        formula="true objects that are found / `n_gt`",
        empty=(UNDEFINED, "0", UNDEFINED),
    ),
    "lfdr": _ratio(
        "lesion false detection rate",
        "LFDR",
        "Fraction of the predicted objects (lesions) that are false.",
        "lower",
        formula="false predicted objects / (false predicted objects + found true objects)",
        empty=(UNDEFINED, UNDEFINED, "1"),
    ),
    "lf1": _ratio(
        "lesion-wise F1 score",
        "Lesion F1",
        "Balance of found objects (lesions) and false detections: 1 if every true object is found and no detection "
        "is false.",
        formula="harmonic mean of `ltpr` and 1 - `lfdr`",
        empty=(UNDEFINED, "0", "0"),
        source="Maier-Hein 2024",
    ),
}
"""Columns of the evaluation, in the order of ``docs/metrics.md``."""

_MEANS = (
    "Mean over the samples of an epoch (slices, patches or volumes), without thresholding the predictions."
)
CURVES: dict[str, Description] = {
    "train_loss": Description(
        "training loss", "Training", "The loss minimized by the training, on the training images.", "lower"
    ),
    "val_loss": Description(
        "validation loss",
        "Validation",
        "The same loss on images not used for training; the model with the lowest value is kept.",
        "lower",
    ),
    **{
        f"{name}_score": replace(COLUMNS[name], explanation=f"{COLUMNS[name].explanation} {_MEANS}")
        for name in ("dice", "precision", "recall", "specificity")
    },
    "multi_class_dice_score": _ratio(
        "mean Dice over classes", "Dice over classes", f"1 for a class absent from both masks. {_MEANS}"
    ),
    "intersection_over_union": _ratio(
        "intersection over union", "IoU", f"Overlap of both masks (Jaccard index). {_MEANS}"
    ),
    "accuracy_score": _ratio("accuracy", "Accuracy", f"Fraction of all voxels that are correct. {_MEANS}"),
    "hausdorff_score": Description(
        "distance of value profiles",
        "Profile distance",
        "Distance between rows of values, in neither voxels nor mm.",
        "lower",
    ),
}
"""Losses and validation metrics of a training."""


def describe(name: str) -> Description:
    """Look up the description of a metric.

    Args:
        name: Name of a column without its class ("dice", "ltpr_21-100vox"), of a curve ("val_loss"), or of a metric
            of ``METRICS``.

    Returns:
        Its description; for a metric without one, the name and the first line of its docstring.
    """
    known = {**CURVES, **COLUMNS}
    if name in known:
        return known[name]
    base, _, size = name.partition("_")
    whole = COLUMNS.get("n_gt" if base == "n" else base)
    if whole is not None and re.match(r"\d", size):  # objects of a range of sizes
        return replace(
            whole,
            title=f"{whole.title}, objects of {size}",
            label=f"{whole.label} {size}",
            explanation=f"{whole.explanation} Restricted to objects of {size}.",
        )
    function = METRICS.get(name)
    words = name.replace("_", " ")
    return Description(words, words, (inspect.getdoc(function) or "").split("\n", 1)[0] if function else "")
