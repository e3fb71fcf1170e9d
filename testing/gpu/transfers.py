"""What moves between host and device in a step of the training loop, and how often the host waits for the device.

At most the tensors of the batch go in, and one small tensor with the losses comes out, which is the only wait.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import torch
from rows import Row, skipped, within
from setting import Setting, training
from torch import Tensor
from torch.profiler import ProfilerActivity, profile
from torch.utils._python_dispatch import TorchDispatchMode
from trainer import make_trainer

from ivadomed.loader.samples import Batch
from ivadomed.training.loop import Trainer
from ivadomed.training.processes import Shard, shards

aten = torch.ops.aten
_READS = (aten._local_scalar_dense, aten.nonzero, aten.masked_select, aten.equal, aten.is_nonzero)
"""Operations whose result, or its size, the host has to know."""
_WAITS = ("cudaStreamSynchronize", "cudaDeviceSynchronize", "cudaEventSynchronize")
_AFFINE = {
    "degrees": 5,
    "scale": [0.1, 0.1],
    "translate": [0.03, 0.03],
    "applied_to": ["im", "gt"],
    "dataset_type": ["training"],
}


@dataclass(frozen=True)
class Transfers:
    """What a profile tells.

    Args:
        to_device: Copies from the host.
        to_host: Copies from the device.
        waits: Times that the host waited.
    """

    to_device: int
    to_host: int
    waits: int

    @classmethod
    def of(cls, names: Iterable[str], steps: int = 1) -> Transfers:
        """Count events by their names, of each of several steps.

        Rounded down: the profiler itself waits once, at its end.
        """
        events = list(names)
        to_device, to_host = (
            sum(name.startswith(f"Memcpy {way}") for name in events) // steps for way in ("HtoD", "DtoH")
        )
        return cls(to_device, to_host, sum(name in _WAITS for name in events) // steps)


class Waits(TorchDispatchMode):
    """Context that counts the operations at which the host has to wait for a device.

    It works on any device, and on "meta", which has no memory. What libraries do behind the operations of torch is not
    seen; a profile of a GPU shows that too.

    Args:
        device: The device.

    Attributes:
        count: Number of waits so far.
    """

    def __init__(self, device: torch.device) -> None:
        super().__init__()
        self.kind, self.count = device.type, 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Count an operation, and do it."""
        kwargs = kwargs or {}
        self.count += self._waits(func.overloadpacket, args, kwargs)
        return func(*args, **kwargs)

    def _waits(self, operation: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> bool:
        if operation in _READS or (operation is aten.index and _by_mask(args[1])):
            return args[0].device.type == self.kind
        if operation is aten._to_copy:
            target = torch.device(kwargs.get("device") or args[0].device)
            return self._blocks(args[0].device, target, bool(kwargs.get("non_blocking")))
        if operation is aten.copy_:
            non_blocking = bool(args[2] if len(args) > 2 else kwargs.get("non_blocking"))
            return self._blocks(args[1].device, args[0].device, non_blocking)
        return False

    def _blocks(self, source: torch.device, target: torch.device, non_blocking: bool) -> bool:
        if source.type == target.type or self.kind not in (source.type, target.type):
            return False
        return target.type != self.kind or not non_blocking


def _by_mask(indices: Sequence[Tensor | None]) -> bool:
    """Of what a mask picks, the host has to know the number."""
    return any(index is not None and index.dtype in (torch.bool, torch.uint8) for index in indices)


def check(setting: Setting) -> Iterator[Row]:
    """Rows of a step in each precision, with transforms in the workers and on the device."""
    for augment_on in ("worker", "device"):
        for precision in ("32", "bf16", "16"):
            what = f"step in {precision}, augment_on {augment_on}"
            if precision == "16" and setting.is_cpu:
                yield skipped("transfers", what, "CPUs have no arithmetic of half precision")
                continue
            if setting.quick and precision == "bf16":
                continue
            yield from _of_a_step(setting, what, precision, augment_on)


def _of_a_step(setting: Setting, what: str, precision: str, augment_on: str) -> Iterator[Row]:
    # torch keeps the step numbers of Adam on the host, so that on a CPU they would count as reads of the device.
    optimizer = "SGD" if setting.is_cpu else "Adam"
    parameters = training(
        precision=precision, augment_on=augment_on, optimizer={"name": optimizer}, batch_size=4
    )
    config = setting.configuration("transfers", training_parameters=parameters)
    config["transformation"]["RandomAffine"] = _AFFINE
    # Last, so that the step is one of a batch too.
    config["transformation"]["NormalizeInstance"] = config["transformation"].pop("NormalizeInstance")
    trainer = make_trainer(setting, config)
    with closing(trainer.train_batches), closing(trainer.val_batches):
        trainer.network.train()
        batches = list(shards(trainer.train_batches))
        whole = [shard for shard in batches if shard.size == 4]
        drawn = torch.Generator().manual_seed(0)
        for shard in whole[:2]:  # the first steps set up optimizer and scaler
            trainer._train_batch(shard, drawn)
        with Waits(setting.device) as waits:
            trainer._train_batch(whole[-1], drawn)
        yield within("transfers", f"{what}: times the host waits, by the operations", waits.count, 1)
        if not setting.is_cuda:
            yield skipped(
                "transfers", f"{what}: copies and waits, by a profile", "only CUDA has such a profile"
            )
            return
        found = _profiled(trainer, whole[:4], drawn)
        batch_size = max(_count(shard.batch) for shard in whole[:4])
        yield within("transfers", f"{what}: copies to the device", found.to_device, batch_size)
        yield within("transfers", f"{what}: copies to the host", found.to_host, 1)
        yield within("transfers", f"{what}: waits", found.waits, 1)


def _profiled(trainer: Trainer, batches: list[Shard], drawn: torch.Generator) -> Transfers:
    with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as recorded:
        for shard in batches:
            trainer._train_batch(shard, drawn)
    return Transfers.of([event.name for event in recorded.events()], len(batches))


def _count(batch: Batch) -> int:
    """Tensors of a batch."""
    parts = (batch.image, batch.target, batch.condition, batch.ignore)
    found = [part for part in parts if part is not None]

    def counted(tensor: Tensor) -> Tensor:
        found.append(tensor)
        return tensor

    if batch.steps is not None:
        batch.steps.moved(counted)
    return len(found)
