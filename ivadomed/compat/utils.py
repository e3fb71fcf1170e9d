"""``ivadomed.utils`` of 2.x: command-line arguments, information on the machine, and messages of a run."""

from __future__ import annotations

import argparse
import ctypes
import difflib
import logging
import os
import shutil
import sys
from collections.abc import Iterable, Mapping, MutableMapping, Sequence
from datetime import datetime
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import ivadomed
from ivadomed.download.http import sha256_of
from ivadomed.errors import ConfigError, DataError
from ivadomed.geometry.grid import SLICE_AXES
from ivadomed.models.specs import SPECS
from ivadomed.runtime.memory import physical_memory

if TYPE_CHECKING:
    import pandas as pd

log = logging.getLogger(__name__)

AXIS_DCT = dict(SLICE_AXES)
"""Number of each slice axis."""

CLASSIFIER_LIST = [name for name, network in SPECS.items() if network.task == "classification"]
"""Networks that classify slices."""

__ivadomed_dir__ = str(Path(ivadomed.__file__).resolve().parents[1])
"""Folder that holds the package."""

_GIGABYTE = 1024**3


class Metavar(Enum):
    """Text that ``--help`` shows for the value of an option."""

    file = "<file>"
    str = "<str>"
    folder = "<folder>"
    int = "<int>"
    list = "<list>"
    float = "<float>"

    def __str__(self) -> Any:
        return self.value


class ArgParseException(Exception):
    """Command-line arguments could not be parsed."""


def get_arguments(parser: argparse.ArgumentParser, args: Sequence[str] | None) -> argparse.Namespace:
    """Parse the arguments of a command line.

    Args:
        parser: The parser.
        args: Arguments; None for those of this process.

    Raises:
        ArgParseException: They cannot be parsed (the parser has printed why), or only request help.
    """
    try:
        return parser.parse_args(args)
    except SystemExit as error:
        raise ArgParseException(f"the arguments of {parser.prog} cannot be used") from error


def get_command(args: argparse.Namespace, context: Mapping[str, Any]) -> str:
    """Command: ``--train``, ``--test``, ``--eval`` or ``--segment`` of the command line, else ``command``.

    Args:
        args: Arguments of ``ivadomed.main.get_parser``.
        context: The configuration.

    Raises:
        ConfigError: Neither says it.
    """
    for name in ("train", "test", "eval", "segment"):
        if getattr(args, name, False):
            return name
    return _wanted(context.get("command"), "command", "--train, --test, --eval or --segment")


def get_path_output(args: argparse.Namespace, context: Mapping[str, Any]) -> str:
    """Folder of the run: that of the command line, else ``path_output``.

    Args:
        args: Arguments of ``ivadomed.main.get_parser``.
        context: The configuration.

    Raises:
        ConfigError: Neither says it.
    """
    given = getattr(args, "path_output", None) or context.get("path_output")
    return _wanted(given, "path_output", "--path-output FOLDER")


def get_path_data(args: argparse.Namespace, context: Mapping[str, Any]) -> Any:
    """Data sets: those of the command line, else ``loader_parameters.path_data``.

    Args:
        args: Arguments of ``ivadomed.main.get_parser``.
        context: The configuration.

    Raises:
        ConfigError: Neither says it.
    """
    given = getattr(args, "path_data", None) or context.get("loader_parameters", {}).get("path_data")
    return _wanted(given, "loader_parameters.path_data", "--path-data FOLDER")


def _wanted(value: Any, key: str, option: str) -> Any:
    if not value:
        raise ConfigError(f"{key}: not given; add it to the configuration or pass {option}")
    return value


def format_path_data(path_data: str | Sequence[str]) -> list[str]:
    """One data set or several, as a list.

    Raises:
        ConfigError: It is neither a path nor a list.
    """
    if isinstance(path_data, str | os.PathLike):
        return [path_data]
    if not isinstance(path_data, list | tuple):
        raise ConfigError(f"path_data: {path_data!r}; expected the path of a data set, or a list of paths")
    return list(path_data)


def get_task(model_name: str) -> str:
    """Task of a network: "segmentation" (masks, or heat maps) or "classification".

    Args:
        model_name: Name of its class.
    """
    return "classification" if model_name in CLASSIFIER_LIST else "segmentation"


def display_selected_model_spec(params: Mapping[str, Any]) -> None:
    """Log the network and its arguments.

    Args:
        params: ``name`` and arguments.
    """
    log.info("Selected architecture: %s, with the following parameters:", params["name"])
    for key, value in params.items():
        if key != "name":
            log.info("\t%s: %s", key, value)


def display_selected_transfoms(params: Mapping[str, Any], dataset_type: Sequence[str]) -> None:
    """Log the transforms of a data set.

    Args:
        params: Arguments by name of the transform.
        dataset_type: Sets that they are for, e.g. ["training", "validation"].
    """
    log.info("Selected transformations for the %s dataset:", list(dataset_type))
    for name, arguments in params.items():
        log.info("\t%s: %s", name, arguments)


def generate_sha_256(
    context: MutableMapping[str, Any], df: pd.DataFrame, file_lst: Iterable[str]
) -> dict[str, str]:
    """Checksums of images, stored in the configuration as ``training_sha256``.

    Args:
        context: The configuration; gets the result.
        df: Table of ``BidsDataframe``, with ``filename`` and ``path``.
        file_lst: File names of the images.

    Returns:
        SHA-256 by file name.

    Raises:
        DataError: An image is not in the table, or cannot be read.
    """
    paths = dict(zip(df["filename"], df["path"], strict=True))
    sums = {}
    for name in file_lst:
        if name not in paths:
            raise DataError(f"{name}: is not among the images of the data set")
        try:
            sums[name] = sha256_of(paths[name])
        except OSError as error:
            raise DataError(f"{paths[name]}: cannot be read ({error.strerror})") from error
    context["training_sha256"] = sums
    return sums


def get_timestamp() -> str:
    """Date and time for names of folders, e.g. "20240131T235959.123456"."""
    return datetime.now().strftime("%Y%m%dT%H%M%S.%f")


def init_ivadomed() -> None:
    """Print the version, as 2.x did at the start of a program."""
    log.info("\nivadomed (%s)\n", ivadomed.__version__)


def check_exe(name: str) -> str | None:
    """Path of a program, or None if it cannot be run.

    Args:
        name: Name of the program, or its path.
    """
    return shutil.which(name)


def similarity_score(a: str, b: str) -> float:
    """Similarity of two texts, from 0 to 1: twice the matching characters over all."""
    return difflib.SequenceMatcher(None, a, b).ratio()


def print_stats(arr: Any) -> None:
    """Log mean, median and interquartile range of some numbers."""
    low, high = np.percentile(arr, [25, 75])
    log.info("\tMean: %s %%", np.mean(arr))
    log.info("\tMedian: %s %%", np.median(arr))
    log.info("\tInter-quartile range: [%s, %s] %%", low, high)


def get_system_memory() -> float | None:
    """Memory of this machine in GB (2**30 bytes), None where the system does not say."""
    return get_win_system_memory() if sys.platform == "win32" else _physical_memory()


def get_linux_system_memory() -> float | None:
    """Memory of a machine with Linux in GB, None elsewhere."""
    return _physical_memory() if sys.platform == "linux" else None


def get_mac_system_memory() -> float | None:
    """Memory of a machine with macOS in GB, None elsewhere."""
    return _physical_memory() if sys.platform == "darwin" else None


def get_win_system_memory() -> float | None:
    """Memory of a machine with Windows in GB, None elsewhere."""
    kernel = getattr(ctypes, "windll", None)
    kilobytes = ctypes.c_ulonglong()
    if kernel is None or not kernel.kernel32.GetPhysicallyInstalledSystemMemory(ctypes.byref(kilobytes)):
        return None
    return kilobytes.value * 1024 / _GIGABYTE


def _physical_memory() -> float | None:
    known = physical_memory()
    return None if known is None else known / _GIGABYTE
