"""Export to ONNX with free batch and image size, checked against PyTorch."""

from __future__ import annotations

import copy
import os
import warnings
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch

from ivadomed.errors import ModelError
from ivadomed.files import atomic_path
from ivadomed.models.base import Network

OPSET = 18
# onnxruntime sums a normalization over a whole 3D image in float32: some 1e-4 on the largest.
TOLERANCE = 1e-3


def export_onnx(
    model: Network, path: str | os.PathLike[str], in_channel: int, is_2d: bool, size: int = 32
) -> None:
    """Write a network as ONNX; batch and spatial axes stay free.

    Args:
        model: Network whose only input is the image.
        path: File to write, atomically.
        in_channel: Channels of the image.
        is_2d: Whether the image is [B, C, H, W] or [B, C, H, W, D].
        size: Voxels per side of the example image; any that the network accepts.

    Raises:
        ModelError: onnxruntime's output differs from PyTorch's, also on another batch and image size.
    """
    axes = ("height", "width") if is_2d else ("height", "width", "depth")
    generator = torch.Generator().manual_seed(0)
    example = torch.rand(1, in_channel, *[size] * len(axes), generator=generator)
    dynamic = {0: "batch", **{i + 2: axis for i, axis in enumerate(axes)}}
    model = copy.deepcopy(model).to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    model = model.cpu().float().eval()
    with atomic_path(path) as temporary:
        with warnings.catch_warnings(), torch.no_grad():
            # The tracer warns of Python values it freezes; the check below, on another size, is what counts. The
            # newer exporter takes ten times as long and fixes the sizes of networks that pad by their input.
            warnings.simplefilter("ignore")
            torch.onnx.export(
                model,
                model.inputs(SimpleNamespace(image=example, condition=None)),
                str(temporary),
                input_names=["input"],
                output_names=["output"],
                dynamic_axes={"input": dynamic, "output": dynamic},
                opset_version=OPSET,
                dynamo=False,
            )
        other = torch.rand(
            2, in_channel, *[size + 16 * (i + 1) for i in range(len(axes))], generator=generator
        )
        for image in (example, other):
            _check(model, temporary, image, Path(path))


def _check(model: Network, file: Path, image: torch.Tensor, path: Path) -> None:
    import onnxruntime  # slow to import, and needed only when a model is packaged

    with torch.no_grad():
        expected = model(*model.inputs(SimpleNamespace(image=image, condition=None))).numpy()
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    if [entry.name for entry in session.get_inputs()] != ["input"]:
        raise ModelError(f"{path}: the network takes more than an image; use the .pt file")
    [actual] = session.run(None, {"input": image.numpy()})
    difference = float(np.abs(actual - expected).max()) if actual.shape == expected.shape else np.inf
    if not difference <= TOLERANCE:  # so that not a number is a difference too
        raise ModelError(
            f"{path}: the ONNX model differs from the PyTorch model by {difference:.2g} on an image of shape "
            f"{tuple(image.shape)}, at most {TOLERANCE} was expected; use the .pt file"
        )
