"""Sampling that balances a data set: rare labels are drawn as often as frequent ones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch.utils.data import Sampler

from ivadomed.errors import DataError


def inverse_frequencies(labels: Sequence[Hashable]) -> np.ndarray:
    """Weight of each sample: 1 over the number of samples with its label, float64 [N]."""
    counts = Counter(labels)
    return np.array([1.0 / counts[label] for label in labels], float)


def balancing_weights(dataset: Any, metadata: str) -> np.ndarray:
    """Weight of each sample of a data set, see ``BalancedSampler``.

    Raises:
        DataError: A sample has no value of the metadata key.
    """
    labels = [sample_label(dataset, index, metadata) for index in range(len(dataset))]
    if None in labels:
        raise DataError(
            f'balance_samples: sample {labels.index(None)} has no "{metadata}"; complete the column in '
            'participants.tsv or balance by "gt"'
        )
    return inverse_frequencies(labels)


class BalancedSampler(Sampler[int]):
    """Draws one sample per item of the data set, with replacement; all labels are equally likely.

    Args:
        dataset: Samples, e.g. a `SegmentationDataset`, or any sequence of items with ``gt`` and
            ``input_metadata`` (every item is then read once for its label).
        metadata: "gt": balance samples with and without labelled voxels; otherwise a metadata key, e.g. "sex".

    Attributes:
        indices: Indices into the data set.
        nb_samples: Number of samples.
        weights: [N] float64, 1 over the frequency of the sample's label.

    Raises:
        DataError: A sample has no value of the metadata key.
    """

    def __init__(self, dataset: Any, metadata: str = "gt") -> None:
        self.nb_samples = len(dataset)
        self.indices = list(range(self.nb_samples))
        self.weights = torch.from_numpy(balancing_weights(dataset, metadata))

    def __len__(self) -> int:
        return self.nb_samples

    def __iter__(self) -> Iterator[int]:
        return iter(torch.multinomial(self.weights, self.nb_samples, replacement=True).tolist())


def sample_label(dataset: Any, index: int, metadata: str) -> Hashable:
    """Category of a sample: labelled or not ("gt"), or the value of a metadata key; None if it is absent."""
    if hasattr(dataset, "sampling_label"):
        return dataset.sampling_label(index, metadata)
    item = dataset[index]
    if metadata == "gt":
        return bool(np.any(np.asarray(item["gt"])))
    record = item["input_metadata"][0]
    return record[metadata] if metadata in record else None  # noqa: SIM401 - metadata may be no dictionary


def get_sampler(ds: Any, balance_bool: bool, metadata: str = "gt") -> tuple[BalancedSampler | None, bool]:
    """Return the sampler of a data set, and whether a ``DataLoader`` shuffles instead.

    Args:
        ds: See ``BalancedSampler``.
        balance_bool: Balance the samples.
        metadata: See ``BalancedSampler``.
    """
    return (BalancedSampler(ds, metadata), False) if balance_bool else (None, True)
