"""``ivadomed.inference`` of 2.x: the steps of ``segment_volume``, for programs with their own loop.

The loop iterates over batches of a documented data set (``imed_collate``), whose metadata locate each sample.
"""

from __future__ import annotations

import copy
import logging
import os
from collections.abc import Mapping, MutableMapping, Sequence
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import torch

from ivadomed.compat.boxes import adjust_undo_transforms, bounding_box_prior
from ivadomed.compat.film import film_labels
from ivadomed.compat.samples import takes_contrasts
from ivadomed.compat.training import get_metadata
from ivadomed.compat.transforms import UndoCompose
from ivadomed.config import load_config
from ivadomed.errors import ConfigError
from ivadomed.images.label_suffix import names_for_files
from ivadomed.inference.backends import open_model
from ivadomed.inference.options import postprocessing_with
from ivadomed.inference.outputs import pred_to_nib, split_classes
from ivadomed.loader.conditions import FilmEncoder
from ivadomed.loader.samples import Batch

log = logging.getLogger(__name__)


def get_preds(
    context: Mapping[str, Any],
    fname_model: str | os.PathLike[str],
    model_params: Mapping[str, Any],
    cuda_available: bool,
    device: torch.device,
    batch: Mapping[str, Any],
) -> torch.Tensor:
    """Predict one batch.

    Args:
        context: Kept for callers of 2.x: ``model_params`` says what the network needs.
        fname_model: Its .pt or .onnx file.
        model_params: ``name`` of the network, and ``film_onehotencoder`` of one with FiLM.
        cuda_available: Use ``device``; else the CPU.
        device: Where to predict.
        batch: ``input`` [B, C, ...] and ``input_metadata``.

    Returns:
        Predictions [B, K, ...], on the CPU.
    """
    records, condition = batch["input_metadata"], None
    if "film_onehotencoder" in model_params or (
        takes_contrasts(model_params) and "missing_mod" in records[0][0]
    ):
        condition = torch.as_tensor(get_metadata(records, model_params), dtype=torch.float32)
    forward = open_model(Path(fname_model), torch.device(device) if cuda_available else torch.device("cpu"))
    prediction = forward(Batch(batch["input"].float(), None, condition, ()))
    return prediction.cpu().clone()  # outside of inference mode, where it can be changed


def volume_reconstruction(
    batch: Mapping[str, Any],
    pred: torch.Tensor,
    undo_transforms: UndoCompose,
    smp_idx: int,
    volume: torch.Tensor | None = None,
    weight_matrix: torch.Tensor | None = None,
) -> tuple[Any, Any, bool, torch.Tensor, torch.Tensor]:
    """Insert the prediction of a 3D patch into its volume; overlapping patches are averaged.

    Args:
        batch: ``input_metadata`` and ``gt_metadata`` of a documented 3D data set.
        pred: Predictions of the batch, [B, K, h, w, d].
        undo_transforms: Undo what was done to the volume, e.g. of ``prepare_transforms``.
        smp_idx: Place of the sample in the batch.
        volume: Sum of the volume's patches so far, [K, H, W, D]; with the first patch a new one is begun.
        weight_matrix: Number of patches of each voxel, of the same shape.

    Returns:
        The volume with its transforms undone, its metadata, whether this was its last patch, the volume (with the
        last patch the mean), and how many patches each voxel has.
    """
    patch = torch.as_tensor(pred[smp_idx])
    record = batch["input_metadata"][smp_idx][0]
    starts, ends, shape = record["coord"][::2], record["coord"][1::2], tuple(record["index_shape"])
    if volume is None or weight_matrix is None or not any(starts):
        volume = torch.zeros((len(patch), *shape), dtype=torch.float32)
        weight_matrix = torch.zeros_like(volume)
    window = (slice(None), *map(slice, starts, ends))
    volume[window] += patch.cpu()
    weight_matrix[window] += 1
    is_last = tuple(ends) == shape
    if is_last:
        volume = volume / weight_matrix.clamp(min=1)
    records = _class_metadata(batch, smp_idx, len(patch))
    undone, metadata = undo_transforms(volume, records, data_type="gt")
    return undone, metadata, is_last, volume, weight_matrix


def image_reconstruction(
    batch: Mapping[str, Any],
    pred: torch.Tensor,
    undo_transforms: UndoCompose,
    smp_idx: int,
    image: torch.Tensor | None = None,
    weight_matrix: torch.Tensor | None = None,
) -> tuple[Any, Any, bool, torch.Tensor, torch.Tensor]:
    """Insert the prediction of a 2D patch into its slice; overlapping patches are averaged.

    Args:
        batch: ``input_metadata`` and ``gt_metadata`` of a documented 2D data set with patches.
        pred: Predictions of the batch, [B, K, h, w].
        undo_transforms: Undo what was done to the slice, e.g. of ``prepare_transforms``.
        smp_idx: Place of the sample in the batch.
        image: Sum of the slice's patches so far, [K, H, W]; with the first patch a new one is begun.
        weight_matrix: Number of patches of each pixel, of the same shape.

    Returns:
        As ``volume_reconstruction``.
    """
    return volume_reconstruction(batch, pred, undo_transforms, smp_idx, image, weight_matrix)


def _class_metadata(batch: Mapping[str, Any], index: int, n_classes: int) -> list[Any]:
    """Metadata of the label of each class; for an image without labels, those of the image."""
    records = list((batch.get("gt_metadata") or [None] * (index + 1))[index] or ())
    if len(records) == n_classes:
        return records
    record = copy.copy(batch["input_metadata"][index][0])
    record["data_type"] = "gt"  # predictions are resampled as labels are
    return [record] * n_classes


def reconstruct_3d_object(
    context: Mapping[str, Any],
    batch: Mapping[str, Any],
    undo_transforms: UndoCompose,
    preds: torch.Tensor,
    preds_list: list[Any],
    kernel_3D: bool,
    is_2d_patch: bool,
    slice_axis: int,
    slice_idx_list: list[int],
    data_loader: Any,
    fname_images: Sequence[str],
    i_batch: int,
    last_sample_bool: bool,
    weight_matrix: torch.Tensor | None,
    volume: torch.Tensor | None,
    image: torch.Tensor | None,
) -> tuple[list[nib.Nifti1Image], list[str], bool, torch.Tensor | None, Any, Any]:
    """Collect the predictions of a batch; return the image with the last one.

    Args:
        context: ``postprocessing`` and ``loader_parameters.target_suffix``.
        batch: See ``volume_reconstruction``.
        undo_transforms: Undo what was done to the volume or slice.
        preds: Predictions of the batch, [B, K, ...].
        preds_list: Finished slices, or the finished volume; extended.
        kernel_3D: Samples are 3D patches.
        is_2d_patch: Samples are 2D patches; else slices.
        slice_axis: 0 sagittal, 1 coronal, 2 axial.
        slice_idx_list: Index of each finished slice; extended.
        data_loader: The batches, of which ``i_batch`` is the last one at the end.
        fname_images: Files of the image; the first one gives grid and header.
        i_batch: Number of the batch, from 0.
        last_sample_bool: As it was returned for the batch before; False at first.
        weight_matrix: As it was returned for the batch before; None at first.
        volume: As it was returned for the batch before; None at first.
        image: As it was returned for the batch before; None at first.

    Returns:
        One image per class and their suffixes (both empty before the last sample), and the four values for the
        next batch.
    """
    total = volume if kernel_3D else image
    for index, pred in enumerate(preds):
        undo = adjust_undo_transforms(undo_transforms, batch, index)
        complete = True
        if kernel_3D or is_2d_patch:
            undone, _, complete, total, weight_matrix = volume_reconstruction(
                batch, preds, undo, index, total, weight_matrix
            )
        else:
            records = _class_metadata(batch, index, len(pred))
            undone, _ = undo(torch.as_tensor(pred), records, data_type="gt")
        if complete:
            preds_list.append(np.array(undone))
            if not kernel_3D:
                slice_idx_list.append(int(batch["input_metadata"][index][0]["slice_index"]))
    if kernel_3D:
        last_sample_bool, volume = complete, total
    else:
        image = total
    if not (last_sample_bool if kernel_3D else i_batch == len(data_loader) - 1):
        return [], [], last_sample_bool, weight_matrix, volume, image
    whole = pred_to_nib(
        preds_list,
        slice_idx_list,
        os.fspath(fname_images[0]),
        None,
        slice_axis,
        kernel_dim="3d" if kernel_3D else "2d",
        bin_thr=-1,
        postprocessing=context.get("postprocessing"),
    )
    suffixes = names_for_files(context["loader_parameters"]["target_suffix"])
    return split_classes(whole), suffixes, last_sample_bool, weight_matrix, volume, image


def set_option(
    options: Mapping[str, Any], postpro: MutableMapping[str, Any], context: MutableMapping[str, Any], key: str
) -> MutableMapping[str, Any]:
    """Add or remove a postprocessing step without arguments.

    Args:
        options: See ``segment_volume``; a true value adds the step, any other removes it.
        postpro: New steps; gets this one.
        context: ``postprocessing``, which loses the step where it is not wanted.
        key: Name of the step.

    Returns:
        ``postpro``.
    """
    if options.get(key):
        postpro[key] = {}
    else:
        context["postprocessing"].pop(key, None)
    return postpro


def set_postprocessing_options(options: Mapping[str, Any], context: MutableMapping[str, Any]) -> None:
    """Change the postprocessing of a configuration by the options of ``segment_volume``.

    Args:
        options: See ``segment_volume``.
        context: The configuration; its ``postprocessing`` is changed.
    """
    steps = context.setdefault("postprocessing", {})
    changed = postprocessing_with(options, steps)
    steps.clear()
    steps.update(changed)


def process_transformations(
    context: MutableMapping[str, Any],
    fname_roi: str | None,
    fname_prior: str | None,
    metadata: Any,
    slice_axis: int,
    fname_images: Sequence[str],
) -> Any:
    """Adapt the transforms of a model to the given prior and metadata.

    Args:
        context: The configuration. Without an ROI, its ``transformation`` crops at the centre instead.
        fname_roi: Mask of the region of interest, or None.
        fname_prior: Mask of the object whose box the second model of a cascade works in, or None.
        metadata: Metadata of the image.
        slice_axis: 0 sagittal, 1 coronal, 2 axial.
        fname_images: Files of the image, one per channel.

    Returns:
        ``metadata``; for a cascade with a prior a list with one per channel, with ``bounding_box``.
    """
    transforms = context["transformation"]
    if fname_roi is None and "ROICrop" in transforms:
        log.warning("There is no region of interest: the image is cropped around its center.")
        renamed = [({"ROICrop": "CenterCrop"}.get(name, name), value) for name, value in transforms.items()]
        transforms.clear()
        transforms.update(renamed)
    detection = context.get("object_detection_params") or {}
    if fname_prior is None or not detection.get("object_detection_path"):
        return metadata
    boxed = bounding_box_prior(fname_prior, metadata, slice_axis, detection.get("safety_factor"))
    return [boxed] * len(fname_images)


def get_onehotencoder(
    context: Mapping[str, Any], folder_model: str | os.PathLike[str], options: Mapping[str, Any], ds: Any
) -> FilmEncoder:
    """Encoder of a packaged FiLM network; the samples of a data set get the metadata of the options.

    Args:
        context: The configuration of the model.
        folder_model: Its folder.
        options: ``metadata``: the value that the network is conditioned on, or a mapping of several by name.
        ds: A documented data set; the metadata of its samples get the value and ``film_input``.

    Returns:
        For ``model_params["film_onehotencoder"]``.

    Raises:
        ConfigError: The options have no metadata.
    """
    encoder = FilmEncoder.load(folder_model)
    value = options.get("metadata")
    if value is None:
        raise ConfigError(
            f"metadata: {os.fspath(folder_model)} is conditioned on {load_config(context).metadata_type}; give it in "
            'options["metadata"]'
        )
    name = "contrast" if encoder.metadata_type == "contrasts" else encoder.metadata_type
    values = dict(value) if isinstance(value, Mapping) else {name: value}
    for handler in ds.handlers:
        for record in handler.metadata:
            record.update(values)
            record["film_input"] = film_labels(encoder.features, record)
    return encoder
