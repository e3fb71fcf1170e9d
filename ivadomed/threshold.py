"""The threshold at which a trained network's soft predictions agree best with the ground truth."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from ivadomed.errors import ConfigError
from ivadomed.inference.backends import open_model
from ivadomed.loader.samples import Batch, EpochSampler, SampleDataset, make_loader
from ivadomed.loader.samples.documented import as_samples
from ivadomed.metrics import plot_dice_thr, plot_roc_curve
from ivadomed.runtime.device import define_device
from ivadomed.runtime.terminal import hidden_bar

METRICS = ("dice", "recall_specificity")


def threshold_analysis(
    model_path: str | os.PathLike[str],
    ds_lst: Sequence[Any],
    model_params: Mapping[str, Any],
    testing_params: Mapping[str, Any],
    metric: str = "dice",
    increment: float = 0.1,
    fname_out: str | os.PathLike[str] = "thr.png",
    cuda_available: bool = True,
) -> float:
    """Search the best binarization threshold on a grid, and plot what was found.

    Args:
        model_path: Model file.
        ds_lst: Data sets to search on, as a rule those of training and validation; also the documented ones.
        model_params: ``film_onehotencoder`` for a network with ``film_layers`` on documented data sets; else the file
            knows what it is.
        testing_params: "batch_size".
        metric: "dice": mean Dice of the samples (two empty masks count as 1). "recall_specificity": true and false
            positive rate over all voxels or slices; the best threshold has the largest difference (Youden's index).
        increment: Distance of the thresholds, between 0 and 1.
        fname_out: Picture to write: Dice over the threshold, or the ROC curve.
        cuda_available: Whether a GPU may be used.

    Returns:
        The best threshold; of several equally good ones the one in the middle.

    Raises:
        ConfigError: Unknown metric, or an increment out of range.
    """
    if metric not in METRICS:
        raise ConfigError(f"threshold analysis: metric {metric!r}; expected one of {', '.join(METRICS)}")
    if not 0 < increment < 1:
        raise ConfigError(f"--thr-increment: {increment}; expected a number between 0 and 1, e.g. 0.1")
    thresholds = np.arange(increment, 1.0 - 1e-9, increment)
    _, device = define_device(0 if cuda_available else None)
    forward = open_model(Path(model_path), device)
    datasets = [as_samples(dataset, model_params) for dataset in ds_lst]
    counts = _counts(forward, datasets, int(testing_params["batch_size"]), thresholds)
    if metric == "dice":
        dice = _mean_dice(*counts)
        best = _middle_of_best(dice)
        plot_dice_thr(thresholds.tolist(), dice.tolist(), best, fname_out)
    else:
        true_rate, false_rate = _rates(*counts)
        best = _middle_of_best(true_rate - false_rate)
        plot_roc_curve(true_rate.tolist(), false_rate.tolist(), best, fname_out)
    return round(float(thresholds[best]), 6)


def _counts(
    forward: Callable[[Batch], np.ndarray],
    datasets: Sequence[SampleDataset],
    batch_size: int,
    thresholds: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Per sample and class what the metrics need, so that no prediction is kept.

    Returns:
        Predicted voxels [S, T], those of them that are true [S, T], true voxels [S], voxels [S].
    """
    parts = []
    for dataset in datasets:
        loader = make_loader(dataset, EpochSampler(len(dataset), 0, shuffle=False), batch_size, num_workers=0)
        for batch in tqdm(loader, desc="Threshold analysis", unit="batch", leave=False, disable=hidden_bar()):
            assert batch.target is not None
            guess = torch.from_numpy(forward(batch)).flatten(0, 1).unsqueeze(-1).flatten(1)
            truth = batch.target.flatten(0, 1).unsqueeze(-1).flatten(1) >= 0.5
            over = [guess >= t for t in thresholds]
            predicted = torch.stack([o.sum(1) for o in over], 1)
            both = torch.stack([(o & truth).sum(1) for o in over], 1)
            parts.append((predicted, both, truth.sum(1), torch.full((len(truth),), truth.shape[1])))
    columns = [torch.cat(part).double().numpy() for part in zip(*parts, strict=True)]
    return columns[0], columns[1], columns[2], columns[3]


def _mean_dice(predicted: np.ndarray, both: np.ndarray, true: np.ndarray, size: np.ndarray) -> np.ndarray:
    total = predicted + true[:, None]
    return np.where(total > 0, 2 * both / np.maximum(total, 1), 1.0).mean(axis=0)


def _rates(
    predicted: np.ndarray, both: np.ndarray, true: np.ndarray, size: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    positives, negatives = max(true.sum(), 1), max((size - true).sum(), 1)
    return both.sum(axis=0) / positives, (predicted - both).sum(axis=0) / negatives


def _middle_of_best(scores: np.ndarray) -> int:
    best = np.flatnonzero(scores >= scores.max() - 1e-9)
    return int(best[len(best) // 2])
