"""What a machine can run short of, in the user's words: memory, loading processes, the other processes of a group."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch

from ivadomed.errors import IvadomedError, MachineError
from ivadomed.runtime.ranks import World

# Allocators of CPU, CUDA and MPS have no common error; on the CPU it is a plain RuntimeError.
_NO_MEMORY = re.compile(r"out of memory|can't allocate memory|not enough memory|alloc_failed", re.IGNORECASE)
_WORKER_GONE = re.compile(
    r"DataLoader worker \(pid(?:\(s\))? ([\d, ]+)\)(?: is killed by signal: (\w[\w ]*))?"
)
_OF_WORKER = re.compile(r"Caught \w+ in DataLoader worker process")
_PEER_GONE = re.compile(
    r"connection (closed|reset)|broken pipe|gloo|nccl|remote process exited", re.IGNORECASE
)


@contextmanager
def explained(sizes: Mapping[str, Any], world: World) -> Iterator[None]:
    """Context of a training in which the machine's failures become errors that say what to do.

    Args:
        sizes: Keys of the configuration that decide how much memory is needed, with their values.
        world: The processes that train together.

    Raises:
        MachineError: Memory is exhausted, a loading process was killed, another process of the group ended, or the
            network cannot be compiled.
    """
    try:
        yield
    except IvadomedError as error:
        raise type(error)(_without_traceback(error)) if _OF_WORKER.match(str(error)) else error from None
    except (RuntimeError, MemoryError) as error:
        message = _explanation(error, ", ".join(f"{key} ({value})" for key, value in sizes.items()), world)
        if message is None:
            raise
        raise MachineError(message) from error


def _without_traceback(error: IvadomedError) -> str:
    """The message of an error of a loading process, to which torch adds where it came from."""
    return str(error).rpartition(f"{type(error).__module__}.{type(error).__qualname__}: ")[2].strip()


def _explanation(error: Exception, sizes: str, world: World) -> str | None:
    text = str(error)
    if gone := _WORKER_GONE.search(text):
        signal = f" by signal {gone[2].strip()}" if gone[2] else ""
        shared = "; give the container more shared memory (--shm-size)" if "shared memory" in text else ""
        return (
            f"a process that loads data (pid {gone[1]}) was ended{signal}, mostly for want of memory{shared}; "
            f"reduce training_parameters.num_workers (0: none), or one of {sizes}"
        )
    if isinstance(error, (MemoryError, torch.cuda.OutOfMemoryError)) or _NO_MEMORY.search(text):
        return f"out of memory; reduce one of {sizes}"
    if world.size > 1 and (isinstance(error, torch.distributed.DistError) or _PEER_GONE.search(text)):
        return (
            "another process of this training ended; its message says why, unless it was killed (the kernel kills for "
            "want of memory)"
        )
    if type(error).__module__.startswith(("torch._dynamo", "torch._inductor")):
        reason = text.strip().split("\n")[0]
        return f"training_parameters.compile: torch cannot compile this network ({reason}); set it to false"
    return None
