"""Pictures of predictions over their images."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable
from pathlib import Path

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from tqdm import tqdm

from ivadomed.evaluation.pairs import PredictionPair, job_count
from ivadomed.evaluation.read import read_pair, voxels_on
from ivadomed.evaluation.summary import split_column
from ivadomed.images import io
from ivadomed.runtime.terminal import hidden_bar
from ivadomed.visualize import save_overlays

logger = logging.getLogger(__name__)

OVERLAY_FOLDER = Path("results_eval", "overlays")


def worst_first(table: pd.DataFrame) -> list[str]:
    """Images in order of the lowest Dice of their classes; last those where no class is in either mask."""
    dice = table[[column for column in table.columns if split_column(column)[0] == "dice"]].min(axis=1)
    return dice.sort_values(kind="stable", na_position="last").index.to_list()


def paint_overlays(
    pairs: Iterable[PredictionPair], chosen: Collection[str], path_output: Path, slice_axis: int
) -> dict[str, Path]:
    """Write ``results_eval/overlays/<image>.png``: the prediction in colour, the ground truth as an outline.

    Args:
        pairs: Predictions and their images; a pair without an image is left out.
        chosen: Names of the images to paint.
        path_output: Folder of the run.
        slice_axis: RAS axis along which slices were taken.

    Returns:
        Picture by image name.
    """
    folder = path_output / OVERLAY_FOLDER
    painted = [pair for pair in pairs if pair.image is not None and pair.image_id in chosen]
    files = [folder / f"{pair.image_id}.png" for pair in painted]
    jobs = Parallel(n_jobs=job_count(painted), prefer="threads", return_as="generator")(
        delayed(_paint)(pair, file, slice_axis) for pair, file in zip(painted, files, strict=True)
    )
    for _ in tqdm(jobs, total=len(painted), desc="Pictures", unit="image", leave=False, disable=hidden_bar()):
        pass
    if painted:
        logger.info("Pictures of the predictions: %s", folder)
    return {pair.image_id: file for pair, file in zip(painted, files, strict=True)}


def _paint(pair: PredictionPair, file: Path, slice_axis: int) -> None:
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
    axis = None if data.is_picture else slice_axis
    save_overlays(file, grid.to_hwd(image.data), prediction, truth, slice_axis=axis)
