"""Test a trained network: predictions on the images' own grids, and metrics averaged over slices or patches."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from glob import escape as glob_escape
from itertools import islice
from pathlib import Path
from typing import Any, cast

import nibabel as nib
import numpy as np
import torch
from tqdm import tqdm

from ivadomed.inference.backends import DropoutForward, open_model
from ivadomed.inference.engine import Engine, Prediction
from ivadomed.inference.outputs import finish, split_classes, to_nifti
from ivadomed.io import is_nifti, save_nifti, write_picture
from ivadomed.loader.cases.case import Case
from ivadomed.loader.cases.volumes import read_ahead
from ivadomed.loader.conditions.conditioner import Conditioner, unconditioned
from ivadomed.loader.prepared.prepare import Recipe
from ivadomed.loader.samples import Batch
from ivadomed.metrics import MetricManager
from ivadomed.models import Network, load_model
from ivadomed.moved import moved_names
from ivadomed.runtime.device import batch_voxels
from ivadomed.runtime.terminal import hidden_bar
from ivadomed.threshold import threshold_analysis as threshold_analysis
from ivadomed.transforms import Pipeline
from ivadomed.uncertainty import MonteCarlo

log = logging.getLogger(__name__)

PREDICTIONS = "pred_masks"

KEPT = {name: f"ivadomed.compat.testing.{name}" for name in ("get_gt", "run_inference")}

__getattr__ = moved_names(__name__, {}, KEPT)


@dataclass(frozen=True, eq=False)
class CaseSet:
    """Cases to predict and how they are prepared.

    Args:
        cases: What to predict.
        recipe: Fixed steps and windows.
        steps: Transforms per sample.
        conditioner: What the network is told of a case besides the image.
        uncertain_steps: Transforms per Monte Carlo sample; None for ``steps``.
        blend: How overlapping windows are averaged, see ``windows.BLENDS``.
    """

    cases: tuple[Case, ...]
    recipe: Recipe
    steps: Pipeline
    conditioner: Conditioner = unconditioned
    uncertain_steps: Pipeline | None = None
    blend: str = "mean"


def test(
    model_params: Mapping[str, Any],
    dataset_test: CaseSet,
    testing_params: Mapping[str, Any],
    path_output: str | os.PathLike[str],
    device: torch.device,
    metric_fns: Sequence[Callable[..., float]] = (),
    postprocessing: Mapping[str, Any] | None = None,
) -> dict[str, float]:
    """Predict a test set with ``best_model.pt`` and write ``pred_masks/<case>_pred.nii.gz``.

    Args:
        model_params: "out_channel" of the network.
        dataset_test: Cases with labels.
        testing_params: "batch_size", "n_classes", and "uncertainty" (that section; absent: none).
        path_output: Folder of the run.
        device: Where to predict.
        metric_fns: Metrics on the preprocessed slices or patches.
        postprocessing: Steps by name, in order.

    With uncertainty, ``<case>_pred_NN.nii.gz`` (the Monte Carlo samples), ``<case>_soft`` and ``<case>_unc-*`` are
    written first, so that a step of the postprocessing can use them.

    Returns:
        Mean of each metric.

    Raises:
        ModelError: There is no usable model.
        DataError: An image cannot be used.
    """
    folder = Path(path_output)
    log.info("\nLoading model: %s", folder / "best_model.pt")
    uncertainty = testing_params.get("uncertainty") or {}
    if uncertainty.get("n_it") and (uncertainty["epistemic"] or uncertainty["aleatoric"]):
        estimate_uncertainty(dataset_test, testing_params, folder, device)
    forward = open_model(folder / "best_model.pt", device)
    metrics = MetricManager(list(metric_fns))
    soft_gt = dataset_test.recipe.soft_gt

    def observe(predictions: np.ndarray, batch: Batch) -> None:
        assert batch.target is not None
        truth = batch.target.numpy()
        if soft_gt:
            metrics(predictions, truth)
        else:
            metrics((predictions >= 0.5).astype(np.float32), (truth >= 0.5).astype(np.float32))

    engine = Engine(
        recipe=dataset_test.recipe,
        steps=dataset_test.steps,
        forward=forward,
        n_classes=testing_params["n_classes"],
        batch_size=testing_params["batch_size"],
        max_voxels=batch_voxels(device),
        blend=dataset_test.blend,
        conditioner=dataset_test.conditioner,
        observe=observe,
        source=str(folder / "best_model.pt"),
    )
    volumes = read_ahead(dataset_test.cases, dataset_test.recipe.slice_axis, soft_gt)
    total = len(dataset_test.cases)
    for prediction in tqdm(
        engine.run(volumes), desc="Inference", total=total, unit="case", leave=False, disable=hidden_bar()
    ):
        write_prediction(prediction, folder / PREDICTIONS, postprocessing or {})
    return metrics.get_results()


def estimate_uncertainty(
    dataset_test: CaseSet, testing_params: Mapping[str, Any], folder: Path, device: torch.device
) -> None:
    """Write Monte Carlo samples of every case and the maps made of them, see ``ivadomed.uncertainty``.

    Args:
        dataset_test: Cases. With test-time augmentation its random steps are drawn anew for each sample.
        testing_params: See ``test``.
        folder: Of the run.
        device: Where to predict.
    """
    n_it, epistemic = testing_params["uncertainty"]["n_it"], testing_params["uncertainty"]["epistemic"]
    model = folder / "best_model.pt"
    engine = Engine(
        recipe=dataset_test.recipe,
        steps=dataset_test.uncertain_steps or dataset_test.steps,
        forward=DropoutForward(cast(Network, load_model(model)), device)
        if epistemic
        else open_model(model, device),
        n_classes=testing_params["n_classes"],
        batch_size=testing_params["batch_size"],
        max_voxels=batch_voxels(device),
        blend=dataset_test.blend,
        repeats=n_it,
        conditioner=dataset_test.conditioner,
        source=str(model),
    )
    predictions = engine.run(
        read_ahead(dataset_test.cases, dataset_test.recipe.slice_axis, with_target=False)
    )
    total = len(dataset_test.cases)
    for case in tqdm(
        dataset_test.cases, desc="Uncertainty", total=total, unit="case", leave=False, disable=hidden_bar()
    ):
        prefix = folder / PREDICTIONS / case.id
        _remove_samples(prefix)
        samples = MonteCarlo()
        for number, prediction in enumerate(islice(predictions, n_it)):
            soft = finish(prediction.soft, nib.affines.voxel_sizes(prediction.grid.affine), {})
            save_nifti(to_nifti(prediction, soft), Path(f"{prefix}_pred_{number:02d}.nii.gz"))
            samples.add(soft)
        for path, data in samples.maps().files(prefix).items():
            save_nifti(to_nifti(prediction, data), path)


def _remove_samples(prefix: Path) -> None:
    """Samples of an earlier, longer run must not be taken for those of this one."""
    for path in prefix.parent.glob(f"{glob_escape(prefix.name)}_pred_[0-9]*.nii.gz"):
        path.unlink()


def write_prediction(
    prediction: Prediction, folder: Path, postprocessing: Mapping[str, Any], per_class: bool = False
) -> list[Path]:
    """Postprocess and write one prediction.

    Args:
        prediction: Soft prediction.
        folder: For the files.
        postprocessing: Steps by name, in order.
        per_class: One file ``<case>_class-N_pred.nii.gz`` per class instead of ``<case>_pred.nii.gz``.

    Returns:
        The NIfTI files. Of pictures, each class is written as PNG too, to be looked at.
    """
    name = prediction.case.id
    zooms = nib.affines.voxel_sizes(prediction.grid.affine)
    data = finish(prediction.soft, zooms, postprocessing, str(folder / name), overwrite_soft=True)
    image = to_nifti(prediction, data)
    if per_class:
        files = {folder / f"{name}_class-{k}_pred.nii.gz": one for k, one in enumerate(split_classes(image))}
    else:
        files = {folder / f"{name}_pred.nii.gz": image}
    for path, one in files.items():
        save_nifti(one, path)
    if not is_nifti(prediction.case.images[0]):
        for k in range(data.shape[-1]):
            pixels = np.round(data[..., 0, k].astype(np.float32) * 255).astype(np.uint8)
            write_picture(folder / f"{name}_class-{k}_pred.png", pixels)
    return list(files)
