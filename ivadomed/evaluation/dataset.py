"""Evaluate the prediction files of a run: one row of metrics per image, and images of the objects found or missed."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from tqdm import tqdm

from ivadomed.config.schema.predictions import EvaluationParameters
from ivadomed.errors import DataError
from ivadomed.evaluation.objects import (
    FALSE_NEGATIVE,
    FALSE_POSITIVE,
    TRUE_POSITIVE,
    evaluation_parameters,
    paint_voxels,
)
from ivadomed.evaluation.pairs import (
    PairData,
    PredictionPair,
    job_count,
    read_pair,
)
from ivadomed.evaluation.summary import in_words, mean_over_classes
from ivadomed.evaluation.volume import evaluate_pair
from ivadomed.images import io
from ivadomed.images.files import write_csv, write_text
from ivadomed.jobs import Workers, values
from ivadomed.runtime.failures import shortages_explained
from ivadomed.runtime.terminal import hidden_bar

logger = logging.getLogger(__name__)

RESULT_FILE = Path("results_eval", "evaluation_3Dmetrics.csv")
_LESS = "use fewer --jobs, a machine with more, or evaluate a part of the image"
_PROBLEMS_SHOWN = 5
_COARSE = 10  # voxels
_PNG_STEP = 85  # background, TP, FP, FN are 0, 85, 170, 255 in a picture, easy to tell apart
OBJECTS, VOXELS = "TP-FP-FN", "TP-FP-FN_voxelwise"
"""File name suffixes of painted objects and voxels."""
LEGEND_FILE = Path("results_eval", "TP-FP-FN.tsv")
VOXEL_FOLDER = Path("results_eval", "voxelwise")
_PAINTED = {OBJECTS: "objects", VOXELS: "voxels"}
_LEGEND = {
    TRUE_POSITIVE: ("true positive", "predicted object that is one of the truth", "in both"),
    FALSE_POSITIVE: (
        "false positive",
        "predicted object that is none of the truth",
        "in the prediction only",
    ),
    FALSE_NEGATIVE: ("false negative", "object of the truth that was not found", "in the truth only"),
}


def evaluate_predictions(
    pairs: Iterable[PredictionPair],
    path_output: str | os.PathLike[str],
    eval_params: Mapping[str, Any] | EvaluationParameters | None,
    n_jobs: int | None = None,
    workers: Workers | None = None,
) -> pd.DataFrame:
    """Evaluate predictions and write ``results_eval/evaluation_3Dmetrics.csv``.

    With object detection, objects painted TP = 1, FP = 2, FN = 3 are written next to each prediction
    ``x_pred.nii.gz`` as ``x_pred_TP-FP-FN.nii.gz``, and voxels to ``results_eval/voxelwise`` as
    ``x_pred_TP-FP-FN_voxelwise.nii.gz``; for pictures also as ``x_class-0_pred_TP-FP-FN.png`` and so on, with the
    values 85, 170, 255. ``results_eval/TP-FP-FN.tsv`` is the legend.

    Args:
        pairs: Predictions and their ground truth.
        path_output: Folder of the run.
        eval_params: ``evaluation_parameters`` of the configuration.
        n_jobs: Threads, as joblib counts them; None: as many as cores and memory allow.
        workers: Processes, or a cluster, to use instead of threads.

    Returns:
        One row per image (index ``image_id``, sorted), one column per metric (sorted). See
        ``Evaluation3DMetrics`` for the metrics and when they are NaN.

    Raises:
        DataError: A file is damaged, or a prediction and its ground truth have different grids.
        ConfigError: ``eval_params`` is invalid.
    """
    params = evaluation_parameters(eval_params)
    pairs = sorted(pairs, key=lambda pair: pair.image_id)
    _check_grids(pairs)
    if pairs and params.surface_metrics:
        _check_tolerance(pairs[0], params.surface_tolerance_mm)
    if params.object_detection_metrics:
        _write_legend(Path(path_output))
    done = _evaluated(
        pairs, partial(_evaluate_files, params=params, path_output=Path(path_output)), n_jobs, workers
    )
    numbered = dict(tqdm(done, total=len(pairs), desc="Evaluation", unit="image", disable=hidden_bar()))
    rows = [numbered[number] for number in range(len(pairs))]
    index = pd.Index([pair.image_id for pair in pairs], name="image_id")
    table = pd.DataFrame(rows, index=index).sort_index(axis=1)
    write_csv(Path(path_output, RESULT_FILE), table)
    return table


def _evaluated(
    pairs: Sequence[PredictionPair],
    evaluate_one: Callable[[PredictionPair], dict[str, float]],
    n_jobs: int | None,
    workers: Workers | None,
) -> Iterator[tuple[int, dict[str, float]]]:
    """Index and metrics of each pair."""
    if workers is not None:
        return values(evaluate_one, pairs, workers)
    # Threads: the work is in libraries that release the GIL, and a process would first have to import them all.
    pool = Parallel(n_jobs=n_jobs or job_count(pairs), prefer="threads", return_as="generator")
    return enumerate(pool(delayed(evaluate_one)(pair) for pair in pairs))


def preview(df: pd.DataFrame, class_names: Sequence[str] = (), rows: int = 5) -> str:
    """Format the first rows and outer columns of a result table for the terminal, with class names."""
    named = df.head(rows).rename(columns=lambda column: in_words(str(column), class_names))
    return named.to_string(max_cols=14, show_dimensions=True)


def _check_grids(pairs: Sequence[PredictionPair]) -> None:
    """Raise one DataError for all pairs with mismatched grids, before hours are spent on the others."""
    problems = []
    for pair in pairs:
        try:
            pair.check_grid()
        except DataError as error:
            problems.append(str(error))
    if problems:
        more = len(problems) - _PROBLEMS_SHOWN
        shown = problems[:_PROBLEMS_SHOWN] + ([f"and {more} more images"] if more > 0 else [])
        raise DataError("\n".join(shown))


def _check_tolerance(pair: PredictionPair, tolerance: float) -> None:
    """Warn of a tolerance too large for these images, with which nsd is close to 1 for any prediction."""
    finest = min(pair.pixel_size or io.read_grid(pair.predictions[0], several=True).zooms)
    if tolerance >= _COARSE * finest:
        logger.warning(
            "evaluation_parameters.surface_tolerance_mm: %g mm are %.0f voxels of %s, so that nsd tells little; "
            "give the distance by which raters differ",
            tolerance,
            tolerance / finest,
            pair.image_id,
        )


def _evaluate_files(
    pair: PredictionPair, params: EvaluationParameters, path_output: Path
) -> dict[str, float]:
    with shortages_explained(os.fspath(pair.predictions[0]), _LESS):
        data = read_pair(pair)
        values, painted = evaluate_pair(data.prediction, data.target, data.zooms, params, data.ignore)
        if params.object_detection_metrics:
            voxels = paint_voxels(data.prediction, data.target, data.ignore)
            _write_painted(pair, data, painted.reshape(voxels.shape), OBJECTS, pair.predictions[0].parent)
            _write_painted(pair, data, voxels, VOXELS, path_output / VOXEL_FOLDER)
        return values


def _write_painted(
    pair: PredictionPair, data: PairData, painted: np.ndarray, name: str, folder: Path
) -> None:
    """Write painted objects or voxels [X, Y, Z, K] in the format of the prediction."""
    stems = [folder / io.split_extension(path.name)[0] for path in pair.predictions]
    if io.is_nifti(pair.predictions[0]):
        apart = [painted[..., k] for k in range(painted.shape[3])]
        volumes = [painted] if len(stems) == 1 and len(apart) > 1 else apart
        for stem, volume in zip(stems, volumes, strict=True):
            image = io.make_nifti(volume.astype(np.uint8), data.affine, data.header)
            image.header["descrip"] = f"{_PAINTED[name]}: 1 true positive, 2 false positive, 3 false negative"
            io.save_nifti(image, f"{stem}_{name}.nii.gz")
    if data.is_picture:
        for k in range(painted.shape[3]):
            path = folder / f"{pair.image_id}_class-{k}_pred_{name}.png"
            io.write_picture(path, (painted[..., 0, k] * _PNG_STEP).astype(np.uint8))


def _write_legend(path_output: Path) -> None:
    """Write the legend of painted objects and voxels."""
    heads = ["value", "grey of pictures", "name", *(f"*_{name}: {what}" for name, what in _PAINTED.items())]
    rows = [[str(value), str(value * _PNG_STEP), *texts] for value, texts in _LEGEND.items()]
    write_text(path_output / LEGEND_FILE, "".join("\t".join(row) + "\n" for row in [heads, *rows]))


def worst_first(table: pd.DataFrame) -> list[str]:
    """Images by increasing mean Dice over classes; those with all masks empty come last."""
    return mean_over_classes(table).sort_values(kind="stable", na_position="last").index.to_list()
