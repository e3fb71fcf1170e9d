"""Pictures of evaluated cases: a file for each, and its slices for the report."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from joblib import Parallel, delayed
from tqdm import tqdm

from ivadomed.evaluation.pairs import PredictionPair, job_count, read_pair, voxels_on
from ivadomed.images import io
from ivadomed.runtime.terminal import hidden_bar
from ivadomed.visualize import save_overlays, stack_slices

logger = logging.getLogger(__name__)

OVERLAY_FOLDER = Path("results_eval", "overlays")
MB = 1_000_000
_MOST = 1 * MB  # per case
_LEAST = 0.05 * MB  # less shows too little of a large volume
_FIRST = 20  # number of worst cases, which get the largest share


@dataclass(frozen=True, eq=False)
class CasePicture:
    """Pictures of one case.

    Args:
        file: PNG of slices that hold a segmentation.
        slices: JSON of a ``SliceStack``; empty if the page has no room for it.
    """

    file: Path
    slices: str = ""


def paint_cases(
    pairs: Iterable[PredictionPair],
    chosen: Sequence[str],
    path_output: Path,
    slice_axis: int,
    slices_mb: float = 0,
) -> dict[str, CasePicture]:
    """Write ``results_eval/overlays/<image>.png`` and pack the slices of each case.

    Args:
        pairs: Predictions and their images; pairs without an image are left out.
        chosen: Names of the images to paint, worst first.
        path_output: Folder of the run.
        slice_axis: RAS axis along which slices were extracted.
        slices_mb: Size limit in megabytes for the slices of all cases.

    Returns:
        Picture by image name.
    """
    folder = path_output / OVERLAY_FOLDER
    painted = {pair.image_id: pair for pair in pairs if pair.image is not None}
    names = [name for name in chosen if name in painted]
    shares = share(len(names), slices_mb * MB)
    jobs = Parallel(
        n_jobs=job_count([painted[name] for name in names]), prefer="threads", return_as="generator"
    )(
        delayed(_paint)(painted[name], folder / f"{name}.png", slice_axis, most)
        for name, most in zip(names, shares, strict=True)
    )
    bar = tqdm(jobs, total=len(names), desc="Pictures", unit="image", leave=False, disable=hidden_bar())
    pictures = dict(zip(names, bar, strict=True))
    if pictures:
        logger.info("Pictures of the predictions: %s", folder)
    return pictures


def share(cases: int, total: float) -> list[float]:
    """Share ``total`` bytes of slices among cases, worst case first.

    A case gets at most 1 MB. Half of the total goes to the 20 worst cases and the rest to the others, in equal shares
    of at least 50 kB; if that does not suffice for all cases, the last ones get nothing.
    """
    first = min(cases, _FIRST, int(total // _LEAST))
    if not first:
        return [0.0] * cases
    some = total if cases == first else max(total / 2, first * _LEAST)
    most = min(_MOST, some / first)
    others = min(cases - first, int((total - first * most) // _LEAST))
    each = min(most, (total - first * most) / max(1, others))
    return [most] * first + [each] * others + [0.0] * (cases - first - others)


def _paint(pair: PredictionPair, file: Path, slice_axis: int, most_bytes: float) -> CasePicture:
    assert pair.image is not None
    image, data = io.read_image(pair.image), read_pair(pair)
    grid = image.grid(slice_axis)
    aligned = (
        voxels_on(grid, pair.image, io.Image(classes, data.affine), pair.predictions[0])
        for classes in (data.prediction, data.target)
    )
    prediction, truth = (
        np.stack([grid.to_hwd(classes[..., k]) for k in range(classes.shape[3])]) for classes in aligned
    )
    voxels, axis = grid.to_hwd(image.data), None if data.is_picture else slice_axis
    save_overlays(file, voxels, prediction, truth, slice_axis=axis)
    stack = stack_slices(voxels, prediction, truth, grid.zooms, axis, most_bytes)
    return CasePicture(file, stack.json if stack else "")
