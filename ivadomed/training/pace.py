"""Seconds that a training step takes on this machine, measured before there is a training.

A measurement differs from call to call. What follows from it is written down (the configuration that was suggested),
and is from then on what can be repeated; nothing that a seed decides may ask for it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import torch

from ivadomed.config.schema.run import Architecture
from ivadomed.config.schema.training import TrainingParameters
from ivadomed.losses import LOSSES, DeepSupervisionLoss
from ivadomed.losses.deep_supervision import full_resolution
from ivadomed.models.base import example_inputs
from ivadomed.models.registry import build_model
from ivadomed.runtime.allocator import reused_memory
from ivadomed.runtime.memory_format import channels_last
from ivadomed.runtime.ranks import ALONE
from ivadomed.training.optimization import Optimization
from ivadomed.training.processes import Processes
from ivadomed.training.resolve import resolve_parameters

_LEAST, _MOST = 3, 9


def seconds_per_step(
    architecture: Architecture,
    params: TrainingParameters,
    size: Sequence[int],
    device: torch.device = torch.device("cpu"),  # noqa: B008  # immutable
    seconds: float = 2.0,
    clock: Callable[[], float] = time.perf_counter,
) -> float:
    """Least time of a batch of random images: forward and backward pass, and the update of the weights.

    The number format, memory layout, loss and optimizer are those of the training. Loading and augmenting samples is
    not in it, nor is validation. The first step, which sets up the convolutions, does not count. Random generators
    are left as they were.

    Args:
        architecture: Network and its arguments.
        params: The ``training_parameters`` section; its ``batch_size`` samples make a batch.
        size: Voxels of a sample along each axis.
        device: Device to measure.
        seconds: Steps are taken for so long: three at least, nine at most.
        clock: Seconds that only grow.

    Returns:
        Seconds.
    """
    with torch.random.fork_rng(), reused_memory():
        step = _random_step(architecture, params, size, device)
        step()
        times: list[float] = []
        while len(times) < _LEAST or (len(times) < _MOST and sum(times) < seconds):
            started = clock()
            step()
            times.append(clock() - started)
    return min(times)  # what else the machine does only adds


def _random_step(
    architecture: Architecture, params: TrainingParameters, size: Sequence[int], device: torch.device
) -> Callable[[], None]:
    """A training step on the same random batch each time."""
    params = resolve_parameters(params, device, architecture, size)
    processes = Processes(ALONE, device, params.precision)
    model = build_model(architecture.name, architecture.arguments).train()
    layout = torch.contiguous_format
    if params.channels_last and model.channels_last:
        layout = channels_last(len(size))
    model = processes.prepared(model, layout)
    channels = architecture.arguments.get("in_channel", 1)
    inputs = model.inputs(example_inputs(model, (params.batch_size, channels, *size)))
    image, *others = (each.to(device) for each in inputs)
    image = image.to(memory_format=layout)
    once = params.model_copy(update={"accumulate_batches": 1})
    optimization = Optimization(processes.fabric, model, once, batches=1)
    loss = DeepSupervisionLoss(LOSSES.build(params.loss.name, params.loss.arguments))
    target = torch.zeros(full_resolution(model(image, *others)).shape, device=device)
    target[..., : size[-1] // 4] = 1

    def step() -> None:
        optimization.learn(loss(optimization.network(image, *others), target), 0)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        elif device.type == "mps":
            torch.mps.synchronize()

    return step
