"""Feature-wise linear modulation: metadata of an image scale and shift its feature maps.

Perez et al., "FiLM: Visual Reasoning with a General Conditioning Layer", AAAI 2018, arXiv:1709.07871;
for segmentation: Lemay et al., "Benefits of Linear Conditioning for Segmentation using Metadata", MIDL 2021.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ivadomed.errors import ModelError

logger = logging.getLogger(__name__)

SharedWeights = list[Tensor]
Context = Tensor | Sequence[Sequence[float]]


class FiLMgenerator(nn.Module):
    """Three linear layers with sigmoids that turn metadata into scales and shifts.

    All generators of a network share the weights (not the biases) of the first two linear layers of the first
    generator, and thus learn one embedding of the metadata.

    Args:
        n_features: Length of the metadata vector.
        n_channels: Feature maps to modulate.
        n_hid: Width of the first hidden layer; the second has a quarter of it.
    """

    def __init__(self, n_features: int, n_channels: int, n_hid: int = 64) -> None:
        super().__init__()
        self.linear1 = nn.Linear(n_features, n_hid)
        self.sig = nn.Sigmoid()
        self.linear2 = nn.Linear(n_hid, n_hid // 4)
        self.linear3 = nn.Linear(n_hid // 4, n_channels * 2)

    def forward(self, x: Tensor, shared_weights: SharedWeights | None = None) -> tuple[Tensor, SharedWeights]:
        """Compute scales and shifts.

        Args:
            x: Metadata ``[B, n_features]``.
            shared_weights: Weights of ``linear1`` and ``linear2`` to use; None uses the generator's own.

        Returns:
            ``[B, 2 * n_channels]`` in (0, 1), scales first, and the weights used.
        """
        weights = [self.linear1.weight, self.linear2.weight] if shared_weights is None else shared_weights
        x = self.sig(F.linear(x, weights[0], self.linear1.bias))
        x = self.sig(F.linear(x, weights[1], self.linear2.bias))
        return self.sig(self.linear3(x)), weights


class FiLMlayer(nn.Module):
    """Modulate feature maps: ``gamma * features + beta``, one pair per channel for all positions.

    Args:
        n_metadata: Length of the metadata vector.
        n_channels: Feature maps to modulate.

    Attributes:
        gammas: Scales of the last call, ``[B, C, 1, 1]`` (3D: one more), None before; not kept in exports.
        betas: Shifts of the last call.
    """

    def __init__(self, n_metadata: int, n_channels: int) -> None:
        super().__init__()
        self.generator = FiLMgenerator(n_metadata, n_channels)
        self.gammas: Tensor | None = None
        self.betas: Tensor | None = None

    def forward(
        self, feature_maps: Tensor, context: Context | None, w_shared: SharedWeights | None
    ) -> tuple[Tensor, SharedWeights]:
        """Modulate `feature_maps` ``[B, C, ...]`` by `context` ``[B, n_metadata]`` (tensor or nested list).

        Returns:
            The modulated maps and the weights shared with the next FiLM layer.

        Raises:
            ModelError: `context` is None.
        """
        if context is None:
            raise ModelError(
                "A FiLM network needs the metadata of each image (condition [B, n_metadata]), got None; "
                "set `metadata` of FiLMedUnet in the configuration."
            )
        condition = context if isinstance(context, Tensor) else torch.tensor(context)
        condition = condition.to(feature_maps.device, feature_maps.dtype)
        parameters, w_shared = self.generator(condition, w_shared)
        # A fixed number, not the tensor's size: an exported file must know it to normalize what follows.
        channels = self.generator.linear3.out_features // 2
        axes = (..., *(None,) * (feature_maps.ndim - 2))
        gammas, betas = parameters[:, :channels][axes], parameters[:, channels:][axes]
        if not (torch.jit.is_tracing() or torch.compiler.is_compiling()):
            self.gammas, self.betas = gammas.detach(), betas.detach()
        return gammas * feature_maps + betas, w_shared


def freeze_shared_weights(network: nn.Module) -> None:
    """Exclude from training the generator weights that sharing leaves unused.

    Every FiLM layer but the first keeps its two weights only for compatibility with the state dicts of 2.9.10; without
    a gradient they must neither reach the optimizer nor disturb distributed training.
    """
    generators = [module for module in network.modules() if isinstance(module, FiLMgenerator)]
    for generator in generators[1:]:
        generator.linear1.weight.requires_grad_(False)
        generator.linear2.weight.requires_grad_(False)


def film_input(network: nn.Module) -> tuple[str, int] | None:
    """Name and length of the metadata vector, None for a network without FiLM layers."""
    layer = next((module for module in network.modules() if isinstance(module, FiLMlayer)), None)
    return None if layer is None else ("metadata", layer.generator.linear1.in_features)


def film_switches(film_layers: Sequence[int] | None, n_layers: int) -> list[bool]:
    """Read the `film_layers` list of a configuration: True for each of `n_layers` places with a FiLM layer.

    The last item always belongs to the place after the last convolution; surplus items before it are dropped with a
    warning. They had no effect in 2.9.10, where one configuration served networks of different depth.

    Raises:
        ModelError: The list is too short.
    """
    if not film_layers or not any(film_layers):
        return [False] * n_layers
    if len(film_layers) < n_layers:
        raise ModelError(
            f"film_layers: {list(film_layers)} has {len(film_layers)} items, the network has {n_layers} "
            "places for FiLM (2 * depth + 2 in a U-Net); give one 0 or 1 for each."
        )
    if len(film_layers) > n_layers:
        logger.warning(
            "film_layers: %d items for %d places; items %d to %d have no effect and are cut.",
            *(len(film_layers), n_layers, n_layers, len(film_layers) - 1),
        )
    return [bool(flag) for flag in [*film_layers[: n_layers - 1], film_layers[-1]]]


def film_layer(n_metadata: int | None, n_channels: int) -> FiLMlayer:
    """A FiLM layer for `n_channels` maps.

    Raises:
        ModelError: The length of the metadata vector is unknown.
    """
    if not n_metadata:
        raise ModelError(f"n_metadata: {n_metadata!r}; film_layers needs the length of the metadata vector.")
    return FiLMlayer(n_metadata, n_channels)
