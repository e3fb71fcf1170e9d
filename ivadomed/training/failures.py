"""What can fail in a training that is no fault of ours: the machine, the other processes of a group, the compiler."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch

from ivadomed.errors import IvadomedError, MachineError
from ivadomed.runtime.failures import shortage
from ivadomed.runtime.ranks import World

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
    except (RuntimeError, MemoryError, OSError) as error:
        message = _explanation(error, ", ".join(f"{key} ({value})" for key, value in sizes.items()), world)
        if message is None:
            raise
        raise MachineError(message) from error


def _without_traceback(error: IvadomedError) -> str:
    """The message of an error of a loading process, to which torch adds where it came from."""
    return str(error).rpartition(f"{type(error).__module__}.{type(error).__qualname__}: ")[2].strip()


def _explanation(error: Exception, sizes: str, world: World) -> str | None:
    text = str(error)
    if (message := shortage(error, f"reduce one of {sizes}")) is not None:
        return message
    if world.size > 1 and (isinstance(error, torch.distributed.DistError) or _PEER_GONE.search(text)):
        return (
            "another process of this training ended; its message says why, unless it was killed (the kernel kills for "
            "want of memory)"
        )
    if type(error).__module__.startswith(("torch._dynamo", "torch._inductor")):
        reason = text.strip().split("\n")[0]
        return f"training_parameters.compile: torch cannot compile this network ({reason}); set it to false"
    return None
