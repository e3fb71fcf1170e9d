"""Time of a training step: bfloat16 and channels-last over float32 and contiguous, the layout of ivadomed 2.9.10.

By default the tutorial's U-Net: depth 3, 64 filters, batches of 8 slices of 128x128. A CPU without bfloat16
arithmetic emulates it; ``training_parameters.precision: "auto"`` then stays with float32.

    python testing/benchmarks/bench_step.py
    python testing/benchmarks/bench_step.py --model Modified3DUNet --filters 8 --batch 4 --size 48 64 48
"""

from __future__ import annotations

import argparse
import statistics
import time

import torch
from torch import Tensor, nn

from ivadomed.losses import DeepSupervisionLoss, DiceLoss
from ivadomed.models import build_model
from ivadomed.runtime.allocator import reused_memory
from ivadomed.runtime.device import fabric_precision


def main() -> None:
    """Print seconds per step of the four combinations and their ratios to the first."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="Unet", help="Unet, Modified3DUNet or ResidualEncoderUnet")
    parser.add_argument("--depth", type=int, default=3)
    parser.add_argument("--filters", type=int, default=64)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--size", type=int, nargs="+", default=[128, 128])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--float32-only", action="store_true", help="emulated bfloat16 may take minutes")
    options = parser.parse_args()
    is_2d = len(options.size) == 2
    arguments = {"in_channel": 1, "out_channel": 1, "is_2d": is_2d, "depth": options.depth}
    model = build_model(options.model, {**arguments, "n_filters": options.filters, "dropout_rate": 0.3})
    image = torch.rand(options.batch, 1, *options.size)
    native = fabric_precision("auto", torch.device("cpu")) == "bf16-mixed"
    print(f"{options.model}, {options.batch} x {options.size}, {torch.get_num_threads()} threads, ", end="")
    print("bfloat16 in hardware" if native else "bfloat16 emulated: this CPU has none")
    last = torch.channels_last if is_2d else torch.channels_last_3d
    variants = {
        "float32, contiguous": (torch.float32, torch.contiguous_format),
        "float32, channels last": (torch.float32, last),
        "bfloat16, contiguous": (torch.bfloat16, torch.contiguous_format),
        "bfloat16, channels last": (torch.bfloat16, last),
    }
    if options.float32_only:
        variants = {name: variant for name, variant in variants.items() if variant[0] == torch.float32}
    # In turn, so that what else the machine does strikes all alike.
    times: dict[str, list[float]] = {name: [] for name in variants}
    with reused_memory():
        for _ in range(options.rounds + 1):
            for name, (dtype, layout) in variants.items():
                times[name].append(seconds_per_step(model, image, dtype, layout))
    first = statistics.median(times["float32, contiguous"][1:])
    for name, values in times.items():
        median = statistics.median(values[1:])
        print(f"{name:<24} {median:8.3f} s  ratio {median / first:.2f}")


def seconds_per_step(
    model: nn.Module, image: Tensor, dtype: torch.dtype, layout: torch.memory_format
) -> float:
    """Time of forward and backward pass and an update."""
    model = model.to(memory_format=layout).train()  # type: ignore[call-overload]
    image = image.to(memory_format=layout)
    target = (image > 0.9).float()
    loss, optimizer = DeepSupervisionLoss(DiceLoss()), torch.optim.Adam(model.parameters(), 1e-3)
    started = time.perf_counter()
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=dtype == torch.bfloat16):
        value = loss(model(image), target)
    value.backward()
    optimizer.step()
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
