"""Evaluate the prediction files of a run and write the table and the painted images."""

from __future__ import annotations

import logging
import os
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from nibabel.orientations import aff2axcodes
from tqdm import tqdm

from ivadomed import io
from ivadomed.errors import DataError
from ivadomed.evaluation.params import EvaluationParams
from ivadomed.evaluation.volume import evaluate_pair
from ivadomed.files import atomic_path

logger = logging.getLogger(__name__)

PREDICTION_FOLDER = "pred_masks"
RESULT_FILE = Path("results_eval", "evaluation_3Dmetrics.csv")
_PRED = "_pred"


class Dataset(Protocol):
    """What is needed of ``BidsDataframe``."""

    df: pd.DataFrame

    def get_deriv_fnames(self) -> list[str]:
        """File names of the derivatives."""


@dataclass(frozen=True)
class PredictionPair:
    """A prediction file and the ground truth of the same image.

    Args:
        image_id: Name of the image without extension; the row of the table.
        prediction: File of [X, Y, Z] (one class) or [X, Y, Z, K].
        targets: One file per class; None where the image has none of that class.
    """

    image_id: str
    prediction: Path
    targets: tuple[Path | None, ...]


def evaluate(
    bids_df: Dataset,
    path_output: str | os.PathLike[str],
    target_suffix: Sequence[str | Sequence[str]],
    eval_params: Mapping[str, Any] | None,
) -> pd.DataFrame:
    """Evaluate ``pred_masks/<image>_pred.nii.gz`` (or a picture) of every image of the data set.

    The ground truth of a class is the derivative named exactly ``<image><suffix><extension>``. A class
    without one counts as an empty mask. Of several raters (a list in place of a suffix) the first one that
    has a file is taken. A prediction whose image is not in the data set is not evaluated; a warning names it.

    Args:
        bids_df: The data set: ``df`` with columns ``path`` and ``filename``, and ``get_deriv_fnames()``.
        path_output: Folder of the run.
        target_suffix: Suffix of each class, for example ``["_seg-manual"]``.
        eval_params: Evaluation parameters, see ``EvaluationParams``.

    Returns:
        See ``evaluate_predictions``.

    Raises:
        DataError: An image or a label is there twice, or a prediction does not fit its ground truth.
        ConfigError: ``eval_params`` cannot be used.
    """
    pairs = find_pairs(bids_df, Path(path_output, PREDICTION_FOLDER), target_suffix)
    return evaluate_predictions(pairs, path_output, eval_params)


def evaluate_predictions(
    pairs: Iterable[PredictionPair],
    path_output: str | os.PathLike[str],
    eval_params: Mapping[str, Any] | None,
    n_jobs: int = 1,
) -> pd.DataFrame:
    """Evaluate predictions and write ``results_eval/evaluation_3Dmetrics.csv``.

    With object detection the objects, painted TP = 1, FP = 2, FN = 3, are written beside each prediction
    ``x_pred.nii.gz`` as ``x_pred-TP-FP-FN.nii.gz``.

    Args:
        pairs: What to compare.
        path_output: Folder of the run.
        eval_params: Evaluation parameters, see ``EvaluationParams``.
        n_jobs: Processes, as joblib counts them.

    Returns:
        One row per image (index ``image_id``, sorted), one column per metric (sorted). See
        ``Evaluation3DMetrics`` for the metrics and for when they are NaN.

    Raises:
        DataError: A file is damaged, or a prediction and its ground truth differ in shape or orientation.
        ConfigError: ``eval_params`` cannot be used.
    """
    params = EvaluationParams.parse(eval_params)
    pairs = sorted(pairs, key=lambda pair: pair.image_id)
    jobs = Parallel(n_jobs=n_jobs, return_as="generator")(
        delayed(_evaluate_files)(pair, params) for pair in pairs
    )
    rows = list(tqdm(jobs, total=len(pairs), desc="Evaluation", unit="image", disable=None))
    index = pd.Index([pair.image_id for pair in pairs], name="image_id")
    table = pd.DataFrame(rows, index=index).sort_index(axis=1)
    with atomic_path(Path(path_output, RESULT_FILE)) as temporary:
        table.to_csv(temporary)
    return table


def preview(df: pd.DataFrame, rows: int = 5) -> str:
    """First rows and the outer columns of a result table, for the terminal."""
    return df.head(rows).to_string(max_cols=14, show_dimensions=True)


def find_pairs(
    bids_df: Dataset, folder: Path, target_suffix: Sequence[str | Sequence[str]]
) -> list[PredictionPair]:
    """Predictions in ``folder`` and the ground truth of exactly their image; see ``evaluate``."""
    derivatives = set(bids_df.get_deriv_fnames())
    images: dict[str, list[str]] = defaultdict(list)
    labels: dict[str, list[str]] = defaultdict(list)
    for path, name in zip(bids_df.df["path"], bids_df.df["filename"], strict=True):
        if name.lower().endswith(io.EXTENSIONS):
            (labels if name in derivatives else images)[io.split_extension(name)[0]].append(str(path))
    pairs = []
    for image_id, prediction in _find_predictions(folder, images, target_suffix).items():
        if image_id not in images:
            logger.warning("%s: not evaluated, the data set has no image %s", prediction, image_id)
            continue
        extension = io.split_extension(_only(images[image_id], "image"))[1]
        targets = tuple(_target(labels, image_id, suffix, extension) for suffix in target_suffix)
        missing = [
            str(suffix) for suffix, target in zip(target_suffix, targets, strict=True) if target is None
        ]
        if missing:
            logger.warning("%s: no ground truth %s; counts as an empty mask", image_id, ", ".join(missing))
        pairs.append(PredictionPair(image_id, prediction, targets))
    return pairs


def _find_predictions(
    folder: Path, images: Mapping[str, Any], target_suffix: Sequence[str | Sequence[str]]
) -> dict[str, Path]:
    """Prediction file by image name; a NIfTI file goes before a picture, which may hold one class of it."""
    predictions: dict[str, Path] = {}
    files = sorted(p for p in folder.glob(f"*{_PRED}.*") if p.name.lower().endswith(io.EXTENSIONS))
    for path in sorted(files, key=lambda p: not io.is_nifti(p)):
        stem = Path(io.split_extension(path)[0]).name
        if stem.endswith(_PRED):
            predictions.setdefault(stem.removesuffix(_PRED), path)
    suffixes = tuple(suffix for entry in target_suffix for suffix in _raters(entry))
    return {
        image_id: path
        for image_id, path in predictions.items()
        if image_id in images or not _is_class_picture(image_id, suffixes, predictions)
    }


def _is_class_picture(name: str, suffixes: Sequence[str], predictions: Mapping[str, Path]) -> bool:
    return any(name.endswith(suffix) and name.removesuffix(suffix) in predictions for suffix in suffixes)


def _raters(entry: str | Sequence[str]) -> list[str]:
    return [entry] if isinstance(entry, str) else list(entry)


def _target(
    labels: Mapping[str, list[str]], image_id: str, suffix: str | Sequence[str], extension: str
) -> Path | None:
    for rater in _raters(suffix):
        paths = labels.get(image_id + rater, [])
        same_type = [path for path in paths if path.lower().endswith(extension.lower())]
        if paths:
            return Path(_only(same_type or paths, "label"))
    return None


def _only(paths: Sequence[str], kind: str) -> str:
    unique = sorted(set(paths))
    if len(unique) > 1:
        raise DataError(
            f"{unique[0]}: the data set has this {kind} {len(unique)} times, also as {unique[1]}; "
            "rename or remove all but one"
        )
    return unique[0]


def _evaluate_files(pair: PredictionPair, params: EvaluationParams) -> dict[str, float]:
    prediction = io.read_classes(pair.prediction)
    classes = prediction.data
    if classes.shape[3] != len(pair.targets):
        raise DataError(
            f"{pair.prediction}: has {classes.shape[3]} classes, loader_parameters.target_suffix names "
            f"{len(pair.targets)}; evaluate with the suffixes of the training"
        )
    target = np.zeros_like(classes)
    for c, path in enumerate(pair.targets):
        if path is not None:
            target[..., c] = _read_target(path, prediction, pair.prediction)
    values, painted = evaluate_pair(classes, target, prediction.zooms, params)
    if params.object_detection:
        stem = io.split_extension(pair.prediction)[0]
        io.write_nifti(
            f"{stem}-TP-FP-FN.nii.gz", painted, prediction.affine, prediction.header, dtype=np.uint8
        )
    return values


def _read_target(path: Path, prediction: io.Image, prediction_path: Path) -> np.ndarray:
    target = io.read_label(path)
    shape = prediction.data.shape[:3]
    if target.data.shape != shape:
        raise DataError(
            f"{prediction_path}: shape {shape} differs from {target.data.shape} of its ground truth {path}; "
            "predict the image that the ground truth was drawn on"
        )
    if prediction.header is not None and target.header is not None:
        axes = ["".join(aff2axcodes(image.affine)) for image in (prediction, target)]
        if axes[0] != axes[1]:
            raise DataError(
                f"{prediction_path}: axes {axes[0]} and shape {shape} differ from axes {axes[1]} and shape "
                f"{target.data.shape} of its ground truth {path}; reorient the ground truth to its image"
            )
    return target.data
