"""The network behind the engine: a PyTorch module or an ONNX session."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn.modules.conv import _ConvNd
from torch.nn.modules.dropout import _DropoutNd

from ivadomed.errors import ModelError
from ivadomed.loader.samples import Batch
from ivadomed.models.base import Network, example_inputs
from ivadomed.models.checkpoint import load_model
from ivadomed.models.files import open_onnx
from ivadomed.models.for_prediction import for_prediction
from ivadomed.models.hemis import PRESENT
from ivadomed.runtime.device import predicts_in_half
from ivadomed.runtime.failures import out_of_memory
from ivadomed.runtime.memory import available_cores
from ivadomed.runtime.memory_format import channels_last, predicts_channels_last

log = logging.getLogger(__name__)

_LEAST_IN_HALF = 2.0**-4
"""Smallest maximum of a channel for fp16. Biases of about 1 are added to what the first convolution makes of it."""

_MOST_IN_HALF = 2.0**14
"""Largest maximum of a channel, which leaves room for the sums of the first convolution."""


class TorchForward:
    """A PyTorch module in evaluation mode, in the memory format and precision that are fastest here.

    fp16 holds values from 6e-5 to 65504. A network whose images or predictions leave this range, or that does not
    support half precision, continues in float32.

    Args:
        model: Network with ``inputs(batch)``.
        device: Device of the network.
        precision: See ``predicts_in_half``.
    """

    def __init__(self, model: Network, device: torch.device, precision: str = "auto") -> None:
        self.model, self.device = for_prediction(model.to(device).eval()), device
        self.precision = precision
        self._format = torch.contiguous_format
        if self.is_2d is not None and model.channels_last and predicts_channels_last(device):
            self._format = channels_last(2 if self.is_2d else 3)
            self.model.to(memory_format=self._format)  # type: ignore[call-overload]

    @property
    def in_half(self) -> bool:
        """True if the next batch is predicted in half precision."""
        return predicts_in_half(self.device, self.precision)

    @property
    def in_channel(self) -> int | None:
        """Channels of the image; None for a network without convolutions."""
        wanted, conv = self.model.condition_input(), self._first_convolution
        if wanted is not None and wanted[0] == PRESENT:
            return wanted[1]
        return None if conv is None else conv.in_channels

    @property
    def is_2d(self) -> bool | None:
        """True if the images are [B, C, H, W]; None for a network without convolutions."""
        conv = self._first_convolution
        return None if conv is None else len(conv.kernel_size) == 2

    @property
    def n_filters(self) -> int | None:
        """Feature maps of the first convolution."""
        conv = self._first_convolution
        return None if conv is None else conv.out_channels

    def count_classes(self) -> int | None:
        """Channels of the prediction, of a small image."""
        if self.in_channel is None:
            return None
        size = self.model.example_size(2 if self.is_2d else 3)
        inputs = example_inputs(self.model, (1, self.in_channel, *size))
        return int(self(Batch(inputs.image, None, inputs.condition, ())).shape[1])

    @property
    def _first_convolution(self) -> _ConvNd | None:
        return next((module for module in self.model.modules() if isinstance(module, _ConvNd)), None)

    @torch.inference_mode()
    def __call__(self, batch: Batch) -> torch.Tensor:
        """Predictions [B, K, ...] float32, on the device of the network."""
        batch = batch.to(self.device, memory_format=self._format)
        inputs = self.model.inputs(batch)
        if self.in_half:
            prediction = self._predicted_in_half(inputs)
            if prediction is not None and _half_suffices(batch.image, prediction):
                return prediction.contiguous()
            self.precision = "32"
            log.warning(
                "An image, the network or its prediction does not fit into fp16; predicting in float32."
            )
        return self.model(*inputs).float().contiguous()

    def _predicted_in_half(self, inputs: tuple[torch.Tensor, ...]) -> torch.Tensor | None:
        """Prediction in half precision; None if the network, which may be custom, does not support it."""
        try:
            with torch.autocast(self.device.type, torch.float16):
                prediction: torch.Tensor = self.model(*inputs)
                return prediction.float()
        except (RuntimeError, TypeError, ValueError) as error:
            if out_of_memory(error):
                raise
            log.debug("fp16: %s", error)
            return None


class DropoutForward(TorchForward):
    """A PyTorch module whose dropout stays on: every call samples another network (Gal and Ghahramani, 2016).

    Args:
        model: Network with ``inputs(batch)``.
        device: Device of the network.
        precision: See ``predicts_in_half``.
        seed: Seed of the first call; each further one has the next.
    """

    def __init__(self, model: Network, device: torch.device, precision: str = "auto", seed: int = 0) -> None:
        super().__init__(model, device, precision)
        self.seed = seed
        layers = [module for module in self.model.modules() if isinstance(module, _DropoutNd)]
        for layer in layers:
            layer.train()
        if not any(layer.p > 0 for layer in layers):
            log.warning("uncertainty.epistemic: the network has no dropout, so its samples will not differ.")

    def __call__(self, batch: Batch) -> torch.Tensor:
        """Predictions [B, K, ...] float32, on the device of the network."""
        devices = [self.device] if self.device.type == "cuda" else []
        with torch.random.fork_rng(devices):
            torch.manual_seed(self.seed)
            self.seed += 1
            return super().__call__(batch)


class OnnxForward:
    """An ONNX file in onnxruntime, loaded once.

    Args:
        path: The file.
        device: CPU or CUDA.
        share_arena: Take the memory of feature maps from one pool for all such networks of this process.
    """

    def __init__(self, path: Path, device: torch.device, share_arena: bool = False) -> None:
        import onnxruntime  # an alternative to the PyTorch file, and slow to import

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = _thread_limit()
        options.log_severity_level = 3
        if share_arena:
            _register_arena()
            options.add_session_config_entry("session.use_env_allocators", "1")
        providers = ["CPUExecutionProvider"]
        if device.type == "cuda" and "CUDAExecutionProvider" in onnxruntime.get_available_providers():
            providers.insert(0, "CUDAExecutionProvider")
        self.session = open_onnx(path, options, providers)
        self.device = torch.device("cpu")  # where onnxruntime takes and leaves arrays
        self.precision = "32"
        # Files of older versions name the image as they like; a condition is always a second input.
        self.names = [entry.name for entry in self.session.get_inputs()]
        self.path = path

    @property
    def n_filters(self) -> int | None:
        """Feature maps of the first convolution; None, as onnxruntime does not tell."""
        return None

    def __call__(self, batch: Batch) -> torch.Tensor:
        """Predictions [B, K, ...] float32, on the CPU.

        Raises:
            ModelError: The network needs metadata that the batch does not have.
        """
        values = [batch.image, *([self._condition(batch)] if len(self.names) > 1 else [])]
        feed = {name: value.float().cpu().numpy() for name, value in zip(self.names, values, strict=True)}
        return torch.from_numpy(np.asarray(self.session.run(None, feed)[0]))

    @property
    def in_channel(self) -> int | None:
        """Channels of the image; None where the file leaves them open."""
        shape = self._shape
        return shape[1] if len(shape) > 1 and isinstance(shape[1], int) else None

    @property
    def is_2d(self) -> bool | None:
        """True if the images are [B, C, H, W]; None where the file does not say."""
        return {4: True, 5: False}.get(len(self._shape))

    def count_classes(self) -> int | None:
        """Channels of the prediction, of a small image where the file does not say."""
        shape = self.session.get_outputs()[0].shape
        if shape and len(shape) > 1 and isinstance(shape[1], int):
            return shape[1]
        sizes = [
            [n if isinstance(n, int) else 32 for n in entry.shape[2:]] for entry in self.session.get_inputs()
        ]
        feed = {
            entry.name: np.ones(
                (1, entry.shape[1] if isinstance(entry.shape[1], int) else 1, *size), np.float32
            )
            for entry, size in zip(self.session.get_inputs(), sizes, strict=True)
        }
        return int(np.asarray(self.session.run(None, feed)[0]).shape[1])

    @property
    def _shape(self) -> list[Any]:
        return list(self.session.get_inputs()[0].shape or ())

    def _condition(self, batch: Batch) -> torch.Tensor:
        if batch.condition is not None:
            return batch.condition
        if self.names[1] == PRESENT:  # as HeMISUnet takes it: all contrasts are there
            return torch.ones(batch.image.shape[:2])
        raise ModelError(
            f"{self.path}: the model needs {self.names[1]} in addition to the image, and none is given"
        )


Loaded = TorchForward | OnnxForward
"""A network of either kind."""


@cache
def _register_arena() -> None:
    """Make the pool that ``OnnxForward`` can share; else every network keeps one of the size of its feature maps."""
    import onnxruntime

    kind, memory = onnxruntime.OrtAllocatorType.ORT_ARENA_ALLOCATOR, onnxruntime.OrtMemType.DEFAULT
    with suppress(Exception):  # the program that embeds ivadomed has made one, which then is shared
        onnxruntime.create_and_register_allocator(onnxruntime.OrtMemoryInfo("Cpu", kind, 0, memory), None)


def _thread_limit() -> int:
    """Cores this process may use: ``OMP_NUM_THREADS``, else its CPU affinity."""
    wanted = os.environ.get("OMP_NUM_THREADS", "")
    if wanted.isdigit() and int(wanted) > 0:
        return int(wanted)
    return available_cores()


def _half_suffices(image: torch.Tensor, prediction: torch.Tensor) -> bool:
    """True if fp16 represents the samples of a batch, and nothing overflowed on the way to their predictions."""
    largest = image.abs().flatten(2).amax(2)
    fits = (largest == 0) | ((largest >= _LEAST_IN_HALF) & (largest <= _MOST_IN_HALF))
    return bool(fits.all()) and _is_finite(prediction)


def _is_finite(values: torch.Tensor) -> bool:
    # The sum is much faster; it may overflow where no value is infinite.
    return bool(values.sum().isfinite()) or bool(values.isfinite().all())


def refuse_not_finite(predictions: torch.Tensor, names: Sequence[str], source: str) -> None:
    """Refuse predictions that are not numbers: thresholded they would look like empty masks.

    Args:
        predictions: [B, K, ...] of a batch.
        names: Image of each of its samples.
        source: File of the network.

    Raises:
        ModelError: Names the first such image.
    """
    if _is_finite(predictions):
        return
    bad = next(k for k, one in enumerate(predictions) if not _is_finite(one))
    value = predictions[bad][~predictions[bad].isfinite()][0].item()
    raise ModelError(
        f"{names[bad]}: {source} predicts {value:g}, which is not a probability: its training diverged or it overflows "
        "in half precision; train it again with a lower training_parameters.scheduler.initial_lr or with precision 32, "
        "or use another model"
    )


def open_model(
    path: Path, device: torch.device, precision: str = "auto", share_arena: bool = False
) -> Loaded:
    """Load a packaged model file (.pt or .onnx).

    Args:
        path: The file.
        device: Device of the network.
        precision: See ``predicts_in_half``.
        share_arena: See ``OnnxForward``.

    Raises:
        ModelError: The file is damaged or of another kind.
    """
    if path.suffix == ".onnx":
        return OnnxForward(path, device, share_arena)
    return TorchForward(load_model(path, "cpu"), device, precision)


def onnx_inference(model_path: str | os.PathLike[str], inputs: torch.Tensor) -> torch.Tensor:
    """Run an ONNX model once; ``Predictor`` keeps one loaded.

    Args:
        model_path: ONNX file.
        inputs: [B, C, H, W] or [B, C, H, W, D].

    Returns:
        The prediction, [B, K, ...] float32.

    Raises:
        ModelError: The file is damaged, or the model needs metadata next to the image.
    """
    return OnnxForward(Path(model_path), torch.device("cpu"))(Batch(inputs, None, None, ()))
