"""A value and a reason for each key of a configuration that depends on the data or the machine."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ivadomed.config.tree import expand
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
_MICROMETRES = 0.01  # mm; smaller voxels are printed in micrometres


@dataclass(frozen=True)
class Choice:
    """One key of the configuration.

    Args:
        key: Its dotted path.
        value: What it is set to.
        reason: Why, in words.
    """

    key: str
    value: Any
    reason: str


def suggest(data: Survey, machine: Machine, name: str, minutes: float | None = None) -> list[Choice]:
    """A configuration that trains on a data set, key by key.

    Args:
        data: The data set.
        machine: Where it will be trained.
        name: Of the model, and of the folder of the run.
        minutes: Minutes that the training may take; None for as long as a first training usually does.
    """
    return choices_of(StudyPlan(data, machine, minutes), name)


def choices_of(plan: StudyPlan, name: str, detector: str | None = None) -> list[Choice]:
    """The configuration of a plan, key by key.

    Args:
        plan: What is trained, and how.
        name: Of the model, and of the folder of the run.
        detector: Folder of the packaged model that finds the object, for a network that works in boxes.
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
    """The configuration that choices make up."""
    return expand({choice.key: choice.value for choice in choices})


def _run(plan: StudyPlan, name: str) -> Iterator[Entry]:
    machine = plan.machine
    yield ("command", "train", "what is done when the command line names nothing else")
    yield ("gpu_ids", [0] if machine.gpu else [], f"this machine: {machine}")
    yield ("path_output", name, "folder of the run, named after the configuration")
    yield ("model_name", name.rpartition("/")[2], "folder and files of the trained model")
    if plan.mirrored:
        times = 2 ** len(plan.mirrored)
        yield (
            "mirror_axes",
            plan.mirrored,
            f"mirrored in training, so in prediction too, which takes {times} times as long",
        )


def _data(plan: StudyPlan) -> Iterator[Entry]:
    data = plan.data
    subjects = f"{data.images} labelled images of {data.subjects} subjects"
    yield ("path_data", [str(path) for path in data.paths], subjects)
    yield ("extensions", list(data.extensions), "of images and labels")
    if not data.valid:
        yield ("bids_validate", False, "names or folders break rules of BIDS, but can be read")
    yield ("target_suffix", list(data.targets.suffixes), _why_targets(data))
    if data.ignore is not None:
        yield ("ignore_label", data.ignore, "named so by the data set: in neither loss nor metrics")
    if all(kind.soft for kind in data.targets.kinds):
        yield ("soft_gt", True, "the labels have values between 0 and 1")
    counts = ", ".join(f"{number} {name}" for name, number in data.contrasts.items())
    contrasts = "contrast_params.training_validation"
    yield (contrasts, list(data.contrasts), f"labelled images: {counts}; tested on the same")
    if len(data.contrasts) > 1:
        yield (
            "multichannel",
            data.channels,
            "the contrasts of a subject lie on one grid: the network sees them together"
            if data.channels
            else "the contrasts lie on different grids or are incomplete: each image is a sample of its own",
        )
    mm = " x ".join(_length(zoom) for zoom in np.median(plan.zooms, axis=0)[: 2 if data.pictures else 3])
    files = f"; files are {', '.join(data.orientations[:4])}" if data.orientations else ""
    yield (
        "slice_axis",
        plan.axis,
        "pictures are slices" if data.pictures else f"coarsest axis of voxels of {mm} (median){files}",
    )
    if not plan.samples.whole:
        yield (
            "random_patch_params",
            {"applied": True, "foreground": FOREGROUND}
            | ({} if plan.per_image is None else {"per_image": plan.per_image}),
            "training patches at random places, a third of them on a label (as nnU-Net)"
            + ("" if plan.per_image is None else "; so few of an image that the budget has several epochs"),
        )


def _split(plan: StudyPlan) -> Iterator[Entry]:
    data = plan.data
    few = data.subjects < FEW_SUBJECTS
    share = math.ceil(100 * (data.subjects - 2) / data.subjects) / 100 if few else TRAINING
    third = "one each validates and tests" if few else "the rest validates"
    yield ("train_fraction", share, f"of {data.subjects} subjects; {third}")
    yield ("test_fraction", TESTING, "of the subjects, never seen in training")


def _why_targets(data: Survey) -> str:
    """How many classes, and what became of the other labels."""
    targets = data.targets
    classes = "one class" if len(targets.kinds) == 1 else f"{len(targets.kinds)} classes"
    overlap = "" if len(targets.kinds) == 1 else ", apart" if targets.apart else ", which overlap"
    faults = [f"{suffix} {reason}" for suffix, reason in targets.left_out.items() if reason]
    others = [suffix for suffix, reason in targets.left_out.items() if not reason]
    parts = [f"{classes}{overlap}, seen in {data.looked_at} images; --target-suffix picks others"]
    parts += ["Left out: " + "; ".join(faults)] if faults else []
    parts += [f"Not asked for: {', '.join(others)}"] if others else []
    return ". ".join(parts)


def _training(plan: StudyPlan) -> Iterator[Entry]:
    size = plan.samples.size
    memory, free = plan.network.training_bytes(plan.batch_size, size) / _GB, plan.machine.memory / _GB
    yield (
        "batch_size",
        plan.batch_size,
        f"about {plan.count} training samples; a step takes about {memory:.1f} of {free:.0f} GB that are free",
    )
    dice = "MultiClassDiceLoss" if len(plan.data.targets.kinds) > 1 else "DiceLoss"
    yield (
        "loss",
        {"name": "LossCombination", "losses_list": [dice, "BinaryCrossEntropyLoss"]},
        "Dice copes with small structures, cross-entropy steadies it (as nnU-Net)",
    )
    length = {"num_epochs": plan.epochs} if plan.minutes is None else {"max_minutes": plan.minutes}
    yield ("training_time", {**length, **NEVER_EARLY}, _why_epochs(plan))
    yield ("optimizer", OPTIMIZER, "decays the weights apart from the gradient")
    yield (
        "scheduler",
        SCHEDULER,
        "one rise and one fall over the whole training, which therefore is not stopped early",
    )
    long = plan.updates >= LONG
    yield ("ema_decay", EMA_DECAY[long], f"average of the weights; {EMA_DECAY[True]} from {LONG} updates on")
    if plan.labelled_slices < _RARE and plan.samples.whole and plan.n_axes == 2:
        yield (
            "balance_samples",
            {"applied": True, "type": "gt"},
            f"the rarest class is in {plan.labelled_slices:.0%} of the slices: those with a label are drawn as often",
        )


def _why_epochs(plan: StudyPlan) -> str:
    """How long the training is."""
    updates = f"about {math.ceil(plan.count / plan.batch_size)} updates an epoch"
    if plan.minutes is None:
        wanted = UPDATES[plan.machine.gpu]
        return f"{updates}; {wanted} in all are enough to begin with, within {FEWEST_EPOCHS} to {MOST_EPOCHS} epochs"
    pace, work = plan.pace / 1e9, plan.network.training_flops(plan.batch_size, plan.samples.size) / 1e9
    return (
        f"about {plan.epochs} epochs: {updates}, each of {work:.3g} GFLOP; this machine trains with {pace:.3g} "
        f"GFLOP/s, and {1 - TIME_OF_UPDATES:.0%} of the time go to validation and loading"
    )


def _network(plan: StudyPlan) -> Iterator[Entry]:
    size, samples = plan.samples.size, plan.samples
    network = plan.architecture(size)
    images = _ranges(plan.boxes if plan.in_boxes else plan.resampled)
    reasons = {
        "name": "a residual U-Net that sizes itself by patch, as nnU-Net",
        "is_2d": _why_dimensions(plan),
        "depth": f"{min(size) >> network.get('depth', 0)} voxels are left at the deepest level",
        "n_filters": _why_filters(plan),
        "n_blocks": "of each stage; the published 1, 3, 4, 6 need a longer training",
        "max_filters": "ten times as many, as nnU-Net",
        "final_activation": "a voxel has one class" if plan.several else "each class is decided by itself",
    }
    for key, value in network.items():
        yield (key, value, reasons[key])
    if samples.whole and plan.n_axes == 2:
        return
    reason = (
        f"{'boxes around the object' if plan.in_boxes else 'images'} have {images} voxels after resampling; "
    )
    reason += "a sample is all that is left of them" if samples.whole else "this much of the median one fits"
    yield (f"length_{plan.n_axes}D", list(size), reason)
    overlap = "one patch is a whole volume" if samples.whole else _why_overlap(plan)
    yield (f"stride_{plan.n_axes}D", list(plan.stride), overlap)


def _why_overlap(plan: StudyPlan) -> str:
    overlap = 1 - plan.stride[0] / plan.samples.size[0]
    if overlap < OVERLAP / 2:
        return "patches stand side by side, for all of them are validated after each epoch"
    return (
        f"patches overlap by about {overlap:.0%}, and their middle counts more: borders are predicted worse"
    )


def _why_dimensions(plan: StudyPlan) -> str:
    if plan.n_axes == 2:
        return plan.why_2d or "slices train fast, and what is learnt of one serves all"
    if plan.why_2d:
        return f"{plan.why_2d}; to be compared"
    return "voxels are nearly as deep as wide, so neighbouring slices help"


def _why_filters(plan: StudyPlan) -> str:
    weights = f"{plan.network.parameters / 1e6:.1f} million weights for {plan.data.subjects} subjects"
    if plan.minutes is not None:
        return f"{weights}; within the budget the images are shown {plan.times_shown} times, wider networks need more"
    return weights if plan.machine.gpu else f"{weights}; on a GPU more pay"


def _detection(detector: str | None) -> Iterator[Entry]:
    if detector is not None:
        yield ("object_detection_path", detector, "finds the object at low resolution, and is trained before")
        yield ("safety_factor", [SAFETY_FACTOR] * 3, "the box that it finds, and some of its surroundings")


def _postprocessing(plan: StudyPlan) -> Iterator[Entry]:
    if plan.several:
        yield ("binarize_maxpooling", {}, "each voxel goes to its most probable class")
    else:
        yield ("binarize_prediction", {"thr": 0.5}, "--thr-increment 0.1 searches a better one")
    if all(kind.single and not kind.lesions for kind in plan.data.targets.kinds):
        yield ("keep_largest", {}, "every label that was looked at is one connected object")


def _evaluation(plan: StudyPlan) -> Iterator[Entry]:
    if not plan.data.known_zooms:
        return
    pixel = float(np.median(plan.zooms[:, :2]))
    yield (
        "surface_tolerance_mm",
        float(f"{pixel:.3g}"),
        f"one pixel of {_length(pixel)} (median), about as far as raters are apart; set yours",
    )


def _transforms(plan: StudyPlan) -> Iterator[Entry]:
    if plan.data.known_zooms:
        names = ("hspace", "wspace", "dspace")[: plan.n_axes]
        seen = _ranges(plan.zooms[:, : plan.n_axes])
        yield (
            "Resample",
            dict(zip(names, plan.spacing, strict=True)),
            f"{'larger than the median' if plan.is_lowered else 'median voxel size'} in mm (the images have {seen})",
        )
    if plan.samples.crop:
        yield ("CenterCrop", {"size": list(plan.samples.crop)}, _why_crop(plan))
    yield from augmentation(plan)


def _why_crop(plan: StudyPlan) -> str:
    largest = " x ".join(map(str, plan.resampled.max(axis=0)))
    if (plan.resampled.max(axis=0) > np.array(plan.samples.crop)).any():
        return (
            f"one size for all, in which all of {len(plan.data.foreground.reach)} labels lie; the largest image has "
            f"{largest} voxels. Check it when images to be segmented show more than these"
        )
    padded = f", {plan.padding:.0%} of a median sample" if plan.padding else ""
    return (
        f"one size for all; the largest image has {largest} voxels, so nothing is cut off, smaller ones are "
        f"padded{padded}"
    )


def _ranges(sizes: np.ndarray) -> str:
    """[N, axes] to "31-43 x 40-59"."""
    ends = zip(sizes.min(axis=0), sizes.max(axis=0), strict=True)
    return " x ".join(f"{a:.4g}" if np.isclose(a, b, rtol=1e-2) else f"{a:.4g}-{b:.4g}" for a, b in ends)


def _length(mm: float) -> str:
    return f"{mm * 1000:.3g} um" if mm < _MICROMETRES else f"{mm:.3g} mm"
