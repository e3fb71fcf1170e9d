"""Runs in worker processes: valid paths, the worker's GPU and threads, and logging of failures."""

from __future__ import annotations

import traceback
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

from ivadomed.config import RunConfig, load_config
from ivadomed.errors import IvadomedError
from ivadomed.jobs import own_gpus, own_threads
from ivadomed.runtime.terminal import Mode, shown


def shared_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """Configuration with absolute paths and one cache for all runs, so that images are preprocessed once."""
    loader = config["loader_parameters"]
    output, data = Path(config["path_output"]).resolve(), loader["path_data"] or []
    places: dict[str, Any] = {
        "path_data": [str(Path(path).resolve()) for path in ([data] if isinstance(data, str) else data)]
    }
    if loader.get("cache", "disk") in ("disk", "hdf5"):
        places["cache_dir"] = str(Path(loader.get("cache_dir") or output / "cache").resolve())
    return {**config, "path_output": str(output), "loader_parameters": {**loader, **places}}


def with_absolute_paths(config: RunConfig) -> RunConfig:
    """Configuration for any process that sees the same files under the same paths, see `shared_config`."""
    return load_config(shared_config(config.to_json()))


def with_own_share(config: Mapping[str, Any]) -> RunConfig:
    """Configuration with the GPU and the threads reserved for this process."""
    parsed = load_config(config)
    changes: dict[str, Any] = {"gpu_ids": list(own_gpus(parsed.gpu_ids))}
    threads = own_threads()
    if threads is not None and parsed.training_parameters.num_workers is None:
        changes["training_parameters.num_workers"] = min(threads - 1, 8)  # limited to its own cores
    return load_config(config, changes)


def screen_of_worker() -> AbstractContextManager[None]:
    """Context that disables progress bars if several processes share a terminal."""
    return nullcontext() if own_threads() is None else shown(Mode.QUIET)


def log_failure(log: Path, error: Exception) -> None:
    """Write the failure of a run to its log; the common log of all runs has only one line about it."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a", encoding="utf-8") as file:
        file.write(f"{error}\n" if isinstance(error, IvadomedError) else traceback.format_exc())
