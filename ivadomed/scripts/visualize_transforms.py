"""Show what the transforms of a configuration do to slices of an image: a picture per transform and slice."""

from __future__ import annotations

import argparse
import inspect
import logging
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from ivadomed.config import load_config
from ivadomed.errors import ConfigError, DataError
from ivadomed.geometry.grid import Grid
from ivadomed.images.io import Image, is_nifti, read_image, read_label, split_extension
from ivadomed.loader.bids.sidecars import read_json_object
from ivadomed.loader.cases.volumes import check_same_grid, pixel_size_mm
from ivadomed.runtime.console import ToolParser, run_tool
from ivadomed.transforms import TRANSFORMS, Pipeline
from ivadomed.visualize.before_after import Caption, save_before_after
from ivadomed.visualize.transform_preview import Subject, note_on, scenes_of, views_of

log = logging.getLogger(__name__)

_EXAMPLE = """\
examples:
  ivadomed_visualize_transforms -i sub-01_T2w.nii.gz -l sub-01_T2w_seg-manual.nii.gz -c config.json -n 3 -o pictures
      three slices, with the outline of the label
  ivadomed_visualize_transforms -i t2s.nii.gz -r t2s_seg.nii.gz -c config.json -o pictures
      a configuration with ROICrop, around the region of interest t2s_seg.nii.gz

The transforms are those of a training in its order: resampling and crops come first. Those with a probability are
applied always. Slices and draws follow training_parameters.seed.
"""

_LONGEST_NAME = 200  # file systems end at 255 bytes


def get_parser() -> argparse.ArgumentParser:
    """The parser of the command line."""
    parser = ToolParser(
        prog="ivadomed_visualize_transforms",
        description=__doc__,
        epilog=_EXAMPLE,
    )
    add = parser.add_argument
    add("-i", "--input", required=True, help="image, or a binary label to see what happens to labels")
    add("-c", "--config", required=True, help="JSON configuration file")
    add("-n", "--number", type=int, default=1, help="slices, drawn at random (default: %(default)s)")
    add("-o", "--output", default=".", metavar="DIR", help="folder of the pictures (default: this one)")
    add("-r", "--roi", help="region of interest, which ROICrop needs")
    add("-l", "--label", nargs="+", default=(), help="labels of the image, one per class, to be outlined")
    return parser


def run_visualization(
    input: str | os.PathLike[str],
    config: str | os.PathLike[str],
    number: int,
    output: str | os.PathLike[str],
    roi: str | os.PathLike[str] | None,
    label: Sequence[str | os.PathLike[str]] = (),
) -> list[Path]:
    """Write a picture, before and after, for every transform of a training and every slice.

    Args:
        input: Image; a binary one is taken for a label.
        config: JSON configuration file.
        number: Slices, drawn at random among those that are not empty and that the crops leave.
        output: Folder of the pictures ``<transform>_..._<transform>_slice<index>.png``, whose names hold all
            transforms so far.
        roi: Region of interest, for ``ROICrop`` and as an outline, or None.
        label: Labels of the image, one per class, to be outlined.

    Returns:
        The pictures.

    Raises:
        ConfigError: The configuration is wrong or has no transform for training.
        DataError: An image cannot be read or lies on another grid than ``input``, or something is missing.
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
            caption = Caption(title, note_on(scene.change, subject.shown, chances.get(name)))
            stage = scene.change.stage
            by_value = subject.shown == "im" in stage.applied_to and not stage.transform.geometric
            save_before_after(path, *views_of(scene, subject), caption, by_value, subject.slice_axis)
            written.append(path)
            bar.update()
    return written


def get_data(fname_in: str | os.PathLike[str], axis: int) -> tuple[Image, np.ndarray]:
    """Read an image.

    Args:
        fname_in: NIfTI file or picture; the pixel size of a picture is read from the JSON file beside it.
        axis: RAS axis along which slices are taken.

    Returns:
        The image, and its voxels [H, W, D] with the slices along D.
    """
    image = read_image(fname_in, None if is_nifti(fname_in) else _pixel_size(fname_in))
    if not np.isfinite(image.data).all():
        raise DataError(f"{fname_in}: has NaN or infinite voxels; mend the file")
    return image, image.grid(axis).to_hwd(image.data)


def _always_applied(
    transforms: Mapping[str, Mapping[str, Any]],
) -> tuple[dict[str, dict[str, Any]], dict[str, str]]:
    """The transforms with every probability at 1, and what the probabilities are."""
    changed, chances = {}, {}
    for name, arguments in transforms.items():
        changed[name] = dict(arguments)
        known = inspect.signature(TRANSFORMS[name]).parameters
        for key in {"p", "prob"} & known.keys():
            chance = arguments.get(key, known[key].default)
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
    mask = read_label(path, None if is_nifti(path) else _pixel_size(reference))
    check_same_grid(grid, reference, mask.grid(axis), path)
    return grid.to_hwd(grid.align(mask.grid(axis), mask.data))


def _sidecar(path: str | os.PathLike[str]) -> Path:
    return Path(f"{split_extension(path)[0]}.json")


def _pixel_size(path: str | os.PathLike[str]) -> tuple[float, ...] | None:
    """Of a picture, in mm, from the JSON file beside it."""
    sidecar = _sidecar(path)
    return pixel_size_mm(read_json_object(sidecar), path) if sidecar.is_file() else None


def _choose(subject: Subject, chain: Pipeline, number: int, seed: int, is_2d: bool) -> list[int]:
    """Draw slices among those that can be shown."""
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
    """File name that tells all transforms of a chain, or the last one where that is too long."""
    stem = "_".join(names)
    return stem if len(stem) <= _LONGEST_NAME else f"{len(names)}_transforms_to_{names[-1]}"


def main(args: Sequence[str] | None = None) -> int:
    """Console script."""
    options = get_parser().parse_args(args)
    return run_tool("ivadomed_visualize_transforms", lambda: _run(options))


def _run(options: argparse.Namespace) -> None:
    written = run_visualization(
        options.input, options.config, options.number, options.output, options.roi, options.label
    )
    print(f"{len(written)} pictures in {Path(options.output).resolve()}")


if __name__ == "__main__":
    sys.exit(main())
