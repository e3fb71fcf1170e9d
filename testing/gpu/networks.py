"""Every network: a forward pass and a training step on the device, against those on the CPU in float32.

The step is that of the training loop (`Optimization`: precision, gradient scaler, optimizer). It is taken by plain
gradient descent, so that the change of the weights is their gradient.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from rows import Row, holds, skipped, within
from setting import CPU, Setting, distance, full_float32
from torch import Tensor, nn

from ivadomed.config.schema.training import TrainingParameters
from ivadomed.losses import DeepSupervisionLoss, DiceLoss, full_resolution
from ivadomed.models import Network, build_model
from ivadomed.models.base import MODELS, Inputs, example_inputs
from ivadomed.runtime.ranks import ALONE
from ivadomed.training.network import compile_network
from ivadomed.training.optimization import Optimization
from ivadomed.training.processes import Processes

_RATE = 100.0  # large, so that the gradient is not lost when it is added to the weights
_TRIES = 20
"""Steps that the gradient scaler may leave out, halving its scale each time."""


@dataclass(frozen=True)
class Case:
    """A small network.

    Args:
        name: Of the registry.
        shape: Channels and voxels of a sample.
        arguments: Of its constructor.
        stable: Its gradient can be compared; that of some networks amplifies rounding.
    """

    name: str
    shape: tuple[int, ...]
    arguments: dict[str, Any] = field(default_factory=dict)
    stable: bool = True


@dataclass(frozen=True)
class Mode:
    """A way to compute.

    Args:
        precision: ``training_parameters.precision``.
        channels_last: Memory layout.
        prediction: Largest distance of the prediction from the reference, relative to its norm.
        gradient: The same of the gradient of all weights.
    """

    precision: str
    channels_last: bool
    prediction: float
    gradient: float


@dataclass(frozen=True)
class Step:
    """What a training step gave.

    Args:
        prediction: At full resolution.
        gradient: Change of all weights, one after the other.
    """

    prediction: Tensor
    gradient: Tensor


_PLAIN = {"in_channel": 1, "out_channel": 1}
_FLAT = {**_PLAIN, "depth": 2, "n_filters": 4, "dropout_rate": 0.0}
_SOLID = {**_FLAT, "depth": 1, "is_2d": False}
# Of feature maps of 2 x 2 x 2 voxels the gradient in bf16 is wrong on CPUs, see docs/performance.md.
_LARGE_3D = {**_PLAIN, "n_filters": 2, "dropout_rate": 0.0}
CASES = {
    "Unet": Case("Unet", (1, 32, 32), _FLAT),
    "Unet, softmax": Case("Unet", (1, 32, 32), {**_FLAT, "out_channel": 3, "final_activation": "softmax"}),
    "Unet, 3D": Case("Unet", (1, 16, 16, 16), _SOLID),
    "FiLMedUnet": Case("FiLMedUnet", (1, 32, 32), {**_FLAT, "n_metadata": 3}),
    "HeMISUnet": Case(
        "HeMISUnet",
        (2, 32, 32),
        {"contrasts": ["T1w", "T2w"], "depth": 2, "n_filters": 4, "dropout_rate": 0.0},
    ),
    "Modified3DUNet": Case("Modified3DUNet", (1, 48, 32, 32), {**_LARGE_3D, "attention": True}),
    "UNet3D": Case("UNet3D", (1, 48, 32, 32), _LARGE_3D),
    "ResidualEncoderUnet": Case(
        "ResidualEncoderUnet", (1, 32, 32), {**_PLAIN, "depth": 2, "n_filters": 4, "is_2d": True}
    ),
    "ResidualEncoderUnet, 3D": Case(
        "ResidualEncoderUnet", (1, 16, 16, 16), {**_PLAIN, "depth": 2, "n_filters": 4, "is_2d": False}
    ),
    "Countception": Case("Countception", (1, 8, 8), _PLAIN),
    "resnet18": Case("resnet18", (1, 64, 64), {"dropout_rate": 0.0}),
    # In float32 its 121 normalizations, one behind the other, take its gradient 0.02 away in the other format, other
    # networks 0.00001.
    "densenet121": Case("densenet121", (1, 64, 64), {"dropout_rate": 0.0}, stable=False),
}
# The gradient of a network that has learnt nothing is mostly noise: in bf16 it is up to 0.5 of its norm away on a CPU.
# One of zeros is 1 away, one that has nothing to do with the right one 1.4.
MODES = {
    "float32": Mode("32", False, 1e-3, 1e-2),
    "float32, channels last": Mode("32", True, 1e-3, 1e-2),
    "bf16": Mode("bf16", False, 0.05, 0.7),
    "bf16, channels last": Mode("bf16", True, 0.05, 0.7),
    "fp16 with a gradient scaler": Mode("16", False, 0.01, 0.15),
}
# The code generator takes half a minute for each.
_COMPILED = ("Unet", "ResidualEncoderUnet, 3D", "FiLMedUnet", "HeMISUnet")
_SLOW = ("Countception",)
"""Networks with kernels of 20 x 20 pixels."""
_QUICK_MODES = ("float32", "float32, channels last", "bf16", "fp16 with a gradient scaler")


def check(setting: Setting) -> Iterator[Row]:
    """Rows of all networks and ways to compute."""
    tried = {case.name for case in CASES.values()}
    yield holds("networks", "every network is tried", tried == set(MODELS), ", ".join(sorted(tried)), "all")
    modes = {name: mode for name, mode in MODES.items() if not setting.quick or name in _QUICK_MODES}
    with full_float32():
        for name, case in CASES.items():
            if setting.quick and name in _SLOW:
                yield skipped("networks", name, "a step takes a CPU seconds; left out with --quick")
                continue
            expected = take_step(case, MODES["float32"], CPU)
            for label, mode in modes.items():
                yield from _compare(setting, f"{name}: {label}", case, mode, expected)
            if name in _COMPILED[: 1 if setting.quick else None]:
                yield from _compare_compiled(setting, name, case, expected)
    if not setting.is_cuda:
        yield skipped("networks", "float32 rounded to TF32", "only CUDA GPUs have it")
    else:
        case = CASES["Unet"]
        found = take_step(case, MODES["float32"], setting.device)
        error = distance(found.prediction, take_step(case, MODES["float32"], CPU).prediction)
        yield within("networks", "Unet: float32 with TF32 as torch sets it, prediction", error, 0.01)


def take_step(case: Case, mode: Mode, device: torch.device, compiled: bool = False) -> Step:
    """A training step of a new network; the same seed gives the same network, image and target."""
    torch.manual_seed(0)
    model = build_model(case.name, case.arguments)
    example = example_inputs(model, (2, *case.shape))
    target = _target(model, example)
    layout = torch.contiguous_format
    if mode.channels_last:
        layout = torch.channels_last if len(case.shape) == 3 else torch.channels_last_3d
    processes = Processes(ALONE, device, mode.precision)
    model = processes.prepared(model, layout)
    before = _weights(model)
    if compiled and not compile_network(model, device):
        raise RuntimeError("torch.compile does not work here; the warning above says why")
    optimization = Optimization(processes.fabric, model, _parameters(), 1)
    image = example.image.to(device, memory_format=layout)
    condition = None if example.condition is None else example.condition.to(device)
    loss_of = DeepSupervisionLoss(DiceLoss())
    optimization.network.train()
    for _ in range(_TRIES):
        with optimization.around(0):
            own = optimization.network(*model.inputs(Inputs(image, condition)))
            optimization.learn(loss_of(own, target.to(device)), 0)
        gradient = before - _weights(model)
        if gradient.abs().max() != 0:  # which is true of what is not a number
            break
    return Step(full_resolution(own).detach().float().cpu(), gradient)


def _compare(setting: Setting, what: str, case: Case, mode: Mode, expected: Step) -> Iterator[Row]:
    model_class = MODELS[case.name]
    if setting.is_cpu and mode == MODES["float32"]:
        yield skipped("networks", what, "the CPU is what the others are compared with")
    elif setting.is_cpu and mode.precision == "16":
        yield skipped("networks", what, "CPUs have no arithmetic of half precision")
    elif mode.channels_last and not model_class.channels_last:
        yield skipped("networks", what, "this network keeps the contiguous layout")
    else:
        prediction, gradient = _distances(what, take_step(case, mode, setting.device), expected, mode)
        yield prediction
        yield gradient if case.stable else skipped("networks", gradient.what, "it amplifies rounding")


def _compare_compiled(setting: Setting, name: str, case: Case, expected: Step) -> Iterator[Row]:
    mode = MODES["float32"]
    generator = not (setting.is_cpu and setting.quick)
    what = f"{name}: compiled" if generator else f"{name}: traced for compilation, no code is generated"
    with _tracing_only(not generator):
        found = take_step(case, mode, setting.device, compiled=True)
    yield from _distances(what, found, expected, mode)


def _distances(what: str, found: Step, expected: Step, mode: Mode) -> Iterator[Row]:
    yield within(
        "networks", f"{what}, prediction", distance(found.prediction, expected.prediction), mode.prediction
    )
    yield within("networks", f"{what}, gradient", distance(found.gradient, expected.gradient), mode.gradient)


@contextmanager
def _tracing_only(wanted: bool) -> Iterator[None]:
    """Context in which ``torch.compile`` takes graphs apart and runs them as they are."""
    compile_as = torch.compile
    if wanted:
        torch.compile = partial(_compile_traced, compile_as)
    try:
        yield
    finally:
        torch.compile = compile_as


def _compile_traced(compile_as: Any, target: Any, **_: Any) -> Any:
    return compile_as(target, backend="aot_eager")


def _target(model: Network, example: Inputs) -> Tensor:
    """A random mask of the shape of the prediction."""
    with torch.no_grad():  # of a copy: a forward pass changes the statistics of batch normalization
        prediction = full_resolution(copy.deepcopy(model).train()(*model.inputs(example)))
    return (torch.rand(prediction.shape, generator=torch.Generator().manual_seed(1)) > 0.6).float()


def _weights(model: nn.Module) -> Tensor:
    """All weights, one after the other."""
    return torch.cat([p.detach().double().cpu().flatten() for p in model.parameters() if p.requires_grad])


def _parameters() -> TrainingParameters:
    return TrainingParameters.model_validate(
        {
            "training_time": {"num_epochs": 1},
            "scheduler": {
                "initial_lr": _RATE,
                "lr_scheduler": {"name": "CosineAnnealingWarmRestarts", "T_0": 99},
            },
            "optimizer": {"name": "SGD", "momentum": 0.0, "nesterov": False, "weight_decay": 0.0},
        }
    )
