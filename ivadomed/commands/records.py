"""Records of a run: log, configuration, versions, manifest."""

from __future__ import annotations

import datetime
import json
import logging
import platform
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from ivadomed import __version__
from ivadomed.config import RunConfig
from ivadomed.config.run_files import CONFIG
from ivadomed.errors import OutputError
from ivadomed.images.files import parse_json, remove_leftovers, write_json, write_text
from ivadomed.loader.layouts.index import identity
from ivadomed.runtime.ranks import is_first_process
from ivadomed.runtime.run_lock import LOCK, run_lock
from ivadomed.runtime.terminal import log_handlers

log = logging.getLogger(__name__)

MANIFEST = "manifest.json"
"""File written by training; ivadomed 2 had none."""

_LIBRARIES = ("torch", "numpy", "scipy", "nibabel", "pandas", "lightning-fabric", "onnx", "onnxruntime")


@contextmanager
def run_folder(config: RunConfig, debug: bool = False, with_records: bool = True) -> Iterator[Path]:
    """Create the folder of a run, log to its log file, and record the configuration.

    If several processes train together, only the first one does so.

    Args:
        config: Configuration of the run.
        debug: Log details too.
        with_records: Write the configuration and versions too.

    Raises:
        OutputError: The folder cannot be written, or another run uses it.
    """
    folder = Path(config.path_output)
    if not is_first_process():
        yield folder
        return
    existed = folder.is_dir()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"{folder}: cannot be written ({error.strerror}); choose another --path-output"
        ) from error
    with _refusals_explained(folder), run_lock(folder):
        remove_leftovers(folder, skip=_may_be_in_use)
        with log_file(folder / config.log_file, debug or config.debugging):
            log.info("Output path already exists: %s" if existed else "Creating output path: %s", folder)
            if with_records:
                write_json(folder / CONFIG, config.to_json(hide_secrets=True))
                write_text(folder / "version_info.log", version_text(config))
            yield folder


def _may_be_in_use(folder: Path) -> bool:
    """True for a folder not covered by the lock of the enclosing run: a shared cache, or another run."""
    return folder.name == "cache" or any((folder / name).exists() for name in (LOCK, CONFIG))


def log_file(path: Path, debug: bool) -> AbstractContextManager[None]:
    """Context that appends the log to a file."""
    to_file = _LogFile(path, encoding="utf-8", errors="backslashreplace")
    to_file.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    return log_handlers([to_file], logging.DEBUG if debug else logging.INFO)


class _LogFile(logging.FileHandler):
    """Log file that survives a full disk without a traceback of the logging module."""

    def handleError(self, record: logging.LogRecord) -> None:
        """Raise the error that occurred for a record."""
        raise


@contextmanager
def _refusals_explained(folder: Path) -> Iterator[None]:
    """Context that converts errors of the file system to errors for the user.

    Files are written in many places, also by other libraries. A missing file that should exist is our bug and keeps
    its traceback.
    """
    try:
        yield
    except OSError as error:
        if error.errno is None or isinstance(error, FileNotFoundError):
            raise
        path = folder if error.filename is None or isinstance(error.filename, int) else error.filename
        raise OutputError(
            f"{path}: cannot be written or read ({error.strerror}); fix this, or choose another --path-output"
        ) from error


def write_manifest(
    config: RunConfig,
    folder: Path,
    split: Mapping[str, Any] | Sequence[Mapping[str, Any]],
    precision: str | None = None,
    memory_format: str | None = None,
) -> None:
    """Write ``manifest.json``: everything needed to repeat the run.

    Args:
        config: Configuration of the run.
        folder: Output folder of the run.
        split: File names of each set; for a cross-validation, one split per fold.
        precision: Number format of the training, see ``precision_text``; results differ between formats.
        memory_format: Memory format of the training, see ``memory_format_text``; rounding depends on it.
    """
    write_json(
        folder / MANIFEST,
        {
            "ivadomed": __version__,
            "commit": _commit(Path(__file__).parent),
            "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
            "command_line": sys.argv,
            "python": platform.python_version(),
            "platform": platform.platform(),
            "libraries": _libraries(),
            "seeds": {
                "split": config.split_dataset.random_seed,
                "training": config.training_parameters.seed,
            },
            "precision": precision,
            "memory_format": memory_format,
            "data": [_dataset_identity(Path(path)) for path in config.loader_parameters.path_data],
            "split": split,
            "config": config.to_json(hide_secrets=True),
        },
    )


def add_to_manifest(folder: Path, entries: Mapping[str, Any]) -> None:
    """Add entries known only during training to ``manifest.json``."""
    write_json(folder / MANIFEST, {**read_object(folder / MANIFEST), **entries})


def was_trained_on(folder: Path, path_data: Sequence[str]) -> bool:
    """True if the manifest of a training names these data sets."""
    try:
        known = [entry["path"] for entry in read_object(folder / MANIFEST).get("data", ())]
    except (LookupError, TypeError):
        return False
    return known == [str(Path(path).resolve()) for path in path_data]


def trained_in(folder: Path) -> dict[str, str]:
    """Number format of a run's training, by its name in the report; {} if unknown."""
    precision = read_object(folder / MANIFEST).get("precision")
    return {"precision of the training": precision} if isinstance(precision, str) else {}


def read_object(path: Path) -> dict[str, Any]:
    """Content of a JSON file; {} if it cannot be read."""
    try:
        content = parse_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def versions() -> dict[str, str]:
    """Versions of ivadomed, Python, the system and the libraries that affect results."""
    return {
        "ivadomed": __version__,
        "commit": _commit(Path(__file__).parent),
        "python": platform.python_version(),
        "platform": platform.platform(),
        **_libraries(),
    }


def version_text(config: RunConfig) -> str:
    """Content of ``version_info.log``."""
    known = versions()
    data = [_dataset_identity(Path(path)) for path in config.loader_parameters.path_data]
    sections = {
        "IVADOMED TOOLBOX": [f"version: {__version__}", f"commit: {known['commit']}"],
        "DATASET VERSION": [f"{key}: {value}" for identity in data for key, value in identity.items()],
        "SYSTEM INFO": [f"{key}: {known[key]}" for key in ("platform", "python", *_LIBRARIES)],
        "CONFIG INPUTS": [json.dumps(config.to_json(hide_secrets=True), indent=4)],
    }
    return "\n".join(
        line for title, lines in sections.items() for line in (title, "-" * len(title), *lines, "")
    )


def _dataset_identity(path: Path) -> dict[str, Any]:
    known = identity(path)
    return {"path": str(path.resolve()), "commit": _commit(path if path.is_dir() else path.parent), **known}


def _libraries() -> dict[str, str]:
    # Results differ between torch builds for GPU and CPU; the package version may omit the build.
    return {name: _installed(name) for name in _LIBRARIES} | {"torch": str(torch.__version__)}


def _installed(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def _commit(folder: Path) -> str:
    """Commit of the repository that contains ``folder``, or "unknown"."""
    command = ["git", "-C", str(folder), "describe", "--always", "--dirty", "--abbrev=40"]
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return "unknown"
