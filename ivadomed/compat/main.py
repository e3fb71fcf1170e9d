"""``ivadomed.main`` of 2.x: the steps of a run, which took the whole configuration as the dictionary ``context``.

A context is the content of a configuration file, old or new; ``load_config`` reads it, as everywhere else.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Mapping, MutableMapping, Sequence
from pathlib import Path
from typing import Any

import torch

from ivadomed.commands.records import version_text
from ivadomed.commands.run import run_command as run_typed
from ivadomed.compat.bids import Bids3DDataset, BidsDataset, load_dataset
from ivadomed.compat.film import clusters_of, get_film_metadata_models, normalize_metadata
from ivadomed.compat.utils import display_selected_model_spec
from ivadomed.config import load_config
from ivadomed.config.run_files import CONFIG
from ivadomed.errors import ConfigError, OutputError
from ivadomed.images.files import write_json, write_text
from ivadomed.loader.bids_dataframe import BidsDataframe
from ivadomed.loader.conditions import FilmEncoder
from ivadomed.models.specs import SPECS

log = logging.getLogger(__name__)

MODEL_LIST = list(SPECS)
"""Networks that a section of the configuration may name."""


def run_command(
    context: Mapping[str, Any],
    n_gif: int = 0,
    thr_increment: float | None = None,
    resume_training: bool = False,
    no_patch: bool = False,
    overlap_2d: Sequence[int] | None = None,
) -> Any:
    """Run the command of a configuration, see ``run_main``.

    Args:
        context: The configuration.
        n_gif: "train": number of validation samples to animate over epochs.
        thr_increment: "train" and "test": spacing of the thresholds tried.
        resume_training: "train": continue the training in the output folder.
        no_patch: "segment": whole slices instead of 2D patches.
        overlap_2d: "segment": overlap of neighboring 2D patches in voxels.

    Returns:
        See ``run_main``.
    """
    return run_typed(
        load_config(context),
        resume_training=resume_training,
        no_patch=no_patch,
        overlap_2d=overlap_2d,
        thr_increment=thr_increment,
        n_gif=n_gif,
    )


def run_segment_command(
    context: Mapping[str, Any],
    model_params: Mapping[str, Any],
    no_patch: bool,
    overlap_2d: Sequence[int] | None,
) -> Any:
    """Segment the images of a data set with the packaged model of the run.

    Args:
        context: The configuration.
        model_params: Kept for callers of 2.x: the packaged model says what it is.
        no_patch: Whole slices instead of 2D patches.
        overlap_2d: Overlap of neighboring 2D patches in voxels.

    Returns:
        The files that were written.
    """
    config = load_config(context, {"command": "segment"})
    return run_typed(config, no_patch=no_patch, overlap_2d=overlap_2d)


def set_loader_params(context: Mapping[str, Any], is_train: bool) -> dict[str, Any]:
    """The ``loader_parameters`` of a run, as expected by ``load_dataset``.

    Args:
        context: The configuration.
        is_train: For the training and validation sets; else for the test set.

    Returns:
        The section with its defaults, ``contrast_params.contrast_lst`` (the contrasts to load) and
        ``metadata_type`` (what FiLM is conditioned on, or samples are balanced by).
    """
    config = load_config(context)
    params: dict[str, Any] = config.to_json()["loader_parameters"]
    contrasts = config.contrasts_for("training" if is_train else "testing")
    params["contrast_params"]["contrast_lst"] = list(contrasts)
    balance = config.training_parameters.balance_samples
    if config.metadata_type is not None:
        params["metadata_type"] = config.metadata_type
    elif balance.applied and balance.type != "gt":
        params["metadata_type"] = balance.type
    return params


def set_model_params(
    context: Mapping[str, Any], loader_params: MutableMapping[str, Any]
) -> tuple[dict[str, Any], MutableMapping[str, Any]]:
    """The network of a run: its name and arguments, and the patches it works on.

    Args:
        context: The configuration.
        loader_params: See ``set_loader_params``; gets ``model_params`` and ``object_detection_params``.

    Returns:
        The arguments with ``name``, ``folder_name``, ``is_2d``, the length and stride of patches, and
        ``metadata`` of a FiLM network; and ``loader_params``.
    """
    config = load_config(context)
    params: dict[str, Any] = {**config.architecture.arguments, "name": config.architecture.name}
    params["folder_name"], params["is_2d"] = config.model_name, config.is_2d
    kind = "2D" if config.is_2d else "3D"
    if config.length:
        params[f"length_{kind}"], params[f"stride_{kind}"] = list(config.length), list(config.stride)
    if config.metadata_type is not None:
        params["metadata"] = config.metadata_type
    display_selected_model_spec(params)
    detection = config.to_json()["object_detection_params"]
    detection["gpu_ids"] = next(iter(config.gpu_ids), None)
    detection["path_output"] = config.path_output
    loader_params["object_detection_params"], loader_params["model_params"] = detection, params
    return params, loader_params


def get_dataset(
    bids_df: BidsDataframe,
    loader_params: Mapping[str, Any],
    data_lst: Sequence[str],
    transform_params: Mapping[str, Mapping[str, Any]],
    cuda_available: bool,
    device: torch.device,
    ds_type: str,
) -> BidsDataset | Bids3DDataset:
    """The data set of one side of a split, see ``load_dataset``.

    Args:
        bids_df: Table of the images.
        loader_params: See ``set_loader_params`` and ``set_model_params``.
        data_lst: File names of the images.
        transform_params: Transforms of this side, see ``transforms.get_subdatasets_transforms``.
        cuda_available: Kept for callers of 2.x: ``device`` says it.
        device: Device of the slice filter's classifier.
        ds_type: "training", "validation" or "testing".
    """
    of_side = {"data_list": data_lst, "transforms_params": transform_params, "dataset_type": ds_type}
    return load_dataset(bids_df, **{**loader_params, **of_side, "device": device})


def check_multiple_raters(is_train: bool, loader_params: Mapping[str, Any]) -> None:
    """Refuse labels of several raters outside of training.

    Args:
        is_train: A network is trained, for which one rater is drawn per sample.
        loader_params: ``target_suffix``: the suffix of each class, or a list of suffixes for several raters.

    Raises:
        ConfigError: There are several raters, and nothing is trained.
    """
    several = [suffix for suffix in loader_params["target_suffix"] if isinstance(suffix, list | tuple)]
    if not several:
        return
    if not is_train:
        raise ConfigError(
            f"loader_parameters.target_suffix: {list(several[0])} are several raters of one class; expected one suffix "
            "per class when nothing is trained"
        )
    log.info("Labels of several raters: of each class one rater is drawn for every sample.")


def set_output_path(context: Mapping[str, Any]) -> str:
    """Make the folder ``path_output`` of a configuration.

    Returns:
        Its path.

    Raises:
        OutputError: It cannot be made.
    """
    folder = Path(context["path_output"])
    log.info("Output path already exists: %s" if folder.is_dir() else "Creating output path: %s", folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"{folder}: cannot be written ({error.strerror}); choose another path_output"
        ) from error
    return str(context["path_output"])


def save_config_file(context: Mapping[str, Any], path_output: str | os.PathLike[str]) -> None:
    """Write the configuration as ``config_file.json``, and as ``MODEL_NAME.json`` next to the model.

    Args:
        context: The configuration.
        path_output: Folder of the run.
    """
    config = load_config(context)
    content = config.to_json(hide_secrets=True)
    write_json(Path(path_output) / CONFIG, content)
    write_json(Path(path_output) / config.model_name / f"{config.model_name}.json", content)


def create_dataset_and_ivadomed_version_log(context: Mapping[str, Any]) -> None:
    """Write ``version_info.log`` into ``path_output``: versions of ivadomed, the data set and the machine."""
    write_text(Path(context["path_output"]) / "version_info.log", version_text(load_config(context)))


def create_path_model(
    context: Mapping[str, Any],
    model_params: Mapping[str, Any],
    ds_train: Any,
    path_output: str | os.PathLike[str],
    train_onehotencoder: FilmEncoder | None,
) -> None:
    """Create the folder of the packaged model; for a FiLM network, with its encoder.

    Args:
        context: The configuration, ``model_name`` of which is the folder.
        model_params: ``name`` of the network.
        ds_train: Kept for callers of 2.x: the encoder knows what the training set had.
        path_output: Folder of the run.
        train_onehotencoder: See ``film_normalize_data``.
    """
    folder = Path(path_output) / context["model_name"]
    log.info(
        "Model directory already exists: %s" if folder.is_dir() else "Creating model directory: %s", folder
    )
    folder.mkdir(parents=True, exist_ok=True)
    if train_onehotencoder is not None:
        train_onehotencoder.save(folder)


def film_normalize_data(
    context: Mapping[str, Any],
    model_params: MutableMapping[str, Any],
    ds_train: Iterable[Mapping[str, Any]],
    ds_valid: Iterable[Mapping[str, Any]],
    path_output: str | os.PathLike[str],
) -> tuple[MutableMapping[str, Any], Any, Any, FilmEncoder]:
    """Fit the encoding of FiLM's metadata on the training set and save it in ``path_output``.

    Args:
        context: The configuration; ``debugging``: log the labels of each sample.
        model_params: ``metadata``, see ``set_model_params``; gets ``film_onehotencoder`` and ``n_metadata``.
        ds_train: Training samples.
        ds_valid: Validation samples.
        path_output: Folder of the run.

    Returns:
        ``model_params``, both sets of samples with ``film_input`` in their metadata, and the encoder.
    """
    kind, debugging = model_params["metadata"], bool(context.get("debugging"))
    training, encoder, clusters = get_film_metadata_models(ds_train, kind, debugging)
    validation = normalize_metadata(ds_valid, clusters, debugging, kind)
    encoder.save(path_output)
    model_params["film_onehotencoder"], model_params["n_metadata"] = encoder, encoder.n_metadata
    return model_params, training, validation, encoder


def update_film_model_params(
    context: Mapping[str, Any],
    ds_test: Iterable[Mapping[str, Any]],
    model_params: MutableMapping[str, Any],
    path_output: str | os.PathLike[str],
) -> tuple[Any, MutableMapping[str, Any]]:
    """Encode the metadata of a test set as in training.

    Args:
        context: The configuration; ``debugging``: log the labels of each sample.
        ds_test: Test samples.
        model_params: ``metadata``; gets ``film_onehotencoder`` and ``n_metadata``.
        path_output: Folder of the run, with the encoder.

    Returns:
        Samples with ``film_input`` in their metadata, and ``model_params``.
    """
    encoder = FilmEncoder.load(path_output)
    samples = normalize_metadata(
        ds_test, clusters_of(encoder.features), bool(context.get("debugging")), model_params["metadata"]
    )
    model_params["film_onehotencoder"], model_params["n_metadata"] = encoder, encoder.n_metadata
    return samples, model_params
