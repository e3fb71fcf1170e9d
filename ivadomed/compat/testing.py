"""``ivadomed.testing``: predict and evaluate a documented data set, and search its best threshold."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader

from ivadomed.compat.datasets import SegmentationDataset
from ivadomed.compat.samples import as_samples, condition_of
from ivadomed.compat.transforms import as_pipeline
from ivadomed.config.load import load_section
from ivadomed.config.run_files import BEST
from ivadomed.errors import DataError
from ivadomed.evaluation.threshold import best_threshold
from ivadomed.images.io import save_nifti
from ivadomed.images.labels import LabelFile, read_label
from ivadomed.inference.backends import DropoutForward, TorchForward
from ivadomed.inference.outputs import PREDICTIONS, finish, to_nifti, write_prediction
from ivadomed.inference.testing import CaseSet, predict_cases
from ivadomed.loader.cases.volumes import check_same_grid, read_ahead
from ivadomed.loader.conditions import Conditioner, present_contrasts, unconditioned
from ivadomed.models import Network
from ivadomed.runtime.device import define_device


def case_set(dataset: Any, model_params: Mapping[str, Any]) -> CaseSet:
    """Cases of a documented data set to predict: its images, whole, after the steps of its transforms.

    Raises:
        DataError: It is none of the documented data sets, or has no image or no label.
        ModelError: The network needs the encoder of its metadata, which ``model_params`` do not have.
    """
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
    dataset_test: Any,
    testing_params: Mapping[str, Any],
    path_output: str | os.PathLike[str],
    device: torch.device | str | int | None,
    cuda_available: bool = True,
    metric_fns: Sequence[Callable[..., float]] | None = None,
    postprocessing: Mapping[str, Any] | None = None,
) -> dict[str, float]:
    """Predict a test set with ``best_model.pt`` and write ``pred_masks/<case>_pred.nii.gz``.

    Args:
        model_params: ``film_onehotencoder`` for a network with ``film_layers``; otherwise ignored.
        dataset_test: `BidsDataset`, `Bids3DDataset`, `HDF5Dataset`, or what the functions of ``loader.film`` return.
        testing_params: "batch_size", and "uncertainty" (that section; absent: none).
        path_output: Folder of the run.
        device: Where to predict.
        cuda_available: False predicts on the CPU whatever ``device`` says.
        metric_fns: Metrics of each image, see ``ivadomed.inference.testing.predict_cases``.
        postprocessing: Steps by name, in order.

    Returns:
        Mean of each metric over the images.

    Raises:
        ModelError: There is no usable model.
        DataError: An image cannot be used.
    """
    uncertainty = testing_params.get("uncertainty")
    return predict_cases(
        case_set(dataset_test, model_params),
        Path(path_output, BEST),
        Path(path_output, PREDICTIONS),
        torch.device("cpu" if device is None or not cuda_available else device),
        testing_params.get("batch_size", 8),
        load_section("uncertainty", uncertainty) if uncertainty else None,
        tuple(metric_fns or ()),
        postprocessing,
    )


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
    """Search the best binarization threshold, see ``ivadomed.evaluation.threshold.best_threshold``.

    Args:
        model_path: Model file.
        ds_lst: Documented data sets to search on, usually those of training and validation.
        model_params: ``film_onehotencoder`` for a network with ``film_layers``; else the file knows what it is.
        testing_params: "batch_size".
        metric: "dice" or "recall_specificity".
        increment: Spacing of the thresholds, between 0 and 1.
        fname_out: Figure to write: Dice against the threshold, or the ROC curve.
        cuda_available: Use the GPU if available.

    Returns:
        The best threshold.

    Raises:
        ConfigError: Unknown metric, or an increment out of range.
    """
    _, device = define_device(0 if cuda_available else None)
    datasets = [as_samples(dataset, model_params) for dataset in ds_lst]
    batch_size = int(testing_params["batch_size"])
    return best_threshold(Path(model_path), datasets, batch_size, device, metric, increment, fname_out)


def run_inference(
    test_loader: DataLoader[Any],
    model: nn.Module,
    model_params: Mapping[str, Any],
    testing_params: Mapping[str, Any],
    ofolder: str | os.PathLike[str],
    cuda_available: bool,
    i_monte_carlo: int | None = None,
    postprocessing: Mapping[str, Any] | None = None,
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Predict the images of a test set and write ``<case>_pred.nii.gz``.

    Args:
        test_loader: Batches of a documented data set; its images are predicted whole, in batches of its size.
        model: The network.
        model_params: ``name``; of a FiLM network ``film_onehotencoder``.
        testing_params: ``uncertainty``: with ``epistemic``, dropout stays on in Monte Carlo samples.
        ofolder: Where to write.
        cuda_available: Predict on the GPU.
        i_monte_carlo: Number of the Monte Carlo sample, written as ``<case>_pred_NN.nii.gz`` without postprocessing;
            None for a prediction.
        postprocessing: Steps by name, in order.

    Returns:
        Predictions and ground truth, per image [K, X, Y, Z] on its own grid.
    """
    dataset: Any = test_loader.dataset
    if not isinstance(dataset, SegmentationDataset):
        raise DataError(
            f"run_inference: test_loader goes over a {type(dataset).__name__}; expected a documented data set, such as "
            "that of load_dataset"
        )
    device = torch.device("cuda" if cuda_available else "cpu")
    uncertainty = testing_params.get("uncertainty") or {}
    drops_out = i_monte_carlo is not None and bool(uncertainty.get("epistemic"))
    images = case_set(dataset, model_params)
    forward = _forward(model, device, i_monte_carlo if drops_out else None)
    engine = images.engine(forward, test_loader.batch_size or 1, seed=i_monte_carlo or 0)
    predictions, truths = [], []
    volumes = read_ahead(images.cases, images.recipe.slice_axis, with_target=False)
    folder = Path(ofolder)
    for handler, prediction in zip(dataset.handlers, engine.run(volumes), strict=True):
        if i_monte_carlo is None:
            data = finish(prediction, postprocessing, folder / prediction.case.id)
            write_prediction(prediction, data, folder)
        else:
            data = finish(prediction)
            path = folder / f"{prediction.case.id}_pred_{i_monte_carlo:02d}.nii.gz"
            save_nifti(to_nifti(prediction, data), path)
        predictions.append(np.moveaxis(data, -1, 0))
        truths.append(get_gt(handler.gt_filenames or ()))
    return predictions, truths


def _forward(model: nn.Module, device: torch.device, seed: int | None) -> TorchForward:
    network = model if isinstance(model, Network) else _Plain(model)
    return TorchForward(network, device) if seed is None else DropoutForward(network, device, seed=seed)


class _Plain(nn.Sequential, Network):
    """A module that receives only the image, not the batch."""


def get_gt(filenames: Sequence[Any]) -> np.ndarray:
    """Ground truth of an image.

    Args:
        filenames: File per class; of several raters the first counts, None stands for a class without a voxel.

    Returns:
        [K, X, Y, Z] on the image's own grid.

    Raises:
        DataError: A file cannot be read, or no class has one.
    """
    firsts = [next(iter(n), None) if isinstance(n, list | tuple) else n for n in filenames]
    found = {file: read_label(LabelFile.parse(file), soft=True) for file in filter(None, firsts)}
    if not found:
        raise DataError("get_gt: no class has a file; expected at least one")
    first, label = next(iter(found.items()))
    grid = label.grid()
    for file, other in found.items():
        check_same_grid(grid, first, other.grid(), file)
    return np.stack(
        [
            grid.align(found[file].grid(), found[file].data) if file else np.zeros(grid.shape)
            for file in firsts
        ]
    ).astype(np.float64)
