"""Test a trained network: predictions on the images' own grids, and metrics averaged over images."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from glob import escape as glob_escape
from itertools import islice
from pathlib import Path
from typing import Any, cast

import nibabel as nib
import numpy as np
import torch
from tqdm import tqdm

from ivadomed.errors import DataError
from ivadomed.images.io import is_nifti, save_nifti, write_picture
from ivadomed.inference.backends import DropoutForward, open_model
from ivadomed.inference.engine import Engine, Prediction
from ivadomed.inference.outputs import finish, split_classes, to_nifti
from ivadomed.loader.cases.case import Case
from ivadomed.loader.cases.volumes import Volume, read_ahead
from ivadomed.loader.conditions.conditioner import Conditioner, present_contrasts, unconditioned
from ivadomed.loader.hdf5.write import as_pipeline
from ivadomed.loader.prepared.prepare import Recipe
from ivadomed.loader.samples.documented import condition_of
from ivadomed.metrics import MetricManager
from ivadomed.models import Network, load_model
from ivadomed.runtime.device import batch_voxels
from ivadomed.runtime.moved import moved_names
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

    @property
    def n_classes(self) -> int:
        """Classes that a network predicts for these cases."""
        return len(self.cases[0].targets)


def case_set(dataset: CaseSet | Any, model_params: Mapping[str, Any]) -> CaseSet:
    """What is predicted of a documented data set: its images, whole, after the steps of its transforms.

    Raises:
        DataError: It is none of the documented data sets, or has no image or no label.
        ModelError: The network needs the encoder of its metadata, which ``model_params`` do not have.
    """
    if isinstance(dataset, CaseSet):
        return dataset
    cases, recipe = getattr(dataset, "cases", None), getattr(dataset, "recipe", None)
    if cases is None or recipe is None:
        raise DataError(
            f"a {type(dataset).__name__} cannot be predicted; give a BidsDataset, Bids3DDataset or "
            "HDF5Dataset, or predict the items with the network yourself"
        )
    if not cases or not cases[0].targets:
        raise DataError("the test set has no image with a label")
    conditioner: Conditioner = unconditioned
    if condition_of(model_params) is not None:
        encoder = model_params.get("film_onehotencoder")
        conditioner = present_contrasts if encoder is None else encoder.encode
    return CaseSet(tuple(cases), recipe, as_pipeline(dataset.transform), conditioner)


def test(
    model_params: Mapping[str, Any],
    dataset_test: CaseSet | Any,
    testing_params: Mapping[str, Any],
    path_output: str | os.PathLike[str],
    device: torch.device | str | int | None,
    cuda_available: bool = True,
    metric_fns: Sequence[Callable[..., float]] | None = None,
    postprocessing: Mapping[str, Any] | None = None,
) -> dict[str, float]:
    """Predict a test set with ``best_model.pt`` and write ``pred_masks/<case>_pred.nii.gz``.

    Args:
        model_params: ``film_onehotencoder`` for a network with ``film_layers``, when ``dataset_test`` is one of the
            documented data sets; else not looked at.
        dataset_test: Cases with labels, or a documented data set (`BidsDataset`, `Bids3DDataset`, `HDF5Dataset`, or
            what the functions of ``loader.film`` return).
        testing_params: "batch_size", and "uncertainty" (that section; absent: none).
        path_output: Folder of the run.
        device: Where to predict.
        cuda_available: False predicts on the CPU whatever ``device`` says.
        metric_fns: Metrics of each image, of the prediction as it is written and the first rater of each class:
            [K, X, Y, Z] on the grid of the image.
        postprocessing: Steps by name, in order.

    With uncertainty, ``<case>_pred_NN.nii.gz`` (the Monte Carlo samples), ``<case>_soft`` and ``<case>_unc-*`` are
    written first, so that a step of the postprocessing can use them.

    Returns:
        Mean of each metric over the images.

    Raises:
        ModelError: There is no usable model.
        DataError: An image cannot be used.
    """
    folder = Path(path_output)
    device = torch.device("cpu" if device is None or not cuda_available else device)
    dataset_test = case_set(dataset_test, model_params)
    testing_params = {"batch_size": 8, **testing_params, "n_classes": dataset_test.n_classes}
    log.info("\nLoading model: %s", folder / "best_model.pt")
    uncertainty = testing_params.get("uncertainty") or {}
    if uncertainty.get("n_it") and (uncertainty.get("epistemic") or uncertainty.get("aleatoric")):
        estimate_uncertainty(dataset_test, testing_params, folder, device)
    forward = open_model(folder / "best_model.pt", device)
    metrics = MetricManager(list(metric_fns or ()))
    engine = Engine(
        recipe=dataset_test.recipe,
        steps=dataset_test.steps,
        forward=forward,
        n_classes=testing_params["n_classes"],
        batch_size=testing_params["batch_size"],
        max_voxels=batch_voxels(device),
        blend=dataset_test.blend,
        conditioner=dataset_test.conditioner,
        source=str(folder / "best_model.pt"),
    )
    recipe = dataset_test.recipe
    volumes = read_ahead(dataset_test.cases, recipe.slice_axis, recipe.soft_gt, with_target=bool(metric_fns))
    truths: dict[str, np.ndarray] = {}
    total = len(dataset_test.cases)
    for prediction in tqdm(
        engine.run(_without_targets(volumes, truths)),
        desc="Inference",
        total=total,
        unit="case",
        leave=False,
        disable=hidden_bar(),
    ):
        data = postprocessed(prediction, folder / PREDICTIONS, postprocessing or {})
        write_classes(prediction, data, folder / PREDICTIONS)
        if metric_fns:
            truth = [prediction.grid.to_native(target) for target in truths.pop(prediction.case.id)]
            metrics(np.moveaxis(data, -1, 0)[None], np.stack(truth)[None])
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
    n_it, epistemic = testing_params["uncertainty"]["n_it"], testing_params["uncertainty"].get("epistemic")
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


def _without_targets(
    volumes: Iterable[tuple[Case, Volume]], truths: dict[str, np.ndarray]
) -> Iterator[tuple[Case, Volume]]:
    """The volumes as a network gets them; the first rater of each class [K, H, W, D] goes into ``truths``."""
    for case, volume in volumes:
        if volume.target is not None:
            first = volume.target[[raters[0] for raters in case.raters]]
            is_binary = not np.any((first > 0) & (first < 1))
            truths[case.id] = first.astype(np.uint8) if is_binary else first  # they wait for the prediction
        yield case, replace(volume, target=None)


def postprocessed(prediction: Prediction, folder: Path, postprocessing: Mapping[str, Any]) -> np.ndarray:
    """The prediction [X, Y, Z, K] after the postprocessing, in the memory of the soft one.

    Args:
        prediction: Soft prediction.
        folder: Where uncertainty maps of the image lie.
        postprocessing: Steps by name, in order.
    """
    zooms = nib.affines.voxel_sizes(prediction.grid.affine)
    prefix = str(folder / prediction.case.id)
    return finish(prediction.soft, zooms, postprocessing, prefix, overwrite_soft=True)


def write_classes(
    prediction: Prediction, data: np.ndarray, folder: Path, per_class: bool = False
) -> list[Path]:
    """Write a prediction after its postprocessing.

    Args:
        prediction: What was predicted.
        data: [X, Y, Z, K], see ``postprocessed``.
        folder: For the files.
        per_class: One file ``<case>_class-N_pred.nii.gz`` per class instead of ``<case>_pred.nii.gz``.

    Returns:
        The NIfTI files. Of pictures, each class is written as PNG too, to be looked at.
    """
    name, image = prediction.case.id, to_nifti(prediction, data)
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
