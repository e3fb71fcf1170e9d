"""Scales and shifts that a trained FiLM network gives to the images of a data set, to be looked at."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from ivadomed.loader.conditions.film_encoder import FilmEncoder
from ivadomed.loader.film import Parameters, save_film_params, store_film_params
from ivadomed.loader.samples import EpochSampler, SampleDataset, make_loader
from ivadomed.models.base import Network


@torch.no_grad()
def save_modulation(
    model: Network,
    dataset: SampleDataset,
    encoder: FilmEncoder,
    film_layers: Sequence[int],
    batch_size: int,
    folder: Path,
) -> None:
    """Write ``gamma_layer_N.npy``, ``beta_layer_N.npy`` and ``metadata_values.npy``, a row per sample.

    Args:
        model: Trained network, on the CPU.
        dataset: Samples.
        encoder: Of the metadata; its labels, joined by a blank, are what ``metadata_values.npy`` holds.
        film_layers: 0 or 1 per place of the network.
        batch_size: Samples per forward pass.
        folder: Where to write.
    """
    values = [{encoder.metadata_type: " ".join(map(str, encoder.labels(case)))} for case in dataset.cases]
    depth = (len(film_layers) - 2) // 2
    gammas: Parameters = {}
    betas: Parameters = {}
    seen: list[list[str]] = []
    for batch in make_loader(dataset, EpochSampler(len(dataset), 0, shuffle=False), batch_size, 0):
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
