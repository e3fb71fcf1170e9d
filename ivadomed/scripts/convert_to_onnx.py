"""Convert a PyTorch model to ONNX, which runs faster and with less memory on CPUs (onnxruntime)."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from ivadomed.errors import ConfigError
from ivadomed.models.checkpoint import load_model
from ivadomed.models.onnx import OPSET, TOLERANCE, export_onnx
from ivadomed.runtime.console import ToolParser, console_script

_EXAMPLE = """\
example:
  ivadomed_convert_to_onnx -m my_model/my_model.pt -d 2
      my_model/my_model.onnx, for images [batch, 1, height, width] of any size
"""


def get_parser() -> argparse.ArgumentParser:
    """Parser of the command line."""
    parser = ToolParser("ivadomed_convert_to_onnx", __doc__, _EXAMPLE)
    add = parser.add_argument
    add("-m", "--model", required=True, metavar="FILE", help="model file (.pt)")
    add(
        "-d",
        "--dimension",
        required=True,
        type=int,
        choices=(2, 3),
        help="2 for a 2D model, 3 for a 3D model",
    )
    add("-n", "--n-channels", type=int, default=1, help="number of image channels (default: %(default)s)")
    add("-g", "--gpu-id", type=int, default=0, help="has no effect: the conversion runs on the CPU")
    return parser


def convert_pytorch_to_onnx(
    model: str | os.PathLike[str], dimension: int, n_channels: int = 1, gpu_id: int = 0
) -> Path:
    """Write the ONNX file of a model next to it and check that its output is the same.

    Args:
        model: Model file (``.pt``), of this version or an older one.
        dimension: 2 or 3.
        n_channels: Number of image channels.
        gpu_id: Has no effect: the conversion runs on the CPU.

    Returns:
        The file, named after the model.

    Raises:
        ConfigError: The dimension is neither 2 nor 3, or the number of channels is below 1.
        ModelError: The model cannot be opened or exported, or expects other dimensions or channels.
    """
    if dimension not in (2, 3):
        raise ConfigError(f"dimension: {dimension!r}; expected 2 or 3")
    if n_channels < 1:
        raise ConfigError(f"n_channels: {n_channels!r}; expected 1 or more")
    path = Path(model).with_suffix(".onnx")
    export_onnx(load_model(model), path, n_channels, dimension == 2)
    return path


def _run(options: argparse.Namespace) -> None:
    path = convert_pytorch_to_onnx(options.model, options.dimension, options.n_channels, options.gpu_id)
    print(f"{path} (opset {OPSET}) agrees with {options.model} to {TOLERANCE}.")


main = console_script(get_parser, _run)

if __name__ == "__main__":
    sys.exit(main())
