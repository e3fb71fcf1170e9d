"""``ivadomed.evaluation.evaluate``: predictions of the images of a ``BidsDataframe``."""

from __future__ import annotations

import logging
import os
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import pandas as pd

from ivadomed.errors import DataError
from ivadomed.evaluation.dataset import evaluate_predictions
from ivadomed.evaluation.pairs import PredictionPair, Suffixes, find_predictions, raters_of
from ivadomed.evaluation.summary import write_summary
from ivadomed.images import io
from ivadomed.images.label_suffix import LabelSuffix, LabelTable, class_labels
from ivadomed.images.labels import LabelFile
from ivadomed.inference.outputs import PREDICTIONS
from ivadomed.loader.bids.files import BidsFile

logger = logging.getLogger(__name__)


class Dataset(Protocol):
    """The required part of ``BidsDataframe``."""

    df: pd.DataFrame

    def get_deriv_fnames(self) -> list[str]:
        """File names of the derivatives."""

    def label_values(self, file: BidsFile) -> LabelTable:
        """Values of each class in a label map by its name."""


def evaluate(
    bids_df: Dataset,
    path_output: str | os.PathLike[str],
    target_suffix: Suffixes,
    eval_params: Mapping[str, Any] | None,
) -> pd.DataFrame:
    """Evaluate ``pred_masks/<image>_pred.nii.gz`` (or a picture) of every image of the data set.

    The ground truth of a class is the derivative named exactly ``<image><suffix><extension>``. A class
    without one counts as an empty mask. Of several raters (a list instead of a suffix), the first one with
    a file is used. A prediction whose image is not in the data set is not evaluated; a warning names it.

    Args:
        bids_df: The data set: ``df`` with columns ``path`` and ``filename``, and ``get_deriv_fnames()``.
        path_output: Folder of the run.
        target_suffix: Suffix of each class, for example ``["_seg-manual"]``.
        eval_params: ``evaluation_parameters`` of the configuration.

    Returns:
        See ``evaluate_predictions``; ``results_eval/summary.csv`` is written too, see ``summarize``.

    Raises:
        DataError: An image or a label is there twice, or a prediction does not fit its ground truth.
        ConfigError: ``eval_params`` is invalid.
    """
    pairs = pairs_of_table(bids_df, Path(path_output, PREDICTIONS), target_suffix)
    table = evaluate_predictions(pairs, path_output, eval_params)
    firsts = [raters_of(entry)[0] for entry in target_suffix]
    write_summary(table, pairs, path_output, class_labels(firsts))
    return table


def pairs_of_table(bids_df: Dataset, folder: Path, target_suffix: Suffixes) -> list[PredictionPair]:
    """Pairs of all images of a data set that have a prediction in ``folder``; see ``ivadomed.evaluation.evaluate``.

    Raises:
        DataError: An image or a label is there twice, or a prediction lacks the file of a class.
    """
    derivatives = set(bids_df.get_deriv_fnames())
    images: dict[str, list[str]] = defaultdict(list)
    labels: dict[str, list[str]] = defaultdict(list)
    for path, name in zip(bids_df.df["path"], bids_df.df["filename"], strict=True):
        if name.lower().endswith(io.EXTENSIONS):
            (labels if name in derivatives else images)[io.split_extension(name)[0]].append(str(path))
    ignore_label = getattr(getattr(bids_df, "selection", None), "ignore_label", None)
    files_of_index = {file.path: file for file in getattr(bids_df, "index", None) or ()}

    def table_of(path: Path) -> LabelTable:
        file = files_of_index.get(path)
        return {} if file is None else bids_df.label_values(file)

    pairs = []
    for image_id, files in find_predictions(folder, images, target_suffix).items():
        image = Path(_only(images[image_id], "image"))
        extension = io.split_extension(image)[1]
        targets = tuple(_target(labels, image_id, suffix, extension, table_of) for suffix in target_suffix)
        missing = [
            str(suffix) for suffix, target in zip(target_suffix, targets, strict=True) if target is None
        ]
        if missing:
            logger.warning("%s: no ground truth %s; counts as an empty mask", image_id, ", ".join(missing))
        subject, contrast = image_id.split("_")[0], image_id.split("_")[-1]
        pairs.append(
            PredictionPair(
                image_id,
                files,
                targets,
                image if image.is_file() else None,
                subject,
                contrast,
                ignore=_target(labels, image_id, ignore_label or (), extension, table_of),
                soft=True,
            )
        )
    return pairs


def _target(
    labels: Mapping[str, list[str]],
    image_id: str,
    suffix: str | Sequence[str],
    extension: str,
    table_of: Callable[[Path], LabelTable],
) -> LabelFile | None:
    for rater in map(LabelSuffix.parse, raters_of(suffix)):
        paths = labels.get(image_id + io.without_extension(rater.file), [])
        same_type = [path for path in paths if path.lower().endswith(extension.lower())]
        if paths:
            path = Path(_only(same_type or paths, "label"))
            return LabelFile(path, rater.values(table_of(path) if rater.needs_table else {}, path))
    return None


def _only(paths: Sequence[str], kind: str) -> str:
    unique = sorted(set(paths))
    if len(unique) > 1:
        raise DataError(
            f"{unique[0]}: the data set has this {kind} {len(unique)} times, also as {unique[1]}; "
            "rename or remove all but one"
        )
    return unique[0]
