"""Value and reason for each configuration key that depends on the data or the machine."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ivadomed.config.tree import expand
from ivadomed.runtime.terminal import length
from ivadomed.suggest.augmentation import Entry, augmentation
from ivadomed.suggest.plan import TESTING, TRAINING, StudyPlan
from ivadomed.suggest.recipe import (
    EMA_DECAY,
    FEWEST_EPOCHS,
    FOREGROUND,
    LONG,
    MOST_EPOCHS,
    NEVER_EARLY,
    OPTIMIZER,
    OVERLAP,
    SAFETY_FACTOR,
    SCHEDULER,
    TIME_OF_UPDATES,
    UPDATES,
)
from ivadomed.suggest.sizes import Machine
from ivadomed.suggest.summary import FEW_SUBJECTS
from ivadomed.suggest.survey import Survey

_RARE = 1 / 3
_GB = 1e9


@dataclass(frozen=True)
class Choice:
    """One key of the configuration.

    Args:
        key: Dotted path of the key.
        value: Value of the key.
        reason: Reason for the value.
    """

    key: str
    value: Any
    reason: str


def suggest(data: Survey, machine: Machine, name: str, minutes: float | None = None) -> list[Choice]:
    """A configuration that trains on a data set, key by key.

    Args:
        data: The data set.
        machine: Machine for training.
        name: Name of the model and of the folder of the run.
        minutes: Maximum duration of the training; None: the usual duration of a first training.
    """
    return choices_of(StudyPlan(data, machine, minutes), name)


def choices_of(plan: StudyPlan, name: str, detector: str | None = None) -> list[Choice]:
    """Configuration of a plan, key by key.

    Args:
        plan: Plan of the training.
        name: Name of the model and of the folder of the run.
        detector: Folder of the packaged detection model, for a network that works in bounding boxes.
    """
    sections: dict[str, Iterator[Entry]] = {
        "": _run(plan, name),
        "loader_parameters.": _data(plan),
        "split_dataset.": _split(plan),
        "training_parameters.": _training(plan),
        "default_model.": _network(plan),
        "object_detection_params.": _detection(detector),
        "postprocessing.": _postprocessing(plan),
        "evaluation_parameters.": _evaluation(plan),
        "transformation.": _transforms(plan),
    }
    return [Choice(f"{section}{key}", *rest) for section, part in sections.items() for key, *rest in part]


def table_of_reasons(choices: Sequence[Choice]) -> list[str]:
    """Lines of a Markdown table: key, value and reason of each choice."""
    rows = [(choice.key, f"`{json.dumps(choice.value)}`", choice.reason) for choice in choices]
    lines = [f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in rows]
    return ["| key | value | reason |", "|---|---|---|", *lines]


def tree(choices: Sequence[Choice]) -> dict[str, Any]:
    """Configuration consisting of these choices."""
    return expand({choice.key: choice.value for choice in choices})


def _run(plan: StudyPlan, name: str) -> Iterator[Entry]:
    machine = plan.machine
    yield ("command", "train", "used unless the command line names another command")
    yield ("gpu_ids", [0] if machine.gpu else [], f"this machine: {machine}")
    yield ("path_output", name, "folder of the run, named after the configuration")
    yield ("model_name", name.rpartition("/")[2], "folder and files of the trained model")
    if plan.mirrored:
        times = 2 ** len(plan.mirrored)
        yield (
            "mirror_axes",
            plan.mirrored,
            f"mirrored in training, hence also in prediction, which takes {times} times as long",
        )


def _data(plan: StudyPlan) -> Iterator[Entry]:
    data = plan.data
    subjects = f"{data.images} labelled images of {data.subjects} subjects"
    yield ("path_data", [str(path) for path in data.paths], subjects)
    yield ("extensions", list(data.extensions), "of images and labels")
    if not data.valid:
        yield ("bids_validate", False, "some names or folders are not valid BIDS, but can be read")
    yield ("target_suffix", list(data.targets.suffixes), _why_targets(data))
    if data.ignore is not None:
        yield ("ignore_label", data.ignore, "the data set names it; excluded from loss and metrics")
    if all(kind.soft for kind in data.targets.kinds):
        yield ("soft_gt", True, "the labels have values between 0 and 1")
    counts = ", ".join(f"{number} {name}" for name, number in data.contrasts.items())
    contrasts = "contrast_params.training_validation"
    yield (contrasts, list(data.contrasts), f"labelled images: {counts}; tested on the same")
    if len(data.contrasts) > 1:
        yield (
            "multichannel",
            data.channels,
            "the contrasts of a subject share a grid: the network sees them together"
            if data.channels
            else "the contrasts have different grids or are incomplete: each image is a separate sample",
        )
    mm = " x ".join(length(zoom) for zoom in np.median(plan.zooms, axis=0)[: 2 if data.pictures else 3])
    files = f"; files are {', '.join(data.orientations[:4])}" if data.orientations else ""
    yield (
        "slice_axis",
        plan.axis,
        "pictures are slices" if data.pictures else f"the coarsest axis; voxels of {mm} (median){files}",
    )
    if not plan.samples.whole:
        third = "a third of them on a label (as in nnU-Net)"
        share = "half of them on a label, for lesions are small" if plan.lesions else third
        yield (
            "random_patch_params",
            {"applied": True, "foreground": FOREGROUND[plan.lesions]}
            | ({} if plan.per_image is None else {"per_image": plan.per_image}),
            f"training patches at random positions, {share}"
            + (
                ""
                if plan.per_image is None
                else "; few per image, so that several epochs fit into the budget"
            ),
        )


def _split(plan: StudyPlan) -> Iterator[Entry]:
    data = plan.data
    few = data.subjects < FEW_SUBJECTS
    share = math.ceil(100 * (data.subjects - 2) / data.subjects) / 100 if few else TRAINING
    third = "one each validates and tests" if few else "the rest validates"
    yield ("train_fraction", share, f"of {data.subjects} subjects; {third}")
    yield ("test_fraction", TESTING, "of the subjects, never seen in training")


def _why_targets(data: Survey) -> str:
    """Number of classes, and the reasons for leaving out the other labels."""
    targets = data.targets
    classes = "one class" if len(targets.kinds) == 1 else f"{len(targets.kinds)} classes"
    overlap = "" if len(targets.kinds) == 1 else ", no overlap" if targets.apart else ", overlapping"
    faults = [f"{suffix} {reason}" for suffix, reason in targets.left_out.items() if reason]
    others = [suffix for suffix, reason in targets.left_out.items() if not reason]
    parts = [f"{classes}{overlap}, found in {data.looked_at} images; --target-suffix selects others"]
    parts += ["Left out: " + "; ".join(faults)] if faults else []
    parts += [f"Not selected: {', '.join(others)}"] if others else []
    return ". ".join(parts)


def _training(plan: StudyPlan) -> Iterator[Entry]:
    size = plan.samples.size
    memory, free = plan.network.training_bytes(plan.batch_size, size) / _GB, plan.machine.memory / _GB
    yield (
        "batch_size",
        plan.batch_size,
        f"about {plan.count} training samples; a step takes about {memory:.1f} of {free:.0f} GB of free memory",
    )
    dice = "MultiClassDiceLoss" if len(plan.data.targets.kinds) > 1 else "DiceLoss"
    yield (
        "loss",
        {"name": "LossCombination", "losses_list": [dice, "BinaryCrossEntropyLoss"]},
        "Dice handles small structures, cross-entropy stabilizes it (as in nnU-Net)",
    )
    length = {"num_epochs": plan.epochs} if plan.minutes is None else {"max_minutes": plan.minutes}
    yield ("training_time", {**length, **NEVER_EARLY}, _why_epochs(plan))
    yield ("optimizer", OPTIMIZER, "Adam with decoupled weight decay")
    yield (
        "scheduler",
        SCHEDULER,
        "one cycle over the whole training, so there is no early stopping",
    )
    long = plan.updates >= LONG
    yield (
        "ema_decay",
        EMA_DECAY[long],
        f"moving average of the weights; {EMA_DECAY[True]} from {LONG} updates on",
    )
    if plan.labelled_slices < _RARE and plan.samples.whole and plan.n_axes == 2:
        yield (
            "balance_samples",
            {"applied": True, "type": "gt"},
            f"the rarest class is in {plan.labelled_slices:.0%} of the slices: as many with as without it are drawn",
        )


def _why_epochs(plan: StudyPlan) -> str:
    """Reason for the length of the training."""
    updates = f"about {math.ceil(plan.count / plan.batch_size)} updates an epoch"
    if plan.minutes is None:
        wanted = UPDATES[plan.machine.gpu]
        return (
            f"{updates}; {wanted} in total are a good start, within {FEWEST_EPOCHS} to {MOST_EPOCHS} epochs"
        )
    pace, work = plan.pace / 1e9, plan.network.training_flops(plan.batch_size, plan.samples.size) / 1e9
    return (
        f"about {plan.epochs} epochs: {updates}, of {work:.3g} GFLOP each; this machine computes {pace:.3g} "
        f"GFLOP/s; validation and loading take {1 - TIME_OF_UPDATES:.0%} of the time"
    )


def _network(plan: StudyPlan) -> Iterator[Entry]:
    size, samples = plan.samples.size, plan.samples
    network = plan.architecture(size)
    images = _ranges(plan.boxes if plan.in_boxes else plan.resampled)
    reasons = {
        "name": "a residual U-Net, sized by the patch, as in nnU-Net",
        "is_2d": _why_dimensions(plan),
        "depth": f"{min(size) >> network.get('depth', 0)} voxels remain at the deepest level",
        "n_filters": _why_filters(plan),
        "n_blocks": "blocks per stage; the published 1, 3, 4, 6 need a longer training",
        "max_filters": "limit: ten times n_filters, as in nnU-Net",
        "final_activation": "classes do not overlap"
        if plan.several
        else "each class is predicted independently",
    }
    for key, value in network.items():
        yield (key, value, reasons[key])
    if samples.whole and plan.n_axes == 2:
        return
    reason = (
        f"{'boxes around the object' if plan.in_boxes else 'images'} have {images} voxels after resampling; "
    )
    reason += "a sample is a whole image" if samples.whole else "this part of the median image fits"
    yield (f"length_{plan.n_axes}D", list(size), reason)
    overlap = "one patch is a whole volume" if samples.whole else _why_overlap(plan)
    yield (f"stride_{plan.n_axes}D", list(plan.stride), overlap)


def _why_overlap(plan: StudyPlan) -> str:
    overlap = 1 - plan.stride[0] / plan.samples.size[0]
    if overlap < OVERLAP / 2:
        return "patches do not overlap, because all of them are validated after each epoch"
    return f"patches overlap by about {overlap:.0%}; their center has more weight, as borders are predicted worse"


def _why_dimensions(plan: StudyPlan) -> str:
    if plan.n_axes == 2:
        return plan.why_2d or "slices train fast and share features"
    if plan.why_2d:
        return f"{plan.why_2d}; to be compared"
    return "voxels are nearly isotropic, so neighboring slices help"


def _why_filters(plan: StudyPlan) -> str:
    weights = f"{plan.network.parameters / 1e6:.1f} million weights for {plan.data.subjects} subjects"
    if plan.minutes is not None:
        return f"{weights}; the budget shows each image {plan.times_shown} times; wider networks need more"
    return weights if plan.machine.gpu else f"{weights}; use more filters on a GPU"


def _detection(detector: str | None) -> Iterator[Entry]:
    if detector is not None:
        yield ("object_detection_path", detector, "finds the object at low resolution; train it first")
        yield ("safety_factor", [SAFETY_FACTOR] * 3, "the detected box with a margin")


def _postprocessing(plan: StudyPlan) -> Iterator[Entry]:
    if plan.several:
        yield ("binarize_maxpooling", {}, "assigns each voxel to its most probable class")
    else:
        yield ("binarize_prediction", {"thr": 0.5}, "--thr-increment 0.1 searches for a better threshold")
    if all(kind.single and not kind.lesions for kind in plan.data.targets.kinds):
        yield ("keep_largest", {}, "every label that was read is one connected object")


def _evaluation(plan: StudyPlan) -> Iterator[Entry]:
    if not plan.data.known_zooms:
        return
    pixel = float(np.median(plan.zooms[:, :2]))
    yield (
        "surface_tolerance_mm",
        float(f"{pixel:.3g}"),
        f"one pixel of {length(pixel)} (median), about the distance between raters; adjust it",
    )


def _transforms(plan: StudyPlan) -> Iterator[Entry]:
    if plan.data.known_zooms:
        names = ("hspace", "wspace", "dspace")[: plan.n_axes]
        seen = _ranges(plan.zooms[:, : plan.n_axes])
        yield (
            "Resample",
            dict(zip(names, plan.spacing, strict=True)),
            f"{'larger than the median' if plan.is_lowered else 'median voxel size'} in mm (images: {seen})",
        )
    if plan.samples.crop:
        yield ("CenterCrop", {"size": list(plan.samples.crop)}, _why_crop(plan))
    yield from augmentation(plan)


def _why_crop(plan: StudyPlan) -> str:
    largest = " x ".join(map(str, plan.resampled.max(axis=0)))
    if (plan.resampled.max(axis=0) > np.array(plan.samples.crop)).any():
        return (
            f"contains all {len(plan.data.foreground.reach)} labels; the largest image has "
            f"{largest} voxels. Adjust it if other images show more than these"
        )
    padded = f", {plan.padding:.0%} of a median sample" if plan.padding else ""
    return (
        f"the size of the largest image ({largest} voxels), so nothing is cut off; smaller images are "
        f"padded{padded}"
    )


def _ranges(sizes: np.ndarray) -> str:
    """Ranges of sizes [N, axes] as text, e.g. "31-43 x 40-59"."""
    ends = zip(sizes.min(axis=0), sizes.max(axis=0), strict=True)
    return " x ".join(f"{a:.4g}" if np.isclose(a, b, rtol=1e-2) else f"{a:.4g}-{b:.4g}" for a, b in ends)
