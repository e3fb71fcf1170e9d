"""Inputs and outputs of a layer of a network."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from ivadomed.errors import ModelError
from ivadomed.geometry.grid import hwd_to_ras
from ivadomed.images.io import save_nifti


class HookBasedFeatureExtractor(nn.Module):
    """Run a network and return the inputs and outputs of one of its layers.

    Args:
        submodule: The network.
        layername: Dotted name of the layer, as in ``named_modules()``.
        upscale: Resize the feature maps to the size of the network's input.

    Attributes:
        inputs: Tensors that entered the layer in the last call.
        outputs: Tensors that left it.
        inputs_size: Their shapes.
        outputs_size: Their shapes.

    Raises:
        ModelError: The network has no such layer.
    """

    def __init__(self, submodule: nn.Module, layername: str, upscale: bool = False) -> None:
        super().__init__()
        layers = dict(submodule.named_modules())
        if layername not in layers:
            known = ", ".join(name for name in layers if name and "." not in name)
            raise ModelError(
                f"layer {layername!r}: the network has no such layer; it has {known}, and their sublayers"
            )
        self.submodule, self.layername, self.upscale = submodule, layername, upscale
        self.inputs: list[Tensor] = []
        self.outputs: list[Tensor] = []
        self.inputs_size: list[torch.Size] = []
        self.outputs_size: list[torch.Size] = []

    def get_input_array(self, m: nn.Module, i: Any, o: Any) -> None:
        """Hook: store the inputs of the layer."""
        self.inputs = [x.detach().clone() for x in _tensors(i)]
        self.inputs_size = [x.shape for x in self.inputs]

    def get_output_array(self, m: nn.Module, i: Any, o: Any) -> None:
        """Hook: store the outputs of the layer."""
        self.outputs = [x.detach().clone() for x in _tensors(o)]
        self.outputs_size = [x.shape for x in self.outputs]

    def forward(self, x: Any, *others: Any) -> tuple[list[Tensor], list[Tensor]]:
        """Run the network on an image `[B, C, *spatial]` and any other inputs it needs.

        Returns:
            Inputs and outputs of the layer; `[B, channels, *spatial]` if it is convolutional.

        Raises:
            ModelError: The network did not use the layer.
        """
        self.inputs, self.outputs = [], []
        with self._hooked():
            self.submodule(x, *others)
        if not self.outputs:
            raise ModelError(f"layer {self.layername!r}: the network does not use it for this input")
        if self.upscale:
            size = x.shape[2:]
            self.inputs, self.outputs = (
                [_scaled(maps, size) for maps in side] for side in (self.inputs, self.outputs)
            )
        return self.inputs, self.outputs

    @contextmanager
    def _hooked(self) -> Iterator[None]:
        layer = self.submodule.get_submodule(self.layername)
        hooks = [layer.register_forward_hook(h) for h in (self.get_input_array, self.get_output_array)]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()


def save_feature_map(
    batch: Mapping[str, Any],
    layer_name: str,
    path_output: str | os.PathLike[str],
    model: nn.Module,
    test_input: Tensor,
    slice_axis: int,
) -> list[Path]:
    """Write the feature maps of a layer together with the input they were computed from.

    Attention gates return the gated features, then the attention: its map is the last volume of the file.
    The volumes are on the grid seen by the network, after preprocessing, in RAS order with a voxel size of 1; they are
    for inspection, not for measurements in mm.

    Args:
        batch: A batch of the documented data sets; the files in its "input_metadata" name the outputs.
        layer_name: Dotted name of the layer, e.g. "attentionblock2".
        path_output: Files are written to ``path_output/layer_name``.
        model: The network, on the device of the input.
        test_input: [B, C, H, W] or [B, C, H, W, D].
        slice_axis: RAS axis along which slices were extracted (0 sagittal, 1 coronal, 2 axial).

    Returns:
        One 4D NIfTI file per sample: first channel of the input, then all maps, at the size of the input.

    Raises:
        ModelError: The network has no such layer, or does not use it.
    """
    model.eval()
    with torch.no_grad():
        _, outputs = HookBasedFeatureExtractor(model, layer_name, upscale=True)(test_input)
    shown = torch.cat([test_input[:, :1].float(), *(maps.float() for maps in outputs)], dim=1).cpu().numpy()
    written = []
    for number, volumes in enumerate(shown):
        name = Path(batch["input_metadata"][number][0]["input_filenames"][0]).name.split(".")[0]
        path = Path(path_output) / layer_name / f"{name}_{number}.nii.gz"
        hwd = volumes[..., None] if volumes.ndim == 3 else volumes
        data = np.moveaxis(hwd_to_ras(hwd, slice_axis), 0, -1)
        save_nifti(nib.Nifti1Image(np.ascontiguousarray(data), np.eye(4)), path)
        written.append(path)
    return written


def _tensors(values: Any) -> list[Tensor]:
    return [v for v in (values if isinstance(values, Sequence) else [values]) if isinstance(v, Tensor)]


def _scaled(maps: Tensor, size: Sequence[int]) -> Tensor:
    """Resize feature maps `[B, C, *spatial]`; vectors are returned unchanged."""
    if maps.ndim != 2 + len(size) or maps.shape[2:] == torch.Size(size):
        return maps
    mode = "bilinear" if len(size) == 2 else "trilinear"
    return interpolate(maps.float(), tuple(size), mode=mode, align_corners=False)
