"""Model files: the package's format, published files of older versions, and fine-tuning from a file."""

from __future__ import annotations

import logging
import os
import pickle
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ivadomed.errors import ModelError, ModelNotFoundError
from ivadomed.images.files import atomic_path
from ivadomed.models.base import Network
from ivadomed.models.describe import describe
from ivadomed.models.files import TorchFile
from ivadomed.models.registry import build_model, model_class
from ivadomed.models.restricted_pickle import ForbiddenGlobal, RestrictedPickle
from ivadomed.runtime.failures import refuse_shortage

logger = logging.getLogger(__name__)

FORMAT_VERSION = 1
_KEYS = ("format_version", "name", "arguments", "state_dict")
_REMEDY = "Copy or download it again, or train the model again."

MapLocation = str | torch.device | None
PathLike = str | os.PathLike[str]


def save_model(path: PathLike, model: nn.Module, name: str, arguments: Mapping[str, Any]) -> None:
    """Write a model atomically.

    The file is a plain dict ``{format_version, name, arguments, state_dict}``, readable with
    ``torch.load(weights_only=True)``, with all tensors on the CPU.

    Args:
        path: Target; replaced once the new content is on disk.
        model: The model.
        name: Name from which `build_model` builds it ...
        arguments: ... and its arguments: numbers, strings, None, lists and dicts of them.

    Raises:
        ModelError: An argument is of another type.
        OutputError: The file cannot be written.
    """
    content = {
        "format_version": FORMAT_VERSION,
        "name": name,
        "arguments": {str(key): _plain(value, str(key)) for key, value in arguments.items()},
        "state_dict": {key: value.detach().cpu() for key, value in model.state_dict().items()},
    }
    write_torch(path, content)


def write_torch(path: PathLike, content: Mapping[str, Any]) -> None:
    """Write atomically with ``torch.save``.

    Raises:
        OutputError: The file cannot be written.
    """
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        try:
            torch.save(content, file)
        except RuntimeError as error:
            # Torch reports a full disk as an error of its own archive.
            if isinstance(error.__context__, OSError):
                raise error.__context__ from None
            raise


def _plain(value: Any, place: str) -> Any:
    """Convert `value` to plain Python data."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Mapping):
        return {str(key): _plain(item, f"{place}.{key}") for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item, f"{place}[{i}]") for i, item in enumerate(value)]
    if hasattr(value, "item") and getattr(value, "ndim", None) == 0:
        return value.item()
    raise ModelError(
        f"{place}: a model file holds numbers, strings, lists and dicts, not {type(value).__name__}."
    )


def load_model(path: PathLike, map_location: MapLocation = "cpu") -> Network:
    """Open a model file, in the current format or published by ivadomed <= 2.9.10 (a pickled module).

    Pickled modules are read by `restricted_pickle`: a fixed table of names, no code from the file. A foreign
    class (``package.module:Class``) is only used if its module has already been imported.

    Args:
        path: ``.pt`` file.
        map_location: Device of the weights; None is the CPU.

    Returns:
        The model, in evaluation mode.

    Raises:
        ModelError: The file is missing, damaged, not a model, or names something forbidden.
    """
    source = Path(path)
    content = _read(source)
    if isinstance(content, Network):
        model = content
    elif isinstance(content, dict) and set(_KEYS) <= set(content):
        model = _from_dict(source, content)
    else:
        raise ModelError(
            f"{source}: holds {_summary(content)}; expected a packaged model with {', '.join(_KEYS)} "
            "(`<name>/<name>.pt` of a training run) or a published one."
        )
    if map_location is not None:
        model = model.to(map_location)
    return model.eval()


def _read(source: Path) -> Any:
    """Read a torch file: plain data, or the module of a published file."""
    try:
        file = TorchFile(source)
    except FileNotFoundError as error:
        raise ModelNotFoundError(f"{source}: no such model file; check the path.") from error
    except OSError as error:
        raise ModelError(f"{source}: cannot be read ({error.strerror}); expected a .pt file.") from error
    if file.is_empty:
        raise ModelError(f"{source}: is empty; expected a model file (.pt). {_REMEDY}")
    try:
        return file.plain()
    except pickle.UnpicklingError:
        logger.debug("%s is not plain data; reading it as a pickled module", source)
    except Exception as error:
        refuse_shortage(error, source)
        # Torch may raise anything for a damaged file; the user needs to know which file it was.
        raise _damaged(source, error) from error
    return _read_pickled_module(source, file)


def _read_pickled_module(source: Path, file: TorchFile) -> nn.Module:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            content = file.read_by(RestrictedPickle)
            while isinstance(content, nn.DataParallel):
                content = content.module
    except ForbiddenGlobal as error:
        raise ModelError(
            f"{source}: refused, it asks for {error.name}, which no ivadomed model needs and which could "
            "run code. Expected an ivadomed model file; get it from a source you trust."
        ) from error
    except Exception as error:
        refuse_shortage(error, source)
        raise _damaged(source, error) from error
    if not type(content).__module__.startswith("ivadomed.models."):
        raise ModelError(f"{source}: holds {_summary(content)}; expected an ivadomed model.")
    return _rebuilt(source, content)


def _rebuilt(source: Path, pickled: nn.Module) -> Network:
    """Rebuild a pickled network with the current classes and its weights.

    The pickled network is treated as data only: classes of other versions had other attributes, and anything the file
    added to it (such as hooks) is never called.

    Raises:
        ModelError: Its arguments cannot be inferred from its layers, or its weights do not fit them.
    """
    try:
        description = describe(pickled)
        model = build_model(description.name, description.arguments)
        model.load_state_dict(dict(_tensors(pickled)))
    except ModelError as error:
        raise ModelError(f"{source}: {error}") from error
    except Exception as error:  # a network assembled by hand may lack anything
        refuse_shortage(error, source)
        raise _damaged(source, error) from error
    logger.debug("%s: a pickled %s, rebuilt from %s", source, description.name, description.arguments)
    return model


def _tensors(module: nn.Module, prefix: str = "") -> Iterator[tuple[str, torch.Tensor]]:
    """Names and values as in a state dict, without calling anything that a pickled module may contain."""
    transient = module.__dict__.get("_non_persistent_buffers_set", ())
    for table in ("_parameters", "_buffers"):
        for name, value in module.__dict__[table].items():
            if value is not None and name not in transient:
                yield prefix + name, value.detach()
    for name, child in module.__dict__["_modules"].items():
        if child is not None:
            yield from _tensors(child, f"{prefix}{name}.")


def _damaged(source: Path, error: Exception) -> ModelError:
    reason = str(error).strip().split("\n")[0] or type(error).__name__
    return ModelError(f"{source}: damaged or not a model file ({reason}); expected a .pt file. {_REMEDY}")


def _summary(content: Any) -> str:
    if isinstance(content, dict):
        return f"a dict with {', '.join(map(str, list(content)[:4])) or 'nothing in it'}"
    return f"an object of type {type(content).__name__}"


def _from_dict(source: Path, content: Mapping[str, Any]) -> Network:
    version = content["format_version"]
    if not isinstance(version, int) or version > FORMAT_VERSION:
        raise ModelError(
            f"{source}: format version {version!r}, supported up to {FORMAT_VERSION}; update ivadomed."
        )
    name, arguments, weights = content["name"], content["arguments"], content["state_dict"]
    if not (isinstance(name, str) and isinstance(arguments, dict) and isinstance(weights, dict)):
        raise ModelError(f"{source}: name, arguments or state_dict have a wrong type. {_REMEDY}")
    try:
        model_class(name, allow_import=False)
        model = build_model(name, arguments)
        model.load_state_dict(weights)
    except ModelError as error:
        raise ModelError(f"{source}: {error}") from error
    except RuntimeError as error:
        reasons = [line.strip() for line in str(error).splitlines()]
        reason = next((line for line in reasons if "mismatch" in line), reasons[-1])  # one line per tensor
        raise ModelError(
            f"{source}: weights do not fit the arguments of {name} ({reason:.200}). {_REMEDY}"
        ) from error
    return model


def get_model_filenames(folder_model: PathLike) -> tuple[str, str]:
    """Files of a packaged model: the weights and the configuration.

    Args:
        folder_model: Folder ``<name>`` with ``<name>.json`` and ``<name>.pt``, ``<name>.onnx`` or both.
            With both, ``.pt`` is used if CUDA is available, else ``.onnx``.

    Returns:
        Path of the model, path of its JSON file.

    Raises:
        ModelNotFoundError: The folder or one of the files is missing.
    """
    stem = model_stem(folder_model)
    folder, config = stem.parent, Path(f"{stem}.json")
    model = preferred_weights(stem)
    if model is None and config.is_file() and preferred_weights(Path(f"{stem}_0")):
        raise ModelNotFoundError(
            f"{folder}: is an ensemble, and none of its files is the whole model; open it with "
            "ivadomed.inference.Predictor or segment_volume, or name the folder of one model"
        )
    if model is None:
        raise ModelNotFoundError(
            f"{folder}: neither {stem.name}.pt nor {stem.name}.onnx found; the files must have the folder's name."
        )
    if not config.is_file():
        raise ModelNotFoundError(f"{folder}: {config.name} not found; it must have the folder's name.")
    return str(model), str(config)


def model_stem(folder_model: PathLike) -> Path:
    """Path of the files of a packaged model without their extensions: ``<name>/<name>``.

    Raises:
        ModelNotFoundError: The folder does not exist.
    """
    folder = Path(folder_model)
    if not folder.is_dir():
        raise ModelNotFoundError(f"{folder}: no such model folder; expected <name>.json and <name>.pt in it.")
    return folder / folder.resolve().name


def preferred_weights(stem: Path) -> Path | None:
    """``<stem>.pt`` or ``<stem>.onnx``; with both, ``.pt`` if CUDA is available; None without either."""
    # Not `with_suffix`: names of models may have dots.
    pt, onnx = Path(f"{stem}.pt"), Path(f"{stem}.onnx")
    preferred = (pt, onnx) if torch.cuda.is_available() else (onnx, pt)
    return next((path for path in preferred if path.is_file()), None)


def set_model_for_retrain(
    model_path: PathLike, retrain_fraction: float, map_location: MapLocation, reset: bool = True
) -> Network:
    """Open a model for fine-tuning: first layers frozen, last ones trained.

    Args:
        model_path: Model file.
        retrain_fraction: 0 to 1, fraction of the layers with learned parameters to train, counted from the end.
        map_location: Device of the weights.
        reset: Initialize the trained layers again instead of starting from the file's weights.

    Returns:
        The model; `frozen_parameters` lists its frozen parameters.

    Raises:
        ModelError: The fraction is outside [0, 1], or the file is unusable.
    """
    if not 0.0 <= retrain_fraction <= 1.0:
        raise ModelError(
            f"retrain_fraction: {retrain_fraction!r}; expected a number from 0 (none) to 1 (all)."
        )
    model = load_model(model_path, map_location)
    layers = [module for module in model.modules() if list(module.parameters(recurse=False))]
    n_frozen = round(len(layers) * (1.0 - retrain_fraction))
    for layer in layers[:n_frozen]:
        layer.requires_grad_(False)
    if reset:
        for layer in layers[n_frozen:]:
            if callable(initialise := getattr(layer, "reset_parameters", None)):
                initialise()
    return model


def frozen_parameters(model: nn.Module) -> list[str]:
    """Names of the parameters that training does not change."""
    return [name for name, parameter in model.named_parameters() if not parameter.requires_grad]
