"""Peak of a training step against what `--init` predicts when it chooses patches and batches.

On a GPU the peak is that of its allocator. On a CPU the tensors of a step are counted, as the prediction does; the work
space of convolutions and what the allocator rounds up is not seen there.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from rows import Row, goal, skipped
from setting import Setting
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from ivadomed.config.schema.training import TrainingParameters
from ivadomed.losses import DeepSupervisionLoss, DiceLoss
from ivadomed.models import build_model
from ivadomed.models.registry import footprint
from ivadomed.runtime.ranks import ALONE
from ivadomed.training.optimization import Optimization
from ivadomed.training.processes import Processes

_GOAL = 0.2


@dataclass(frozen=True)
class Training:
    """What a step is measured of.

    Args:
        name: Network, of the registry.
        batch_size: Samples.
        size: Voxels of a sample.
        arguments: Of the network.
    """

    name: str
    batch_size: int
    size: tuple[int, ...]
    arguments: dict[str, Any]


_UNET = {"in_channel": 1, "out_channel": 1, "depth": 3, "dropout_rate": 0.3}
_RESIDUAL = {"in_channel": 1, "out_channel": 1, "is_2d": False}
_WHOLE = (
    Training("Unet", 18, (128, 128), {**_UNET, "n_filters": 64}),
    Training("Unet", 18, (512, 512), {**_UNET, "n_filters": 32}),
    Training("ResidualEncoderUnet", 2, (128, 128, 128), {**_RESIDUAL, "depth": 5, "n_filters": 32}),
    Training("Modified3DUNet", 2, (128, 128, 128), {**_RESIDUAL, "n_filters": 16}),
)
_QUICK = (
    Training("Unet", 4, (64, 64), {**_UNET, "n_filters": 8}),
    Training("ResidualEncoderUnet", 2, (32, 32, 32), {**_RESIDUAL, "depth": 3, "n_filters": 4}),
)


class PeakBytes(TorchDispatchMode):
    """Context that counts the bytes of the tensors that are alive.

    Attributes:
        now: Bytes at this moment.
        peak: Most bytes so far.
    """

    def __init__(self) -> None:
        super().__init__()
        self.now = self.peak = 0
        self._known: set[int] = set()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Do an operation, and count what it made."""
        made = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(made):
            if isinstance(tensor, Tensor):
                self._add(tensor.untyped_storage())
        return made

    def _add(self, storage: torch.UntypedStorage) -> None:
        if storage._cdata in self._known:
            return
        self._known.add(storage._cdata)
        self.now += storage.nbytes()
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self._drop, storage._cdata, storage.nbytes())

    def _drop(self, key: int, size: int) -> None:
        self._known.discard(key)
        self.now -= size


def check(setting: Setting) -> Iterator[Row]:
    """Rows of the networks of the figures."""
    for training in _QUICK if setting.quick else _WHOLE:
        size = "x".join(map(str, training.size))
        what = (
            f"{training.name}, {training.batch_size} x {size}: peak of a step over its prediction, off 1 by"
        )
        if not (setting.is_cpu or setting.is_cuda):
            yield skipped("memory", what, f"{setting.device.type} tells no peak")
            continue
        size_of = footprint(training.name, training.arguments, len(training.size))
        predicted = size_of.training_bytes(training.batch_size, training.size)
        ratio = _peak(setting, training) / predicted
        kind = "tensors" if setting.is_cpu else "allocator"
        yield goal("memory", f"{what} ({kind}: {ratio:.2f})", abs(ratio - 1), _GOAL)


def _peak(setting: Setting, training: Training) -> int:
    """Bytes at the peak of the second step in float32: the first one makes the averages of Adam."""
    if setting.is_cpu:
        with PeakBytes() as counted:
            _take_steps(setting, training)
        return counted.peak
    torch.cuda.empty_cache()
    before = torch.cuda.memory_allocated(setting.device)
    torch.cuda.reset_peak_memory_stats(setting.device)
    _take_steps(setting, training)
    return torch.cuda.max_memory_allocated(setting.device) - before


def _take_steps(setting: Setting, training: Training) -> None:
    torch.manual_seed(0)
    parameters = TrainingParameters.model_validate({"training_time": {"num_epochs": 1}})
    model = build_model(training.name, training.arguments)
    optimization = Optimization(Processes(ALONE, setting.device, "32").fabric, model, parameters, 2)
    image = torch.rand(training.batch_size, 1, *training.size, device=setting.device)
    target = (image > 0.9).float()
    loss = DeepSupervisionLoss(DiceLoss())
    optimization.network.train()
    for step in range(2):
        with optimization.around(step):
            optimization.learn(loss(optimization.network(image), target), step)
    setting.synchronize()
