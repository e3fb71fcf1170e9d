"""``ivadomed.testing`` of 2.x: one pass over a test set, and its ground truth."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader

from ivadomed.errors import DataError
from ivadomed.images.io import read_label, save_nifti
from ivadomed.inference.backends import DropoutForward, TorchForward
from ivadomed.inference.engine import Engine, Forward, Prediction
from ivadomed.inference.outputs import finish, to_nifti
from ivadomed.loader.cases.volumes import check_same_grid, read_ahead
from ivadomed.loader.segmentation_dataset import SegmentationDataset
from ivadomed.models import Network
from ivadomed.runtime.device import batch_voxels
from ivadomed.testing import case_set, postprocessed, write_classes


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
        test_loader: Of a documented data set; its images are predicted whole, in batches of its size.
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
    engine = Engine(
        recipe=images.recipe,
        steps=images.steps,
        forward=_forward(model, device, i_monte_carlo if drops_out else None),
        n_classes=images.n_classes,
        batch_size=test_loader.batch_size or 1,
        max_voxels=batch_voxels(device),
        conditioner=images.conditioner,
        seed=i_monte_carlo or 0,
    )
    predictions, truths = [], []
    volumes = read_ahead(images.cases, images.recipe.slice_axis, with_target=False)
    folder = Path(ofolder)
    for handler, prediction in zip(dataset.handlers, engine.run(volumes), strict=True):
        if i_monte_carlo is None:
            data = postprocessed(prediction, folder, postprocessing or {})
            write_classes(prediction, data, folder)
        else:
            data = _write_sample(prediction, folder, i_monte_carlo)
        predictions.append(np.moveaxis(data, -1, 0))
        truths.append(get_gt(handler.gt_filenames or ()))
    return predictions, truths


def _write_sample(prediction: Prediction, folder: Path, number: int) -> np.ndarray:
    """Write a Monte Carlo sample: soft, without postprocessing."""
    soft = finish(prediction.soft, nib.affines.voxel_sizes(prediction.grid.affine), {})
    save_nifti(to_nifti(prediction, soft), folder / f"{prediction.case.id}_pred_{number:02d}.nii.gz")
    return soft


def _forward(model: nn.Module, device: torch.device, seed: int | None) -> Forward:
    network = model if isinstance(model, Network) else _Plain(model)
    return TorchForward(network, device) if seed is None else DropoutForward(network, device, seed)


class _Plain(Network):
    """A module that takes the image, and knows nothing of batches."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def inputs(self, batch: Any) -> tuple[Any, ...]:
        return (batch.image,)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        prediction: torch.Tensor = self.module(image)
        return prediction


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
    found = {name: read_label(name) for name in firsts if name is not None}
    if not found:
        raise DataError("get_gt: no class has a file; expected one at least")
    first, label = next(iter(found.items()))
    grid = label.grid()
    for name, other in found.items():
        check_same_grid(grid, first, other.grid(), name)
    return np.stack(
        [
            np.zeros(grid.shape) if name is None else grid.align(found[name].grid(), found[name].data)
            for name in firsts
        ]
    ).astype(np.float64)
