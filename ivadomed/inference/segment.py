"""``segment_volume``: a packaged model applied to images."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nibabel as nib
import torch

from ivadomed import config as configuration
from ivadomed.device import define_device
from ivadomed.errors import ConfigError, DataError
from ivadomed.inference.backends import open_model
from ivadomed.inference.engine import Engine
from ivadomed.inference.options import pixel_size_of, postprocessing_with, recipe_with
from ivadomed.inference.outputs import finish, split_classes, to_nifti
from ivadomed.io import split_extension
from ivadomed.loader.case import Case
from ivadomed.loader.recipe import conditioner_of, recipe_of, steps_of
from ivadomed.loader.volumes import read_volume
from ivadomed.models import get_model_filenames

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
            step, 0 removes it, another value sets it. "fname_prior": ROI, for models that crop
            around one. "pixel_size", "pixel_size_units": of a picture, in "mm" unless given. "no_patch",
            "overlap_2D": whole slices, or 2D patches that share voxels. "metadata": what a FiLM network is
            conditioned on: its one value (a contrast such as "T2w", or that of the column), or a dictionary of
            several, such as {"EchoTime": 0.05, ...}. Unknown options are ignored.

    Returns:
        One image per class on the grid and with the header of the first input (float32 when soft, uint8 when
        binary), and the suffix of each class, such as "_seg-manual". Soft values up to 0.01 are 0.

    Raises:
        ConfigError: The model's JSON or an option is wrong.
        DataError: An image cannot be used.
        ModelError: The model folder or file cannot be used.
    """
    options = dict(options or {})
    paths = [fname_images] if isinstance(fname_images, (str, os.PathLike)) else list(fname_images)
    config, file_model = load_packaged_model(folder_model)
    _check_channels(config, paths, folder_model)
    given = [Path(path) for path in paths if path is not None]
    contrasts, metadata = _metadata(config, options, folder_model)
    prior = options.get("fname_prior") if config.loader_parameters.roi_params.suffix else None
    case = Case(
        id=Path(split_extension(given[0])[0]).name,
        images=tuple(given),
        contrasts=contrasts,
        roi=Path(prior) if prior else None,
        metadata=pixel_size_of(options) | metadata,
        channels=_places(paths) if None in paths else (),
    )
    engine = packaged_engine(config, file_model, define_device(gpu_id)[1], options)
    volume = read_volume(case, engine.recipe.slice_axis, with_target=False)
    [prediction] = engine.run([(case, volume)])
    zooms = nib.affines.voxel_sizes(prediction.grid.affine)
    data = finish(
        prediction.soft, zooms, postprocessing_with(options, config.postprocessing.model_dump(mode="json"))
    )
    return split_classes(to_nifti(prediction, data)), list(config.class_names)


def load_packaged_model(folder: str | os.PathLike[str]) -> tuple[RunConfig, Path]:
    """Configuration and model file of a packaged model.

    Raises:
        ConfigError: The JSON file cannot be used.
        ModelError: The folder or its files are absent.
    """
    file_model, file_config = get_model_filenames(os.fspath(folder))
    return configuration.load_config(file_config), Path(file_model)


def packaged_engine(
    config: RunConfig, file_model: Path, device: torch.device, options: Mapping[str, Any]
) -> Engine:
    """Prediction engine of a packaged model.

    Args:
        config: The model's configuration.
        file_model: Its .pt or .onnx file.
        device: Where it runs.
        options: "no_patch" and "overlap_2D", see ``segment_volume``.
    """
    return Engine(
        recipe=recipe_with(options, recipe_of(config, "testing")),
        steps=steps_of(config, "testing"),
        forward=open_model(file_model, device),
        n_classes=len(config.loader_parameters.target_suffix),
        batch_size=config.training_parameters.batch_size,
        conditioner=conditioner_of(config, file_model.parent),
    )


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
