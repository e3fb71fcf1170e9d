"""``segment_volume``: a packaged model applied to images."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nibabel as nib
import torch

from ivadomed.boxes import clip_box
from ivadomed.device import define_device
from ivadomed.errors import ConfigError, DataError
from ivadomed.inference.detection import Detector, prior_box
from ivadomed.inference.options import pixel_size_of, postprocessing_with
from ivadomed.inference.outputs import finish, split_classes, to_nifti
from ivadomed.inference.packaged import load_packaged_model, packaged_engine
from ivadomed.io import split_extension
from ivadomed.loader.case import Case
from ivadomed.loader.volumes import Volume, read_volume

if TYPE_CHECKING:
    from ivadomed.config import RunConfig


def segment_volume(
    folder_model: str | os.PathLike[str],
    fname_images: str | os.PathLike[str] | Sequence[str | os.PathLike[str] | None],
    gpu_id: int | None = 0,
    options: Mapping[str, Any] | None = None,
) -> tuple[list[nib.Nifti1Image], list[str]]:
    """Segment one image with a packaged model.

    Args:
        folder_model: Folder ``NAME`` that holds ``NAME.json`` and ``NAME.pt`` or ``NAME.onnx``.
        fname_images: The image; for a model of several channels one image per channel, in the model's order,
            all on one grid. None stands for a contrast that a HeMIS network has to do without.
        gpu_id: GPU to use where there is one; None for the CPU.
        options: "binarize_prediction" (threshold), "binarize_maxpooling", "keep_largest", "fill_holes",
            "remove_small" (sizes such as ["5vox"] or ["3mm3"]) change the model's postprocessing: None keeps its
            step, 0 removes it, another value sets it. "fname_prior": mask of the region that the model crops to:
            an ROI, or the object in whose bounding box the second model of a cascade works (without it the
            cascade's detection model is run, where its folder is there). "pixel_size", "pixel_size_units": of a
            picture, in "mm" unless given. "no_patch", "overlap_2D": whole slices, or 2D patches that share
            voxels. "metadata": what a FiLM network is conditioned on: its one value (a contrast such as "T2w", or
            that of the column), or a dictionary of several, such as {"EchoTime": 0.05, ...}. Unknown options are
            ignored.

    Returns:
        One image per class on the grid and with the header of the first input (float32 when soft, uint8 when
        binary), and the suffix of each class, such as "_seg-manual". Soft values up to 0.01 are 0.

    Raises:
        ConfigError: The model's JSON or an option is wrong.
        DataError: An image cannot be used, or a cascade has neither a prior nor its detection model.
        ModelError: The model folder or file cannot be used.
    """
    options = dict(options or {})
    paths = [fname_images] if isinstance(fname_images, (str, os.PathLike)) else list(fname_images)
    config, file_model = load_packaged_model(folder_model)
    _check_channels(config, paths, folder_model)
    given = [Path(path) for path in paths if path is not None]
    contrasts, metadata = _metadata(config, options, folder_model)
    is_cascade = config.object_detection_params.object_detection_path is not None
    prior = options.get("fname_prior") if is_cascade or config.loader_parameters.roi_params.suffix else None
    case = Case(
        id=Path(split_extension(given[0])[0]).name,
        images=tuple(given),
        contrasts=contrasts,
        roi=Path(prior) if prior else None,
        metadata=pixel_size_of(options) | metadata,
        channels=_places(paths) if None in paths else (),
    )
    device = define_device(gpu_id)[1]
    engine = packaged_engine(config, file_model, device, options)
    volume = read_volume(case, engine.recipe.slice_axis, with_target=False)
    if is_cascade:
        volume = _boxed(volume, case, config, folder_model, device)
    [prediction] = engine.run([(case, volume)])
    zooms = nib.affines.voxel_sizes(prediction.grid.affine)
    steps = postprocessing_with(options, config.postprocessing.model_dump(mode="json"))
    data = finish(prediction.soft, zooms, steps, overwrite_soft=True)
    return split_classes(to_nifti(prediction, data)), list(config.class_names)


def _check_channels(config: RunConfig, paths: Sequence[Any], folder: str | os.PathLike[str]) -> None:
    expected = config.in_channel
    if len(paths) != expected:
        contrasts = ", ".join(config.loader_parameters.contrast_params.training_validation)
        raise DataError(
            f"{os.fspath(folder)}: the model takes {expected} image{'s' if expected > 1 else ''} "
            f"({contrasts}), got {len(paths)}; pass one image per channel, in this order"
        )
    if None in paths and (config.architecture.name != "HeMISUnet" or not any(paths)):
        raise DataError(
            f"{os.fspath(folder)}: an input is None; only a HeMISUnet does without a contrast, "
            "and it needs one at least"
        )


def _places(paths: Sequence[Any]) -> tuple[int | None, ...]:
    """Per channel the place of its image among those that are there."""
    there = [channel for channel, path in enumerate(paths) if path is not None]
    return tuple(there.index(channel) if channel in there else None for channel in range(len(paths)))


def _metadata(
    config: RunConfig, options: Mapping[str, Any], folder: str | os.PathLike[str]
) -> tuple[tuple[str, ...], dict[str, Any]]:
    """Contrast and metadata that a FiLM network is conditioned on, from the option ``metadata``."""
    wanted, value = config.metadata_type, options.get("metadata")
    if wanted is None:
        return (), {}
    if value is None:
        raise ConfigError(
            f'metadata: {os.fspath(folder)} is conditioned on {wanted}; give it as options["metadata"]'
        )
    if isinstance(value, Mapping):
        return tuple(str(value[key]) for key in ("contrast",) if key in value), dict(value)
    if wanted in ("contrasts", "contrast"):
        return (str(value),), {}
    return (), {wanted: value}


def _boxed(
    volume: Volume, case: Case, config: RunConfig, folder: str | os.PathLike[str], device: torch.device
) -> Volume:
    """The volume with the box that a cascade's second model works in: around the prior, else detected."""
    params = config.object_detection_params
    if volume.roi is not None and case.roi is not None:
        box = prior_box(volume.roi, case.roi, params.safety_factor)
    elif params.object_detection_path is not None and Path(params.object_detection_path).is_dir():
        detector = Detector.open(params.object_detection_path, device)
        if config.in_channel > 1:
            channels = zip(config.contrasts_for("training"), case.present, strict=True)
            case = replace(case, contrasts=tuple(contrast for contrast, is_there in channels if is_there))
        [[box, *_]] = detector.run([case], config.slice_axis_index, safety_factor=params.safety_factor)
    else:
        raise DataError(
            f"{os.fspath(folder)}: the model works in the box around an object that another model finds; pass the "
            f"mask of that object as option fname_prior, or set object_detection_params.object_detection_path in "
            f"its JSON file to the folder of that model ({params.object_detection_path} is none)"
        )
    roi = volume.roi if config.loader_parameters.roi_params.suffix else None
    return replace(volume, box=tuple(clip_box(box, volume.grid.hwd_shape)), roi=roi)
