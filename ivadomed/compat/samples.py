"""Adapts data sets of dictionaries (ivadomed 2.x) to the samples of the training loop."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import numpy as np
from torch.utils.data import Dataset

from ivadomed.errors import DataError, ModelError
from ivadomed.geometry.windows import Window
from ivadomed.loader.balanced_sampler import sample_label
from ivadomed.loader.cases.case import Case
from ivadomed.loader.conditions import Curriculum, withhold
from ivadomed.loader.samples.batch import Batch, Sample
from ivadomed.loader.samples.dataset import SampleDataset
from ivadomed.models.specs import spec_of
from ivadomed.runtime.randomness import seeded

Condition = Callable[[Sequence[Any], int], "np.ndarray | None"]
"""Function from the metadata per channel and the number of channels of a sample to the network's condition [n]."""


class DocumentedSamples(Dataset[Sample]):
    """Samples of a data set of dictionaries, such as `BidsDataset`, `HDF5Dataset` or a custom one.

    An index is an ``int`` or a pair (epoch, int); together with the seed it determines all randomness of an item.

    Args:
        dataset: Items with ``input`` [C, ...], ``gt`` [K, ...] and ``input_metadata``, one per channel.
        condition: Returns the condition of the network.
        seed: Seed of the run.
        curriculum: Withhold contrasts as in HeMIS; the condition marks the remaining ones.
    """

    def __init__(
        self,
        dataset: Any,
        condition: Condition | None = None,
        seed: int = 0,
        curriculum: Curriculum | None = None,
    ) -> None:
        self.dataset, self.condition, self.seed, self.curriculum = dataset, condition, seed, curriculum

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int | tuple[int, int]) -> Sample:
        epoch, i = index if isinstance(index, tuple) else (0, index)
        rng = np.random.default_rng((self.seed, epoch, i))
        with seeded(int(rng.integers(2**62))):
            item = self.dataset[(epoch, i) if getattr(self.dataset, "takes_epochs", False) else i]
        image, records = np.asarray(_stacked(item["input"]), np.float32), _records(item)
        if item["gt"] is None:
            raise DataError(f"{_case(records, i).id}: has no label; a training needs one for every sample")
        condition = None if self.condition is None else self.condition(records, len(image))
        if self.curriculum is not None and condition is not None:
            kept = withhold(condition, self.curriculum.at(epoch), rng)
            image, condition = image.copy(), kept.astype(np.float32)
            image[~kept] = 0
        slice_index = int((records[0].get("slice_index") if records else None) or 0)
        window = Window(i, (0, 0, slice_index), (1, 1, 1))
        return Sample(np.ascontiguousarray(image), _stacked(item["gt"]), condition, window)

    @cached_property
    def soft_gt(self) -> bool:
        """True if labels have values between 0 and 1."""
        known = getattr(self.dataset, "soft_gt", None)
        return bool(np.issubdtype(self[0].target.dtype, np.floating) if known is None else known)

    @cached_property
    def is_2d(self) -> bool:
        """True if samples are slices; else they are volumes."""
        return self[0].image.ndim == 3

    @property
    def sample_size(self) -> tuple[int, ...]:
        """Voxels of a sample along each axis."""
        return self[0].image.shape[1:]

    @property
    def classify(self) -> bool:
        """True if the target is a number per class."""
        return getattr(self.dataset, "task", "segmentation") == "classification"

    @property
    def cases(self) -> Sequence[Case]:
        """Image of each sample."""
        return Lazy(len(self.dataset), lambda i: _case(_records(self.dataset[i]), i))

    def names_of(self, batch: Batch) -> Sequence[str]:
        """Image of each sample of a batch, which is read again for it."""
        return Lazy(len(batch.windows), lambda k: self.cases[batch.windows[k].case].id)

    def sampling_label(self, index: int, key: str) -> Hashable:
        """Label that balanced sampling balances, see `BalancedSampler`."""
        return sample_label(self.dataset, index, key)


def as_samples(
    dataset: Any, model_params: Mapping[str, Any], seed: int = 0, curriculum: Curriculum | None = None
) -> SampleDataset:
    """A data set as the training loop takes it; see `DocumentedSamples` for those it does not take as they are.

    Raises:
        ModelError: The network needs an encoder of metadata, which ``model_params`` do not have.
    """
    if isinstance(dataset, SampleDataset):
        return dataset
    samples = DocumentedSamples(dataset, condition_of(model_params), seed, curriculum)
    return cast(SampleDataset, samples)  # it has everything that training needs


def takes_contrasts(model_params: Mapping[str, Any]) -> bool:
    """True for a network that needs to know which contrasts are available."""
    return spec_of(model_params.get("name", "")).missing_contrasts


def condition_of(model_params: Mapping[str, Any]) -> Condition | None:
    """Function that returns the condition of a sample for the network of the documented model parameters.

    Args:
        model_params: ``name``, and of a network with ``film_layers`` the encoder ``film_onehotencoder``.

    Raises:
        ModelError: There is no encoder.
    """
    if takes_contrasts(model_params):
        return _present
    if not any(model_params.get("film_layers") or ()):
        return None
    encoder = model_params.get("film_onehotencoder")
    if encoder is None:
        raise ModelError(
            'model_params["film_onehotencoder"]: not given; a network with film_layers needs the encoder that '
            "loader.film.get_film_metadata_models returns"
        )

    def encoded(records: Sequence[Any], channels: int) -> np.ndarray:
        if not records or "film_input" not in records[0]:
            raise DataError(
                "a sample has no film_input in its metadata; make the data sets of a FiLM network with "
                "loader.film.get_film_metadata_models (training) and normalize_metadata (others)"
            )
        return np.asarray(encoder.transform([records[0]["film_input"]]), np.float32)[0]

    return encoded


def _present(records: Sequence[Any], channels: int) -> np.ndarray:
    given = records[0].get("missing_mod") if records else None
    return np.ones(channels, np.float32) if given is None else np.asarray(given, np.float32)


class Lazy(Sequence[Any]):
    """Values that are created on access.

    Args:
        count: Number of values.
        make: Function from an index to its value.
    """

    def __init__(self, count: int, make: Callable[[int], Any]) -> None:
        self.indices, self.make = range(count), make

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: Any) -> Any:
        return self.make(self.indices[index])


def _records(item: Mapping[str, Any]) -> list[Any]:
    records = item.get("input_metadata")
    return [] if records is None else list(records) if isinstance(records, (list, tuple)) else [records]


def _case(records: Sequence[Any], index: int) -> Case:
    found: Any = next((record["input_filenames"] for record in records if "input_filenames" in record), [])
    files = [found] if isinstance(found, str) else list(found)
    name = Path(files[0]).name.split(".")[0] if files else f"sample {index}"
    return Case(name, tuple(map(Path, files or ["sample"])))


def _stacked(arrays: Any) -> np.ndarray:
    several = isinstance(arrays, (list, tuple))
    return np.stack([np.asarray(array) for array in arrays]) if several else np.asarray(arrays)
