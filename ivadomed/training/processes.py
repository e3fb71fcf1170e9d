"""Distributed training of one network, with one process per device.

All processes take the same steps: each predicts its part of a batch, all of them gather the predictions of the whole
batch, and the loss is that of the whole batch, as computed by a single process. (The mean of the losses of the parts
would differ: Dice and similar losses are ratios of sums over the batch.)

The gradient is also that of a single process. Each process differentiates its own part of the gathered predictions,
which gives its part of the weight gradient; the parts must be summed. DistributedDataParallel averages them, so the
gradient of a prediction is multiplied by the number of processes.
"""

from __future__ import annotations

import logging
import os
import re
import socket
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar, cast

import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins.environments import ClusterEnvironment
from lightning_fabric.strategies import DDPStrategy, SingleDeviceStrategy
from torch import Tensor, nn
from torch.utils.data import DataLoader

from ivadomed.errors import IvadomedError, MachineError
from ivadomed.loader.samples import Batch
from ivadomed.loader.samples.loading import ShardSampler, shard_of
from ivadomed.models import Network
from ivadomed.runtime.device import fabric_precision
from ivadomed.runtime.failures import shortage
from ivadomed.runtime.ranks import World

log = logging.getLogger(__name__)

T = TypeVar("T")
_OF_WORKER = re.compile(r"Caught \w+ in DataLoader worker process")
_PEER_GONE = re.compile(
    r"connection (closed|reset)|broken pipe|gloo|nccl|remote process exited", re.IGNORECASE
)


@dataclass(frozen=True, eq=False)
class Shard:
    """Part of a batch processed by one process.

    Args:
        batch: Its samples; the last ones repeat the end of the batch if it does not fill all processes.
        size: Samples of the whole batch, without repetitions.
        step: Index of the batch in its epoch, from 0.
    """

    batch: Batch
    size: int
    step: int


def shards(loader: DataLoader[Any]) -> Iterator[Shard]:
    """Shards of this process from the batches of an epoch, given a loader of ``make_loader``."""
    sampler = cast(ShardSampler, loader.batch_sampler)
    for step, batch in enumerate(loader):
        yield Shard(batch, sampler.size(step), step)


class Processes:
    """This process among those that train together; with a single process, all methods return their arguments.

    Args:
        world: This process among all.
        device: Device of this process.
        precision: ``training_parameters.precision``.
    """

    def __init__(self, world: World, device: torch.device, precision: str) -> None:
        self.world = world
        logging.getLogger("lightning_fabric").setLevel(logging.WARNING)  # it repeats the log
        # Weights of 1x1 convolutions have more than one layout in memory; copying them costs nothing.
        warnings.filterwarnings("ignore", "Grad strides do not match bucket view strides")
        index = 1 if device.index is None else [device.index]
        alone: Any = SingleDeviceStrategy(device=device)
        # Each process only looks up its own device.
        together = DDPStrategy(parallel_devices=[device] * world.local_size)
        self.fabric = Fabric(
            accelerator=device.type,
            devices=index if world.size == 1 else "auto",
            strategy=alone if world.size == 1 else together,
            num_nodes=world.nodes,
            precision=fabric_precision(precision, device),  # type: ignore[arg-type]
            plugins=[_Environment(world)],
        )
        self.fabric.launch()
        log.info("Computing in %s on %d process(es).", self.fabric.strategy.precision.precision, world.size)

    def close(self) -> None:
        """Leave the process group, after the last step of all processes."""
        if self.world.size > 1:
            torch.distributed.destroy_process_group()

    def prepared(self, model: Network, memory_format: torch.memory_format) -> Network:
        """The network with batch normalization over the whole batch, if torch supports it (on GPUs)."""
        together = self.world.size > 1 and self.fabric.device.type == "cuda"
        model = nn.SyncBatchNorm.convert_sync_batchnorm(model) if together else model
        return model.to(memory_format=memory_format)  # type: ignore[call-overload]

    def whole(self, part: Any, size: int) -> Any:
        """Gather the tensor of the whole batch, with gradient; for a list of tensors, each of them.

        Args:
            part: [b, ...] of this process.
            size: Samples of the whole batch.

        Returns:
            [size, ...], the same in all processes.
        """
        if self.world.size == 1:
            return part
        if not isinstance(part, Tensor):
            return [self.whole(entry, size) for entry in part]
        parts = [
            torch.empty_like(part, memory_format=torch.contiguous_format) for _ in range(self.world.size)
        ]
        torch.distributed.all_gather(parts, part.detach().contiguous())
        parts[self.world.rank] = self._summed(part)
        return torch.cat(parts)[:size]

    def _summed(self, part: Tensor) -> Tensor:
        """``part``, with its gradient scaled so that DistributedDataParallel's mean is the sum over processes."""
        part = part.view_as(part)
        if part.requires_grad:
            part.register_hook(lambda gradient: gradient * self.world.size)
        return part

    def share(self, whole: Tensor) -> Tensor:
        """Part of a whole-batch tensor that belongs to this process."""
        if self.world.size == 1:
            return whole
        return whole[shard_of(range(len(whole)), self.world.rank, self.world.size)]

    def own(self, part: Tensor, size: int) -> Tensor:
        """``part`` without the samples that repeat the end of a batch of ``size`` samples."""
        return part[: max(0, min(len(part), size - self.world.rank * len(part)))]

    def agree(self, value: T) -> T:
        """The value of process 0: values that control the training must not differ even by rounding."""
        return self.fabric.broadcast(value)

    def collect(self, value: T) -> list[T]:
        """The values of all processes, in order."""
        if self.world.size == 1:
            return [value]
        values: list[Any] = [None] * self.world.size
        torch.distributed.all_gather_object(values, value)
        return values


class _Environment(ClusterEnvironment):
    """Adapter from ``World`` to the interface of Lightning Fabric."""

    def __init__(self, world: World) -> None:
        self.world = world

    @property
    def creates_processes_externally(self) -> bool:
        return True

    @property
    def main_address(self) -> str:
        return self.world.address

    @property
    def main_port(self) -> int:
        return self.world.port

    @staticmethod
    def detect() -> bool:
        return False

    def world_size(self) -> int:
        return self.world.size

    def set_world_size(self, size: int) -> None:
        pass

    def global_rank(self) -> int:
        return self.world.rank

    def set_global_rank(self, rank: int) -> None:
        pass

    def local_rank(self) -> int:
        return self.world.local_rank

    def node_rank(self) -> int:
        return self.world.node


@contextmanager
def other_processes(command: Sequence[str], size: int, grace: float = 20.0) -> Iterator[World]:
    """Run ``command`` in ``size - 1`` further processes, and end them with this context.

    If one of them fails, this process loses its connection to it and fails too. If it keeps waiting for it, as GPUs
    may do, it is terminated.

    Args:
        command: Program and arguments.
        size: Number of processes, including this one.
        grace: Seconds granted to a process to end by itself.

    Yields:
        The place of this process among them: the first.

    Raises:
        MachineError: This is an interactive session, in which Lightning Fabric cannot train with others.
    """
    if hasattr(sys, "ps1"):
        raise MachineError(
            "gpu_ids: an interactive session trains on one GPU; use the command line (ivadomed --train) for several"
        )
    with socket.socket() as probe:  # a free port
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    first, *others = (World(rank, size, rank, size, "127.0.0.1", port) for rank in range(size))
    # The others can import everything that this program can (such as custom models).
    path = os.pathsep.join(entry for entry in sys.path if entry)
    processes = [
        subprocess.Popen(command, env={**os.environ, **other.environment(), "PYTHONPATH": path})
        for other in others
    ]
    over = threading.Event()
    threading.Thread(target=_watch, args=(processes, over, grace), daemon=True).start()
    try:
        yield first
        _wait(processes, grace)
    finally:
        over.set()
        for process in processes:
            process.terminate()
        _wait(processes, grace)
        for process in processes:
            process.kill()
            process.wait()


def _wait(processes: Sequence[subprocess.Popen[bytes]], seconds: float) -> None:
    until = time.monotonic() + seconds
    while any(process.poll() is None for process in processes) and time.monotonic() < until:
        time.sleep(0.05)


def _watch(processes: Sequence[subprocess.Popen[bytes]], over: threading.Event, grace: float) -> None:
    while not over.wait(0.5):
        failed = next((process for process in processes if process.poll() not in (None, 0)), None)
        if failed is None:
            continue
        if over.wait(grace):
            return
        print(
            f"ivadomed: process {failed.pid} of this training ended with code {failed.returncode}, see above",
            file=sys.stderr,
            flush=True,
        )
        for process in processes:
            process.kill()
        # This process hangs in a call that no exception can reach.
        os._exit(1)


@contextmanager
def explained(sizes: Mapping[str, Any], world: World) -> Iterator[None]:
    """Context of a training that turns failures of the machine into errors with advice.

    Args:
        sizes: Keys of the configuration that determine how much memory is needed, with their values.
        world: The processes that train together.

    Raises:
        MachineError: Memory is exhausted, a loading process was killed, another process of the group ended, or the
            network cannot be compiled.
    """
    try:
        yield
    except IvadomedError as error:
        if not _OF_WORKER.match(str(error)):
            raise
        # Remove the traceback that torch adds to errors of loading processes.
        text = str(error).rpartition(f"{type(error).__module__}.{type(error).__qualname__}: ")[2]
        raise type(error)(text.strip()) from None
    except (RuntimeError, MemoryError, OSError) as error:
        message = _explanation(error, ", ".join(f"{key} ({value})" for key, value in sizes.items()), world)
        if message is None:
            raise
        raise MachineError(message) from error


def _explanation(error: Exception, sizes: str, world: World) -> str | None:
    text = str(error)
    if (message := shortage(error, f"reduce one of {sizes}")) is not None:
        return message
    if world.size > 1 and (isinstance(error, torch.distributed.DistError) or _PEER_GONE.search(text)):
        return (
            "another process of this training ended; its message says why, unless it was killed (the kernel kills "
            "processes that run out of memory)"
        )
    if type(error).__module__.startswith(("torch._dynamo", "torch._inductor")):
        reason = text.strip().split("\n")[0]
        return f"training_parameters.compile: torch cannot compile this network ({reason}); set it to false"
    return None
