"""The threshold at which a trained network's soft predictions agree best with the ground truth."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from ivadomed.errors import ConfigError
from ivadomed.images.io import write_figure
from ivadomed.inference.backends import open_model, refuse_not_finite
from ivadomed.inference.engine import Forward
from ivadomed.loader.samples import SampleDataset, in_order
from ivadomed.runtime.terminal import hidden_bar

METRICS = ("dice", "recall_specificity")


def best_threshold(
    model: Path,
    datasets: Sequence[SampleDataset],
    batch_size: int,
    device: torch.device,
    metric: str = "dice",
    increment: float = 0.1,
    picture: str | os.PathLike[str] = "thr.png",
    precision: str = "auto",
) -> float:
    """Search for the best binarization threshold on a grid, and plot the result.

    Args:
        model: Model file.
        datasets: Samples to search on, usually those of training and validation.
        batch_size: Samples per call of the network.
        device: Device of the network.
        metric: "dice": mean Dice of the samples (two empty masks count as 1). "recall_specificity": true and false
            positive rate over all voxels or slices; the best threshold has the largest difference (Youden's index).
        increment: Spacing of the thresholds, between 0 and 1.
        picture: Figure to write: Dice against the threshold, or the ROC curve.
        precision: Number format of the network, see ``predicts_in_half``.

    Returns:
        The best threshold; the middle one if several tie.

    Raises:
        ConfigError: Unknown metric, or an increment out of range.
    """
    if metric not in METRICS:
        raise ConfigError(f"threshold analysis: metric {metric!r}; expected one of {', '.join(METRICS)}")
    if not 0 < increment < 1:
        raise ConfigError(f"--thr-increment: {increment}; expected a number between 0 and 1, e.g. 0.1")
    thresholds = np.arange(increment, 1.0 - 1e-9, increment)
    predicted, both, true, size = _counts(
        open_model(model, device, precision), datasets, batch_size, thresholds, str(model)
    )
    if metric == "dice":
        total = predicted + true[:, None]
        dice = np.where(total > 0, 2 * both / np.maximum(total, 1), 1.0).mean(axis=0)
        best = _middle_of_best(dice)
        plot_dice_thr(thresholds.tolist(), dice.tolist(), best, picture)
    else:
        true_rate = both.sum(axis=0) / max(true.sum(), 1)
        false_rate = (predicted - both).sum(axis=0) / max((size - true).sum(), 1)
        best = _middle_of_best(true_rate - false_rate)
        plot_roc_curve(true_rate.tolist(), false_rate.tolist(), best, picture)
    return round(float(thresholds[best]), 6)


def _counts(
    forward: Forward,
    datasets: Sequence[SampleDataset],
    batch_size: int,
    thresholds: np.ndarray,
    source: str,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Voxel counts of each sample and class that the metrics need, so predictions need not be kept.

    Returns:
        Number of predicted voxels [S, T], of true positives [S, T], of true voxels [S], of voxels [S], all without
        ignored voxels.
    """
    parts = []
    for dataset in datasets:
        batches = in_order(dataset, batch_size)
        for batch in tqdm(
            batches, desc="Threshold analysis", unit="batch", leave=False, disable=hidden_bar()
        ):
            assert batch.target is not None
            predictions = forward(batch)
            refuse_not_finite(predictions, dataset.names_of(batch), source)
            guess = predictions.cpu().flatten(0, 1).unsqueeze(-1).flatten(1)
            truth = batch.target.flatten(0, 1).unsqueeze(-1).flatten(1) >= 0.5
            counted = torch.ones_like(truth)
            if batch.mask is not None:
                counted = batch.mask.expand_as(batch.target).flatten(0, 1).unsqueeze(-1).flatten(1)
            truth = truth & counted
            over = [(guess >= t) & counted for t in thresholds]
            predicted = torch.stack([o.sum(1) for o in over], 1)
            both = torch.stack([(o & truth).sum(1) for o in over], 1)
            parts.append((predicted, both, truth.sum(1), counted.sum(1)))
    columns = [torch.cat(part).double().numpy() for part in zip(*parts, strict=True)]
    return columns[0], columns[1], columns[2], columns[3]


def _middle_of_best(scores: np.ndarray) -> int:
    best = np.flatnonzero(scores >= scores.max() - 1e-9)
    return int(best[len(best) // 2])


def plot_dice_thr(
    thr_list: Sequence[float], dice_list: Sequence[float], opt_thr_idx: int, fname_out: str | os.PathLike[str]
) -> None:
    """Plot Dice against the threshold and mark the best one.

    Args:
        thr_list: Thresholds.
        dice_list: Mean Dice at each threshold.
        opt_thr_idx: Index of the best threshold.
        fname_out: Picture to write; its extension chooses the format.
    """
    label = f"Maximum DICE at {thr_list[opt_thr_idx]:.3g}"
    _plot(thr_list, dice_list, opt_thr_idx, label, ("Thresholds", "Dice"), False, fname_out)


def plot_roc_curve(
    tpr: Sequence[float], fpr: Sequence[float], opt_thr_idx: int, fname_out: str | os.PathLike[str]
) -> None:
    """Plot the receiver operating characteristic, its area, and mark the best threshold.

    Args:
        tpr: True positive rate at each threshold.
        fpr: False positive rate at each threshold.
        opt_thr_idx: Index of the best threshold.
        fname_out: Picture to write; its extension chooses the format.
    """
    order = np.lexsort((tpr, fpr))
    x, y = np.asarray(fpr, float)[order], np.asarray(tpr, float)[order]
    area = float(np.diff(x) @ (y[1:] + y[:-1]) / 2)
    axes = (f"False Positive Rate (area under the curve {area:.3f})", "True Positive Rate")
    label = f"Optimal threshold, ({fpr[opt_thr_idx]:.3g}, {tpr[opt_thr_idx]:.3g})"
    _plot(fpr, tpr, opt_thr_idx, label, axes, True, fname_out)


def _plot(
    x: Sequence[float],
    y: Sequence[float],
    mark: int,
    label: str,
    axis_names: tuple[str, str],
    diagonal: bool,
    path: str | os.PathLike[str],
) -> None:
    # A standalone Figure needs neither a display nor pyplot's global state.
    from matplotlib.figure import Figure

    figure = Figure()
    axes = figure.add_subplot()
    if diagonal:
        axes.plot([0, 1], [0, 1], color="0.6", linestyle="--")
    axes.plot(x, y, marker="o")
    axes.plot([x[mark]], [y[mark]], color="tab:red", marker="o", linestyle="", label=label)
    axes.set(xlabel=axis_names[0], ylabel=axis_names[1])
    axes.legend(loc="best")
    write_figure(path, figure)
