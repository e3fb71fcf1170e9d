"""Export to ONNX with dynamic batch and image size, checked against PyTorch.

The file has the inputs of `ivadomed.models.base.ModelBatch`, float32: ``input``, the image, and for conditioned
networks the condition vector under its own name, ``metadata`` (FiLM) or ``present_contrasts`` (HeMIS). The output is
named ``output`` for all architectures.
"""

from __future__ import annotations

import copy
import logging
import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from ivadomed.errors import IvadomedError, ModelError
from ivadomed.images.files import atomic_path
from ivadomed.models.base import Inputs, Network, example_inputs
from ivadomed.models.files import open_onnx
from ivadomed.models.unet3d import UpscalingConv3d

log = logging.getLogger(__name__)

OPSET = 18
TOLERANCE = 1e-4
"""Largest difference from PyTorch, relative to the largest output or 1."""
IMAGE, PREDICTION = "input", "output"
_AXES = ("height", "width", "depth")


class _Export(nn.Module):
    """A network as a function of the content of a batch, independent of its own arguments."""

    def __init__(self, model: Network) -> None:
        super().__init__()
        self.model = model

    def forward(self, image: Tensor, condition: Tensor | None = None) -> Tensor:
        return self.model(*self.model.inputs(Inputs(image, condition)))


class _InstanceNorm(nn.Module):
    """Instance normalization with means computed axis by axis.

    onnxruntime's own sums a whole image in float32, with an error of 5e-4 on 512x256x32 voxels that networks amplify;
    the error of this one is 1e-6.
    """

    def __init__(self, norm: nn.modules.instancenorm._InstanceNorm) -> None:
        super().__init__()
        self.weight, self.bias = norm.weight, norm.bias
        self.affine, self.eps = norm.affine, norm.eps

    def forward(self, x: Tensor) -> Tensor:
        deviation = x - _spatial_mean(x)
        x = deviation * torch.rsqrt(_spatial_mean(deviation * deviation) + self.eps)
        if not self.affine:
            return x
        axes = (None, ..., *(None,) * (x.ndim - 2))
        return x * self.weight[axes] + self.bias[axes]


def _spatial_mean(x: Tensor) -> Tensor:
    for axis in reversed(range(2, x.ndim)):
        x = x.mean(axis, keepdim=True)
    return x


def _replace_layers(module: nn.Module) -> None:
    for name, child in module.named_children():
        if isinstance(child, nn.modules.instancenorm._InstanceNorm) and not child.track_running_stats:
            setattr(module, name, _InstanceNorm(child))
        elif isinstance(child, UpscalingConv3d):
            setattr(module, name, child.as_transposed())
        else:
            _replace_layers(child)


def export_onnx(
    model: Network,
    path: str | os.PathLike[str],
    in_channel: int,
    is_2d: bool,
    size: int | Sequence[int] | None = None,
) -> None:
    """Write a network as ONNX (opset 18) with dynamic batch and spatial axes.

    Args:
        model: Network.
        path: File to write, atomically.
        in_channel: Channels of the image.
        is_2d: The image is [B, C, H, W], else [B, C, H, W, D].
        size: Voxels per axis of the example image; None for the network's ``example_size``.

    Raises:
        ModelError: The network cannot be expressed in ONNX, or the outputs of onnxruntime and PyTorch differ,
            checked on another batch and image size too.
    """
    model = copy.deepcopy(model).to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    reference = _Export(model.cpu().float()).eval()
    exported = copy.deepcopy(reference)
    _replace_layers(exported)
    n_axes = 2 if is_2d else 3
    if size is None:
        size = model.example_size(n_axes)
    shape = (size,) * n_axes if isinstance(size, int) else tuple(size)
    other = tuple(n + 16 for n in shape)
    examples = [_named(model, (1, in_channel, *shape)), _named(model, (2, in_channel, *other))]
    with atomic_path(path) as temporary:
        try:
            with torch.no_grad():
                expected = [reference(*example.values()) for example in examples]
            _write(exported, temporary, examples[0], maps=expected[0].ndim == len(shape) + 2)
        except (IvadomedError, OSError):
            raise
        except Exception as error:  # the exporter has no error type, and user code may fail in it
            reason = str(error).strip().split("\n")[0]
            raise ModelError(f"{path}: the network cannot be exported to ONNX ({reason})") from error
        for example, output in zip(examples, expected, strict=True):
            _check(temporary, example, output.numpy(), Path(path))


def write_onnx(folder: str | os.PathLike[str], model: Network, in_channel: int, is_2d: bool) -> bool:
    """Write ``NAME/NAME.onnx`` of a packaged model in the folder ``NAME``.

    Returns:
        False if the ONNX model does not agree with PyTorch; it is then left out, with a warning.
    """
    path = Path(folder) / f"{Path(folder).name}.onnx"
    path.unlink(missing_ok=True)  # a file of an earlier training must not remain if the export fails
    try:
        export_onnx(model, path, in_channel, is_2d)
    except ModelError as error:
        log.warning("No ONNX model is packaged: %s", error)
        return False
    return True


def save_onnx_model(model: Network, inputs: Tensor, model_path: str | os.PathLike[str]) -> None:
    """Write a network as ONNX, see ``export_onnx``.

    Args:
        model: Network.
        inputs: An example image, [B, C, H, W] or [B, C, H, W, D].
        model_path: File to write.

    Raises:
        ModelError: As ``export_onnx``.
    """
    export_onnx(model, model_path, inputs.shape[1], inputs.ndim == 4, tuple(inputs.shape[2:]))


def _named(model: Network, shape: tuple[int, ...]) -> dict[str, Tensor]:
    """Example inputs, by input name in the file."""
    inputs, condition = example_inputs(model, shape), model.condition_input()
    if condition is None or inputs.condition is None:
        return {IMAGE: inputs.image}
    return {IMAGE: inputs.image, condition[0]: inputs.condition}


def _write(exported: nn.Module, path: Path, example: dict[str, Tensor], maps: bool) -> None:
    """Export; `maps` is True if the output has the spatial axes of the image."""
    batch = {0: "batch"}
    spatial = dict(enumerate(_AXES[: example[IMAGE].ndim - 2], start=2))
    with warnings.catch_warnings(), torch.no_grad(), _without_output():
        # The tracer warns of Python values it freezes; the check on another size catches real problems. The newer
        # exporter takes ten times as long and fixes the sizes of networks that pad depending on their input.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            exported,
            tuple(example.values()),
            str(path),
            input_names=list(example),
            output_names=[PREDICTION],
            dynamic_axes={
                **dict.fromkeys(example, batch),
                IMAGE: batch | spatial,
                PREDICTION: batch | (spatial if maps else {}),
            },
            opset_version=OPSET,
            dynamo=False,
        )


@contextmanager
def _without_output() -> Iterator[None]:
    """Silence the file descriptor: on failure, the exporter prints its whole graph from C++."""
    sys.stdout.flush()
    saved, nowhere = os.dup(1), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 1)
        yield
    finally:
        os.dup2(saved, 1)
        os.close(saved)
        os.close(nowhere)


def _check(file: Path, example: dict[str, Tensor], expected: np.ndarray, path: Path) -> None:
    [actual] = open_onnx(file).run(None, {name: value.numpy() for name, value in example.items()})
    allowed = TOLERANCE * max(1.0, float(np.abs(expected).max()))
    difference = float(np.abs(actual - expected).max()) if actual.shape == expected.shape else np.inf
    if not difference <= allowed:  # NaN counts as a difference too
        raise ModelError(
            f"{path}: the ONNX model differs from the PyTorch model by {difference:.2g} on an image of shape "
            f"{tuple(example[IMAGE].shape)}, at most {allowed:.2g} was expected; use the .pt file"
        )
