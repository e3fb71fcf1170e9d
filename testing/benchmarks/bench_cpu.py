"""Memory formats and samples per call on this CPU: every choice beside that of the package.

See ``runtime/memory_format.py`` and ``runtime.device.batch_voxels``.

Seconds for the same work, the least of some rounds in turn; each as a ratio to the best, and to a matrix product of as
many operations. Use it on a machine that does nothing else.

    python testing/benchmarks/bench_cpu.py                      # networks: predictions and training steps
    python testing/benchmarks/bench_cpu.py --only Modified      # rows whose name has this in it
    python testing/benchmarks/bench_cpu.py --whole              # segment_volume, as a ratio to one fixed choice
"""

from __future__ import annotations

import argparse
import copy
import math
import tempfile
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from bench_segment import loader, package, scan
from torch.utils.flop_counter import FlopCounterMode

from ivadomed.config.schema.run import Architecture
from ivadomed.config.schema.training import TrainingParameters
from ivadomed.images.io import write_picture
from ivadomed.inference import backends, packaged, segment_volume
from ivadomed.inference.backends import OnnxForward, TorchForward
from ivadomed.loader.samples import Batch
from ivadomed.models import build_model
from ivadomed.models.for_prediction import for_prediction
from ivadomed.models.onnx import export_onnx
from ivadomed.runtime.allocator import reused_memory
from ivadomed.runtime.device import batch_voxels
from ivadomed.runtime.memory_format import channels_last
from ivadomed.training.pace import seconds_per_step

CPU = torch.device("cpu")
BEFORE, RULE = "before", "rule"


@dataclass(frozen=True)
class Work:
    """A network and what it computes.

    Args:
        network: Its name.
        n_filters: Its feature maps.
        size: Voxels of a sample along each axis.
        count: Samples to predict, or of a batch to train with.
        arguments: Further arguments of the network.
    """

    network: str
    n_filters: int
    size: tuple[int, ...]
    count: int
    arguments: Mapping[str, Any] = field(default_factory=dict)

    @property
    def architecture(self) -> Architecture:
        """The network, with the arguments that a configuration would give it."""
        given = {"in_channel": 1, "out_channel": 1, "is_2d": len(self.size) == 2, "n_filters": self.n_filters}
        return Architecture(self.network, {**given, **self.arguments})

    def __str__(self) -> str:
        more = "".join(f", {key} {value}" for key, value in self.arguments.items())
        size = "x".join(map(str, self.size))
        return f"{self.network}, {self.n_filters} filters{more}: {self.count} x {size}"


# As `--init` and `--auto` write it for a CPU.
SMALL_2D = {"depth": 4, "n_blocks": (1, 2, 2, 2, 2)}
SMALL_3D = {"depth": 3, "n_blocks": (1, 2, 2, 2)}

PREDICTIONS = (
    Work("Unet", 32, (128, 128), 16),
    Work("Unet", 4, (192, 192), 16, {"depth": 2}),
    Work("Unet", 8, (512, 512), 4),
    Work("ResidualEncoderUnet", 12, (256, 256), 4, SMALL_2D),
    Work("Modified3DUNet", 8, (96, 96, 32), 4),
    Work("Modified3DUNet", 4, (96, 96, 96), 2),
    Work("ResidualEncoderUnet", 12, (32, 56, 40), 8, SMALL_3D),
)
STEPS = (
    Work("Unet", 32, (128, 128), 8),
    Work("Unet", 4, (192, 192), 8, {"depth": 2}),
    Work("ResidualEncoderUnet", 12, (256, 256), 2, SMALL_2D),
    Work("ResidualEncoderUnet", 32, (256, 256), 2, SMALL_2D),
    Work("Modified3DUNet", 16, (96, 96, 32), 2),
    Work("ResidualEncoderUnet", 12, (32, 56, 40), 2, SMALL_3D),
)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default="", help="rows whose name has this in it")
    parser.add_argument("--whole", action="store_true", help="segment a micrograph and a volume")
    options = parser.parse_args()
    with reused_memory():
        tables(options)


def tables(options: argparse.Namespace) -> None:
    """Print what was asked for."""
    print(
        f"{torch.backends.cpu.get_cpu_capability()}, {torch.get_num_threads()} threads, torch {torch.__version__}"
    )
    if options.whole:
        whole(options.only)
        return
    pace = matrix_product()
    print(f"matrix product: {pace / 1e9:.0f} GFLOP/s")
    for work in PREDICTIONS:
        if options.only in str(work):
            table(f"predict {work}", predictions(work, options.rounds), operations(work) / pace)
    for work in STEPS:
        if options.only in str(work):
            table(
                f"train   {work}", steps(work), 3 * operations(work) / pace
            )  # gradients: twice the forward pass


def table(title: str, seconds: Mapping[str, float], product: float | None = None) -> None:
    """Print the ways of one piece of work, the best first; ``product``: seconds of a matrix product as large."""
    best = min(seconds.values())
    print(f"\n{title}")
    for name, value in sorted(seconds.items(), key=lambda entry: entry[1]):
        share = "" if product is None else f"  {value / product:6.2f} times a matrix product"
        print(f"  {name:<28}{value:9.3f} s  {value / best:5.2f} times the best{share}", flush=True)


def matrix_product(size: int = 2048) -> float:
    """Floating-point operations per second of a product of square matrices."""
    one = torch.rand(size, size)
    return 2 * size**3 / least_in_turn({"product": lambda: one @ one}, 5)["product"]


def operations(work: Work) -> float:
    """Floating-point operations of predicting all samples of a piece of work."""
    model = build_model(work.network, work.architecture.arguments).eval()
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(torch.rand(1, 1, *work.size))
    return float(work.count * counter.get_total_flops())


def predictions(work: Work, rounds: int) -> dict[str, float]:
    """Seconds of each way to predict the samples."""
    torch.manual_seed(0)
    model = build_model(work.network, work.architecture.arguments).eval()
    n_axes, voxels = len(work.size), math.prod(work.size)
    before, most = (max(1, batch_voxels(CPU, n) // voxels) for n in (None, work.n_filters))
    batch = Batch(torch.rand(work.count, 1, *work.size), None, None, ())
    with tempfile.TemporaryDirectory() as folder:
        export_onnx(model, Path(folder) / "model.onnx", 1, n_axes == 2)
        onnx = OnnxForward(Path(folder) / "model.onnx", CPU)
    counts = [2**k for k in range(work.count.bit_length())]

    def way(predict: Callable[[Batch], np.ndarray], count: int) -> Callable[[], np.ndarray]:
        return lambda: in_parts(predict, batch, count)

    ways = {BEFORE: way(Plain(model), before)}
    for name, memory_format in (
        ("contiguous", torch.contiguous_format),
        ("channels last", channels_last(n_axes)),
    ):
        folded = for_prediction(copy.deepcopy(model)).to(memory_format=memory_format)
        folded = Plain(folded, memory_format)
        ways |= {f"{name}, {count} at a time": way(folded, count) for count in counts}
        frozen = Plain(copy.deepcopy(model).to(memory_format=memory_format), memory_format).frozen(
            batch.image[:1]
        )
        if frozen is not None:
            ways |= {f"frozen, {name}, {count} at a time": way(frozen, count) for count in counts[::2]}
    ways |= {f"onnxruntime, {count} at a time": way(onnx, count) for count in counts}
    ways |= {
        RULE: way(TorchForward(copy.deepcopy(model), CPU), most),
        f"{RULE}, onnxruntime": way(onnx, before),
    }
    return least_in_turn(ways, rounds)


class Plain:
    """A network in a memory format, without any rule.

    Args:
        model: Network in evaluation mode, in that format.
        memory_format: Format of images.
    """

    def __init__(self, model: Any, memory_format: torch.memory_format = torch.contiguous_format) -> None:
        self.model, self.memory_format = model, memory_format

    def frozen(self, image: torch.Tensor) -> Plain:
        """A trace of the network in which weights are constants, laid out for the convolutions once."""
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter(
                "ignore"
            )  # sizes in a trace are those of other images too, see ``export_onnx``
            trace = torch.jit.trace(self.model, image.to(memory_format=self.memory_format))
            return Plain(torch.jit.optimize_for_inference(torch.jit.freeze(trace)), self.memory_format)

    @torch.inference_mode()
    def __call__(self, batch: Batch) -> np.ndarray:
        """Predictions [B, K, ...]."""
        return self.model(batch.image.to(memory_format=self.memory_format)).numpy()


def steps(work: Work) -> dict[str, float]:
    """Seconds of a training step in each format."""
    named = {"contiguous": False, "channels last": True, RULE: "auto"}
    return {
        name: seconds_per_step(
            work.architecture,
            TrainingParameters(batch_size=work.count, channels_last=wanted, precision="32"),
            work.size,
        )
        for name, wanted in named.items()
    }


def unchanged(model: torch.nn.Module) -> torch.nn.Module:
    """Instead of ``for_prediction``."""
    return model


def without_width(device: torch.device, n_filters: int | None) -> int:
    """Instead of ``batch_voxels``."""
    return batch_voxels(device)


def whole(only: str) -> None:
    """Print the time of `segment_volume` over that without any rule, for networks in .pt files."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        network = {"name": "Unet", "depth": 3, "n_filters": 8, "dropout_rate": 0.0}
        windows = {"length_2D": [512, 512], "stride_2D": [480, 480]}
        patches = {"applied": True, "length_3D": [96, 96, 96], "stride_3D": [48, 48, 48], "n_filters": 4}
        pixels = np.random.default_rng(0).integers(0, 256, (3000, 4000), np.uint8)
        images = {
            "micrograph of 4000x3000, U-Net of 8 filters": (
                package(
                    folder / "micro",
                    loader_parameters=loader(1, extensions=[".png"]),
                    default_model={**network, **windows},
                ),
                write_picture(folder / "micrograph.png", pixels) or folder / "micrograph.png",
                {"pixel_size": [1.0, 1.0]},
            ),
            "volume of 192x192x144, Modified3DUNet of 4 filters": (
                package(folder / "patches", loader_parameters=loader(1), Modified3DUNet=patches),
                scan(folder / "scan.nii", (192, 192, 144)),
                None,
            ),
        }
        for name, (model, image, options) in images.items():
            if only not in name:
                continue

            def segment(model: Path = model, image: Path = image, options: Any = options) -> None:
                segment_volume(model, image, options=options)

            def before(segment: Callable[[], None] = segment) -> None:
                with (
                    mock.patch.object(backends, "predicts_channels_last", return_value=False),
                    mock.patch.object(backends, "for_prediction", side_effect=unchanged),
                    mock.patch.object(packaged, "batch_voxels", side_effect=without_width),
                ):
                    segment()

            table(name, least_in_turn({BEFORE: before, RULE: segment}, 2))


def in_parts(predict: Callable[[Batch], np.ndarray], batch: Batch, samples: int) -> np.ndarray:
    """Predictions [B, K, ...] of a batch, so many samples at a time."""
    starts = range(0, len(batch.image), samples)
    return np.concatenate([predict(batch.part(slice(start, start + samples))) for start in starts])


def least_in_turn(ways: Mapping[str, Callable[[], Any]], rounds: int) -> dict[str, float]:
    """Least seconds of each way, after one call that does not count; in turn, so that disturbances strike all alike."""
    seconds = dict.fromkeys(ways, math.inf)
    for number in range(rounds + 1):
        for name, way in ways.items():
            time.sleep(0.2)  # threads of onnxruntime keep spinning for a while
            started = time.perf_counter()
            way()
            if number:
                seconds[name] = min(seconds[name], time.perf_counter() - started)
    return seconds


if __name__ == "__main__":
    main()
