"""Test a trained network: predictions on the original image grids, and metrics averaged over images."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from glob import escape as glob_escape
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from ivadomed.config.schema.predictions import Uncertainty
from ivadomed.geometry.grid import Grid
from ivadomed.geometry.layout import contiguous
from ivadomed.images.io import save_nifti
from ivadomed.inference.backends import DropoutForward, Loaded, open_model
from ivadomed.inference.engine import Engine
from ivadomed.inference.label_map import NO_LABEL_MAPS, LabelMaps, overlaps_text
from ivadomed.inference.outputs import finish, to_nifti, write_label_map, write_prediction
from ivadomed.inference.prediction import Prediction
from ivadomed.inference.uncertainty import MonteCarlo
from ivadomed.loader.cases.case import Case
from ivadomed.loader.cases.volumes import Volume, read_ahead
from ivadomed.loader.conditions import Conditioner, unconditioned
from ivadomed.loader.prepared.prepare import Recipe
from ivadomed.metrics import MetricManager
from ivadomed.models import load_model
from ivadomed.runtime.device import batch_voxels
from ivadomed.runtime.terminal import hidden_bar, say
from ivadomed.transforms import Pipeline

log = logging.getLogger(__name__)


Predict = Callable[[Iterable[tuple[Case, Volume]]], Iterator[Prediction]]
"""Predicts cases, in order."""


@dataclass(frozen=True, eq=False)
class Truth:
    """Ground truth of a case.

    Args:
        target: [K, H, W, D] the first rater of each class.
        ignore: [H, W, D] bool, ignored voxels; None for none.
    """

    target: np.ndarray
    ignore: np.ndarray | None

    def on_grid(self, grid: Grid) -> tuple[np.ndarray, np.ndarray | None]:
        """Target [K, X, Y, Z] and the voxels that count [X, Y, Z], or None, as the image is stored."""
        return grid.to_native(self.target), None if self.ignore is None else ~grid.to_native(self.ignore)


@dataclass(frozen=True, eq=False)
class CaseSet:
    """Cases to predict and their preparation.

    Args:
        cases: Cases to predict.
        recipe: Fixed steps and windows.
        steps: Transforms per sample.
        conditioner: Returns the condition of the network for a case.
        uncertain_steps: Transforms per Monte Carlo sample; None for ``steps``.
        blend: Weights of overlapping windows, see ``windows.BLENDS``.
        mirror_axes: Axes along which samples are mirrored for the prediction, but not for its Monte Carlo samples.
        precision: Number format of the network, see ``predicts_in_half``.
    """

    cases: tuple[Case, ...]
    recipe: Recipe
    steps: Pipeline
    conditioner: Conditioner = unconditioned
    uncertain_steps: Pipeline | None = None
    blend: str = "mean"
    mirror_axes: tuple[int, ...] = ()
    precision: str = "auto"

    @property
    def n_classes(self) -> int:
        """Number of classes predicted for these cases."""
        return len(self.cases[0].targets)

    def engine(self, forward: Loaded, batch_size: int, **options: Any) -> Engine:
        """Engine for the cases; ``options`` are those of ``Engine``."""
        given = {
            "recipe": self.recipe,
            "steps": self.steps,
            "forward": forward,
            "n_classes": self.n_classes,
            "batch_size": batch_size,
            "max_voxels": batch_voxels(forward.device, forward.n_filters),
            "blend": self.blend,
            "mirror_axes": self.mirror_axes,
            "conditioner": self.conditioner,
            "device": forward.device,
        }
        return Engine(**{**given, **options})


def predict_cases(
    data: CaseSet,
    model: Path,
    folder: Path,
    device: torch.device,
    batch_size: int = 8,
    uncertainty: Uncertainty | None = None,
    metric_fns: Sequence[Callable[..., float]] = (),
    postprocessing: Mapping[str, Any] | None = None,
    label_maps: LabelMaps = NO_LABEL_MAPS,
) -> dict[str, float]:
    """Predict a test set and write ``<case>_pred.nii.gz``.

    With uncertainty, ``<case>_pred_NN.nii.gz`` (the Monte Carlo samples), ``<case>_soft`` and ``<case>_unc-*`` are
    written first, so that a step of the postprocessing can use them.

    Args:
        data: Cases, with labels where there are metrics.
        model: Model file.
        folder: For the predictions.
        device: Device of the network.
        batch_size: Most samples per call of the network.
        uncertainty: Settings of Monte Carlo samples; None: none.
        metric_fns: Metrics of each image, computed from the written prediction and the first rater of each class:
            [K, X, Y, Z] on the grid of the image.
        postprocessing: Steps by name, in order.
        label_maps: Writes ``<case>_dseg.nii.gz`` if classes do not overlap.

    Returns:
        Mean of each metric over the images.

    Raises:
        ModelError: There is no usable model.
        DataError: An image is unusable.
    """
    log.info("\nLoading model: %s", model)
    if uncertainty is not None and uncertainty.applied:
        estimate_uncertainty(data, model, folder, device, batch_size, uncertainty)
    engine = data.engine(open_model(model, device, data.precision), batch_size, source=str(model))
    labelled = predict_labelled(
        engine.run, data.cases, data.recipe.slice_axis, data.recipe.soft_gt, with_target=bool(metric_fns)
    )
    shown = _bar(labelled, "Inference", len(data.cases))
    return write_predictions(shown, folder, metric_fns, postprocessing, label_maps).get_results()


def write_predictions(
    labelled: Iterable[tuple[Prediction, Truth | None]],
    folder: Path,
    metric_fns: Sequence[Callable[..., float]] = (),
    postprocessing: Mapping[str, Any] | None = None,
    label_maps: LabelMaps = NO_LABEL_MAPS,
) -> MetricManager:
    """Postprocess predictions, write ``<case>_pred.nii.gz`` and measure them.

    Args:
        labelled: See ``predict_labelled``; with truths where there are metrics.
        folder: For the predictions.
        metric_fns: See ``predict_cases``.
        postprocessing: Steps by name, in order.
        label_maps: See ``predict_cases``.

    Returns:
        The metrics of the images.
    """
    metrics = MetricManager(list(metric_fns))
    without_map: list[str] = []
    for prediction, truth in labelled:
        voxels = finish(prediction, postprocessing or {}, folder / prediction.case.id)
        write_prediction(prediction, voxels, folder)
        if not write_label_map(prediction, voxels, folder / prediction.case.id, label_maps):
            without_map.append(prediction.case.id)
        if truth is not None and metric_fns:
            target, counted = truth.on_grid(prediction.grid)
            mask = None if counted is None else counted[None, None]
            metrics(contiguous(np.moveaxis(voxels, -1, 0))[None], contiguous(target)[None], mask)
    if label_maps.names and without_map:
        say("Label maps", overlaps_text(without_map))
    return metrics


def predict_labelled(
    predict: Predict,
    cases: Sequence[Case],
    slice_axis: int,
    soft_gt: bool = False,
    with_target: bool = True,
) -> Iterator[tuple[Prediction, Truth | None]]:
    """Soft predictions of cases, in order, each with its ground truth.

    Args:
        predict: ``Engine.run`` or ``PackagedModel.predict``.
        cases: Cases to predict.
        slice_axis: RAS axis along which slices are extracted.
        soft_gt: Keep label values between 0 and 1.
        with_target: Read the labels; otherwise there is no ground truth.
    """
    volumes = read_ahead(cases, slice_axis, soft_gt, with_target)
    truths: dict[str, Truth] = {}
    for prediction in predict(_without_targets(volumes, truths)):
        yield prediction, truths.pop(prediction.case.id, None)


def estimate_uncertainty(
    data: CaseSet,
    model: Path,
    folder: Path,
    device: torch.device,
    batch_size: int,
    uncertainty: Uncertainty,
) -> None:
    """Write Monte Carlo samples of each case and their uncertainty maps; see ``predict_cases`` for the arguments.

    With test-time augmentation, the random steps of ``data`` are drawn again for each sample.
    """
    if uncertainty.epistemic:
        forward: Loaded = DropoutForward(load_model(model), device, data.precision)
    else:
        forward = open_model(model, device, data.precision)
    steps, count = data.uncertain_steps or data.steps, uncertainty.n_it
    # A mean over mirrored samples would hide the variation that Monte Carlo samples show.
    engine = data.engine(forward, batch_size, source=str(model), steps=steps, repeats=count, mirror_axes=())
    predictions = engine.run(read_ahead(data.cases, data.recipe.slice_axis, with_target=False))
    for case in _bar(data.cases, "Uncertainty", len(data.cases)):
        prefix = folder / case.id
        # Samples of an earlier, longer run must not be mistaken for samples of this one.
        for path in folder.glob(f"{glob_escape(case.id)}_pred_[0-9]*.nii.gz"):
            path.unlink()
        samples = MonteCarlo()
        for number, prediction in enumerate(islice(predictions, count)):
            soft = finish(prediction)
            save_nifti(to_nifti(prediction, soft), Path(f"{prefix}_pred_{number:02d}.nii.gz"))
            samples.add(soft)
        for path, voxels in samples.maps().files(prefix).items():
            save_nifti(to_nifti(prediction, voxels), path)


def _bar(cases: Iterable[Any], title: str, total: int) -> Iterable[Any]:
    return tqdm(cases, desc=title, total=total, unit="case", leave=False, disable=hidden_bar())


def _without_targets(
    volumes: Iterable[tuple[Case, Volume]], truths: dict[str, Truth]
) -> Iterator[tuple[Case, Volume]]:
    """Yield the volumes without labels, which are collected in ``truths``."""
    for case, volume in volumes:
        if volume.target is not None:
            first = volume.target[[raters[0] for raters in case.raters]]
            is_binary = not np.any((first > 0) & (first < 1))
            # Kept until the prediction is available.
            truths[case.id] = Truth(first.astype(np.uint8) if is_binary else first, volume.ignore)
        yield case, replace(volume, target=None, ignore=None)
