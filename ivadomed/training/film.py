"""Scales and shifts that a trained FiLM network applies to the images of a data set, for inspection."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from ivadomed.errors import ModelError
from ivadomed.images.files import atomic_path
from ivadomed.loader.conditions import FilmEncoder
from ivadomed.loader.samples import SampleDataset, in_order
from ivadomed.models.base import Network
from ivadomed.models.film import FiLMlayer, film_switches

Parameters = dict[int, list[np.ndarray]]
"""One array [B, C] per batch for each level of the network (from 1)."""


@torch.no_grad()
def save_modulation(
    model: Network,
    dataset: SampleDataset,
    encoder: FilmEncoder,
    film_layers: Sequence[int],
    batch_size: int,
    folder: Path,
) -> None:
    """Write ``gamma_layer_N.npy``, ``beta_layer_N.npy`` and ``metadata_values.npy``, one row per sample.

    Args:
        model: Trained network, on the CPU.
        dataset: Samples.
        encoder: Encoder of the metadata; ``metadata_values.npy`` contains its labels, joined by a space.
        film_layers: 0 or 1 per level of the network.
        batch_size: Samples per forward pass.
        folder: Output folder.
    """
    values = [{encoder.metadata_type: " ".join(map(str, encoder.labels(case)))} for case in dataset.cases]
    depth = (len(film_layers) - 2) // 2
    gammas: Parameters = {}
    betas: Parameters = {}
    seen: list[list[str]] = []
    for batch in in_order(dataset, batch_size):
        model(*model.inputs(batch))
        gammas, betas, seen = store_film_params(
            gammas,
            betas,
            seen,
            [values[window.case] for window in batch.windows],
            model,
            film_layers,
            depth,
            encoder.metadata_type,
        )
    save_film_params(gammas, betas, seen, depth, folder)


def store_film_params(
    gammas: Mapping[int, Sequence[np.ndarray]],
    betas: Mapping[int, Sequence[np.ndarray]],
    metadata_values: Sequence[Any],
    metadata: Sequence[Any],
    model: nn.Module,
    film_layers: Sequence[int],
    depth: int,
    film_metadata: str = "contrast",
) -> tuple[Parameters, Parameters, list[Any]]:
    """Append the scales and shifts of the last forward pass, and the metadata of its batch.

    Args:
        gammas: Scales so far, by level of the network: 1 ... 2 * depth + 2.
        betas: Shifts so far.
        metadata_values: Metadata so far, one list per batch.
        metadata: Metadata of the batch: per sample a mapping, or a list of mappings, of which the first is used.
        model: The network, after its forward pass.
        film_layers: 0 or 1 per level.
        depth: Depth of the network.
        film_metadata: Name of the metadata to store, e.g. "contrast".

    Returns:
        Scales, shifts and metadata with those of the batch appended; the arguments are not modified.
    """
    n_levels = 2 * depth + 2
    new_gammas = {level: list(gammas.get(level, ())) for level in range(1, n_levels + 1)}
    new_betas = {level: list(betas.get(level, ())) for level in range(1, n_levels + 1)}
    levels = [i for i, is_film in enumerate(film_switches(film_layers, n_levels), start=1) if is_film]
    layers = [module for module in model.modules() if isinstance(module, FiLMlayer)]
    for level, layer in zip(levels, layers, strict=True):
        if layer.gammas is None or layer.betas is None:
            raise ModelError("store_film_params: the network has not been run yet; call it on a batch first")
        new_gammas[level].append(layer.gammas.flatten(1).cpu().numpy())
        new_betas[level].append(layer.betas.flatten(1).cpu().numpy())
    first = [record[0] if isinstance(record, (list, tuple)) else record for record in metadata]
    return new_gammas, new_betas, [*metadata_values, [record[film_metadata] for record in first]]


def save_film_params(
    gammas: Mapping[int, Sequence[np.ndarray]],
    betas: Mapping[int, Sequence[np.ndarray]],
    metadata_values: Sequence[Sequence[Any]],
    depth: int,
    ofolder: str | os.PathLike[str],
) -> None:
    """Write ``gamma_layer_N.npy``, ``beta_layer_N.npy`` [images, C] and ``metadata_values.npy`` [images].

    Args:
        gammas: See ``store_film_params``.
        betas: See ``store_film_params``.
        metadata_values: One list per batch.
        depth: Depth of the network.
        ofolder: Output folder.
    """
    for name, parameters in (("gamma", gammas), ("beta", betas)):
        for level in range(1, 2 * depth + 3):
            batches = parameters.get(level) or [np.empty((0, 0), np.float32)]
            _save(Path(ofolder) / f"{name}_layer_{level}.npy", np.concatenate(list(batches)))
    values = np.array([value for batch in metadata_values for value in batch])
    _save(Path(ofolder) / "metadata_values.npy", values)


def _save(path: Path, array: np.ndarray) -> None:
    with atomic_path(path) as temporary:
        np.save(temporary, array, allow_pickle=False)
