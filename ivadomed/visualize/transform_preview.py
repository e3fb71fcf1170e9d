"""Effect of each transform of a configuration on slices of an image: before, after, and the parameters drawn."""

from __future__ import annotations

import inspect
import logging
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from ivadomed.config import load_config
from ivadomed.errors import ConfigError, DataError
from ivadomed.geometry.grid import Grid
from ivadomed.images.io import Image, fault_of_values, is_nifti, read_grid, read_image, split_extension
from ivadomed.images.labels import read_label
from ivadomed.loader.bids.index import read_json_object
from ivadomed.loader.cases.volumes import check_same_grid, pixel_size_mm
from ivadomed.transforms import TRANSFORMS, Pipeline
from ivadomed.transforms.pipeline import Arrays, Change, stepwise
from ivadomed.visualize.before_after import View, save_before_after

log = logging.getLogger(__name__)

_LONGEST_NAME = 200  # file systems allow 255 bytes
_LINES = 10  # of the grid that shows the displacement of voxels, along the longer side

_TOLD = {
    "scale": "scale",
    "translation": "shift (voxels)",
    "elastic": "alpha, sigma",
    "offset": "offset",
    "gamma": "exponent",
    "brightness": "factor",
    "contrast_factor": "factor",
    "blur": "sigma (voxels)",
}
"""Drawn parameters that a note shows unchanged, and their names there."""


@dataclass(frozen=True, eq=False)
class Subject:
    """Input of the transforms.

    Args:
        arrays: [C, H, W, D] by kind; the kind ``shown``, with one entry, comes first.
        zooms: mm along H, W, D.
        shown: Kind displayed: "im", or "gt" for a label.
        outlines: Name, kind and index of each outline.
        slice_axis: RAS axis of the slices, to turn them upright; None for pictures.
    """

    arrays: Arrays
    zooms: tuple[float, ...]
    shown: str
    outlines: tuple[tuple[str, str, int], ...]
    slice_axis: int | None


@dataclass(frozen=True, eq=False)
class Scene:
    """Content of one picture.

    Args:
        place: Slice of the input.
        count: Number of transforms so far.
        change: Effect of the last one.
        depths: Index of the slice before and after it; None if the arrays are already slices.
    """

    place: int
    count: int
    change: Change
    depths: tuple[int, int] | None = None


def scenes_of(
    subject: Subject, chain: Pipeline, places: Sequence[int], seed: int, is_2d: bool
) -> Iterator[Scene]:
    """Yield each transform of each slice.

    Args:
        subject: Input of the transforms.
        chain: The transforms.
        places: Slices of the subject.
        seed: Seed of the random transforms.
        is_2d: Transform slices one by one, each with its own draws, instead of the whole volume.
    """
    if is_2d:
        for place in places:
            arrays = {kind: np.ascontiguousarray(x[..., place]) for kind, x in subject.arrays.items()}
            changes = stepwise(chain, arrays, subject.zooms[:2], (seed, place))
            for count, change in enumerate(changes, start=1):
                yield Scene(place, count, change)
        return
    now = list(places)
    for count, change in enumerate(stepwise(chain, subject.arrays, subject.zooms, seed), start=1):
        later = [_follow(change.source, depth) for depth in now]
        for place, before, after in zip(places, now, later, strict=True):
            yield Scene(place, count, change, (before, after))
        now = later


def _follow(source: np.ndarray | None, depth: int) -> int:
    """The slice with the largest part of the former slice `depth`; see `Change.source`."""
    if source is None:
        return depth
    seen = ~np.isnan(source[2])
    mean = np.nansum(source[2], axis=(0, 1)) / np.maximum(seen.sum(axis=(0, 1)), 1)
    return int(np.argmin(np.where(seen.any(axis=(0, 1)), np.abs(mean - depth), np.inf)))


def views_of(scene: Scene, subject: Subject) -> tuple[View, View]:
    """Both sides of a picture, with a grid if voxels move."""
    change = scene.change
    before, after = (None, None) if scene.depths is None else scene.depths

    def view(arrays: Arrays, zooms: tuple[float, ...], depth: int | None, **marks: np.ndarray | None) -> View:
        outlines = {name: _plane(arrays[kind][index], depth) for name, kind, index in subject.outlines}
        image = _plane(arrays[subject.shown][0], depth)
        return View(image, zooms[:2], outlines, slice_axis=subject.slice_axis, **marks)

    grid_before = grid_after = frame = None
    if change.source is not None and subject.shown in change.stage.applied_to:
        spacing = max(change.own.shape_in[:2]) / _LINES
        grid_before = np.indices(change.own.shape_in[:2], np.float32) / spacing
        grid_after = _plane(change.source, after)[:2] / spacing
        kept = _plane(change.kept, before)
        frame = None if kept.all() else kept
    return (
        view(change.before, change.own.zooms_in, before, grid=grid_before, frame=frame),
        view(change.after, change.own.zooms_out, after, grid=grid_after),
    )


def _plane(x: np.ndarray, depth: int | None) -> np.ndarray:
    return x if depth is None else x[..., depth]


def note_on(change: Change, shown: str, chance: str | None) -> str:
    """Describe the parameters drawn, and the probability of the transform in training."""
    if shown not in change.stage.applied_to:
        return f"not applied to {'labels' if shown == 'gt' else 'images'}"
    drawn: dict[str, Any] = {}
    for _, step in change.own.steps:
        drawn |= step.drawn
    parts = [told for told in map(_told, drawn, drawn.values()) if told]
    if not change.own.steps:
        parts.append("changes nothing here")
    if chance is not None:
        parts.append(f"applied with probability {chance} in training")
    return "; ".join(parts)


def _told(key: str, value: Any) -> str:
    if key == "rotation":
        angle, axes = value
        return f"rotation {math.degrees(angle):.3g}° from axis {axes[0]} to {axes[1]}"
    if key == "low_resolution":
        thickness, axes = value
        return f"voxels {thickness:.3g} times as thick along axes {_listed(axes)}"
    if key == "reverse":
        return f"mirrored axes {_listed([axis for axis, flipped in enumerate(value) if flipped])}"
    if key not in _TOLD:  # visible in the picture, or too long a list
        return ""
    return f"{_TOLD[key]} {_listed(value if isinstance(value, (list, tuple)) else [value])}"


def _listed(numbers: Sequence[float]) -> str:
    return ", ".join(f"{number:.3g}" for number in numbers)


def run_visualization(
    input: str | os.PathLike[str],
    config: str | os.PathLike[str],
    number: int,
    output: str | os.PathLike[str],
    roi: str | os.PathLike[str] | None,
    label: Sequence[str | os.PathLike[str]] = (),
) -> list[Path]:
    """Write a before/after picture for each training transform and slice.

    Args:
        input: Image; a binary one is treated as a label.
        config: JSON configuration file.
        number: Number of slices, drawn at random from those that are not empty or cropped away.
        output: Folder for the pictures ``<transform>_..._<transform>_slice<index>.png``, whose names list all
            transforms so far.
        roi: Region of interest, for ``ROICrop`` and as an outline, or None.
        label: Labels of the image, one per class, to be outlined.

    Returns:
        The pictures.

    Raises:
        ConfigError: The configuration is invalid or has no transform for training.
        DataError: An image cannot be read or has another grid than ``input``, or something is missing.
    """
    if number < 1:
        raise ConfigError(f"number of slices: {number}; expected at least 1")
    run = load_config(Path(config), {"command": "train"})
    transforms, chances = _always_applied(run.transforms_for("training"))
    chain = Pipeline.from_config(transforms)
    if not chain.stages:
        raise ConfigError(
            f"{config}: transformation: has no transform for training; there is nothing to show"
        )
    if chain.needs_roi and roi is None:
        raise DataError(f"{config}: crops around a region of interest; give its mask with -r")
    if "Resample" in transforms and not is_nifti(input) and _pixel_size(input) is None:
        raise DataError(
            f"{input}: Resample needs PixelSize and PixelSizeUnits of the picture in {_sidecar(input)}"
        )
    subject = _read(input, run.slice_axis_index, roi, label)
    seed = run.training_parameters.seed
    places = _choose(subject, chain, number, seed, run.is_2d)
    names = [type(s.transform).__name__ for part in chain.split_fixed() for s in part.stages]
    written = []
    with tqdm(total=len(places) * len(names), desc="Drawing", unit="picture", disable=None) as bar:
        for scene in scenes_of(subject, chain, places, seed, run.is_2d):
            path = Path(output) / f"{stem_of_chain(names[: scene.count])}_slice{scene.place}.png"
            name = names[scene.count - 1]
            title = f"{name} ({scene.count} of {len(names)}), slice {scene.place}"
            note = note_on(scene.change, subject.shown, chances.get(name))
            stage = scene.change.stage
            by_value = subject.shown == "im" in stage.applied_to and not stage.transform.geometric
            save_before_after(path, *views_of(scene, subject), title, note, by_value)
            written.append(path)
            bar.update()
    return written


def get_data(fname_in: str | os.PathLike[str], axis: int) -> tuple[Image, np.ndarray]:
    """Read an image.

    Args:
        fname_in: NIfTI file or picture; the pixel size of a picture is read from the JSON file next to it.
        axis: RAS axis along which slices are extracted.

    Returns:
        The image, and its voxels [H, W, D] with the slices along D.
    """
    image = read_image(fname_in, None if is_nifti(fname_in) else _pixel_size(fname_in))
    if fault := fault_of_values(image.data):
        raise DataError(f"{fname_in}: {fault}")
    return image, image.grid(axis).to_hwd(image.data)


def _always_applied(
    transforms: Mapping[str, Mapping[str, Any]],
) -> tuple[dict[str, dict[str, Any]], dict[str, str]]:
    """The transforms with all probabilities set to 1, and the original probabilities."""
    changed, chances = {}, {}
    for name, arguments in transforms.items():
        changed[name] = dict(arguments)
        known = inspect.signature(TRANSFORMS[name]).parameters
        for key in {"p", "prob"} & known.keys():
            chance = arguments.get(key, known[key].default)
            if chance is None:  # always applied
                continue
            several = chance if isinstance(chance, (list, tuple)) else None  # one per axis
            chances[name] = ", ".join(f"{value:g}" for value in several or [chance])
            changed[name][key] = [1.0] * len(several) if several else 1.0
    return changed, chances


def _read(
    path: str | os.PathLike[str],
    axis: int,
    roi: str | os.PathLike[str] | None,
    labels: Sequence[str | os.PathLike[str]],
) -> Subject:
    image, voxels = get_data(path, axis)
    values = np.unique(voxels)
    shown = "gt" if len(values) == 2 and values[0] == 0 else "im"
    arrays = {shown: [voxels / values[1] if shown == "gt" else voxels]}
    outlines = []
    for kind, files in (("gt", labels), ("roi", [] if roi is None else [roi])):
        for file in files:
            entries = arrays.setdefault(kind, [])
            name = _stem_of(file).removeprefix(_stem_of(path)).lstrip("_") or kind
            outlines.append((name if kind == "gt" else f"{name} (ROI)", kind, len(entries)))
            entries.append(_read_mask(file, axis, image.grid(axis), path))
    stacked = {kind: np.stack(entries) for kind, entries in arrays.items()}
    return Subject(stacked, image.grid(axis).zooms, shown, tuple(outlines), axis if is_nifti(path) else None)


def _stem_of(path: str | os.PathLike[str]) -> str:
    return Path(split_extension(path)[0]).name


def _read_mask(
    path: str | os.PathLike[str], axis: int, grid: Grid, reference: str | os.PathLike[str]
) -> np.ndarray:
    pixel_size = None if is_nifti(path) else _pixel_size(reference)
    check_same_grid(grid, reference, read_grid(path, axis, pixel_size), path)
    mask = read_label(path, pixel_size, soft=True)
    return grid.to_hwd(grid.align(mask.grid(axis), mask.data))


def _sidecar(path: str | os.PathLike[str]) -> Path:
    return Path(f"{split_extension(path)[0]}.json")


def _pixel_size(path: str | os.PathLike[str]) -> tuple[float, ...] | None:
    """Pixel size of a picture in mm, from the JSON file next to it."""
    sidecar = _sidecar(path)
    return pixel_size_mm(read_json_object(sidecar), path) if sidecar.is_file() else None


def _choose(subject: Subject, chain: Pipeline, number: int, seed: int, is_2d: bool) -> list[int]:
    """Draw slices from those that can be shown."""
    voxels = subject.arrays[subject.shown][0]
    usable = voxels.max(axis=(0, 1)) > voxels.min(axis=(0, 1))
    roi = subject.arrays.get("roi")
    if is_2d and chain.needs_roi and roi is not None:
        usable &= roi.any(axis=(0, 1, 2))
    if not is_2d:
        rng = np.random.default_rng(0)  # fixed transforms draw nothing
        plan = chain.split_fixed()[0].plan(voxels.shape, subject.zooms, rng, roi)
        left = plan.invert(np.ones((1, *plan.shape_out), np.float32), subject.shown, 1)[0]
        usable &= (left > 0.5).any(axis=(0, 1))
    candidates = np.flatnonzero(usable)
    if not len(candidates):
        raise DataError(
            "every slice is empty, without region of interest or cropped away: there is nothing to show"
        )
    if len(candidates) < number:
        log.warning("Only %d slices can be shown, not %d.", len(candidates), number)
    chosen = np.random.default_rng(seed).permutation(candidates)[:number]
    return sorted(chosen.tolist())


def stem_of_chain(names: Sequence[str]) -> str:
    """File name with all transforms of a chain, or only the last one if it would be too long."""
    stem = "_".join(names)
    return stem if len(stem) <= _LONGEST_NAME else f"{len(names)}_transforms_to_{names[-1]}"
