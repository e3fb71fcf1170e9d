"""``ivadomed.loader.film`` of 2.x: the documented functions for FiLM metadata, on top of ``FilmEncoder``.

A data set here is one of the documented data sets, or a sequence of samples with ``input_metadata``: a mapping, or a
list of mappings per channel, of which the first is used. It contains ``contrast``, and the sidecar under
``bids_metadata`` or directly.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch.utils.data import Dataset

from ivadomed.loader.cases.case import Case
from ivadomed.loader.conditions import (
    MRI_PARAMS,
    Feature,
    FilmEncoder,
    cluster,
    contrast_ids,
    features_of,
    fit_clusters,
    fit_density,
    has_value,
)
from ivadomed.training.film import save_film_params, store_film_params

log = logging.getLogger(__name__)

CONTRAST_CATEGORY = dict(contrast_ids())
"""Number of each contrast that FiLM knows, see ``config/contrast_dct.json``."""

GENERIC_CONTRAST = {
    "T1w": "T1w",
    "T2w": "T2w",
    "T2star": "T2star",
    "acq-MToff_MTS": "PD",
    "acq-MTon_MTS": "MT",
    "acq-T1w_MTS": "T1w",
}
"""Contrast that an image of a name shows."""

MANUFACTURER_CATEGORY = {"Siemens": 0, "Philips": 1, "GE": 2}
"""Number of each manufacturer, as 2.x had them; a ``FilmEncoder`` learns those of its training set."""


class FilmDataset(Dataset[Any]):
    """A data set whose samples have ``film_input``, the labels for ``FilmEncoder.transform``, in their metadata.

    Samples are read on demand, so random transforms are drawn again; everything else is that of the data set.

    Args:
        dataset: The data set.
        features: Metadata to which the labels belong.
    """

    def __init__(self, dataset: Any, features: Sequence[Feature]) -> None:
        self.dataset, self.features = dataset, tuple(features)

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        sample = self.dataset[index]
        labels = film_labels(self.features, sample["input_metadata"])
        return {**sample, "input_metadata": _with_input(sample["input_metadata"], labels)}

    def __getattr__(self, name: str) -> Any:
        if name == "dataset":  # not there yet while a copy is unpickled
            raise AttributeError(name)
        return getattr(self.dataset, name)


class Kde_model:
    """Clusters of scalar values, separated by the minima of their kernel density.

    Attributes:
        kde: ``sklearn.neighbors.KernelDensity``; None before ``train``, and if all values are equal.
        minima: Borders between the clusters, ascending.
    """

    def __init__(self) -> None:
        self.kde: Any = None
        self.minima: tuple[float, ...] = ()

    def train(
        self,
        data: Sequence[float],
        value_range: np.ndarray,
        gridsearch_bandwidth_range: Mapping[str, Sequence[float]] | Sequence[float] | np.ndarray,
    ) -> None:
        """Fit the density and find its minima.

        Args:
            data: The numbers.
            value_range: Ascending points at which minima are searched.
            gridsearch_bandwidth_range: Candidates for the bandwidth, or {"bandwidth": candidates}.
        """
        candidates = gridsearch_bandwidth_range
        bandwidths = candidates["bandwidth"] if isinstance(candidates, Mapping) else candidates
        self.kde, self.minima = fit_density(data, value_range, bandwidths)

    def predict(self, data: float) -> int:
        """Number of the cluster, from 0, of a value."""
        return cluster(float(data), self.minima)


def clustering_fit(dataset: Mapping[str, Sequence[float]], key_lst: Sequence[str]) -> dict[str, Kde_model]:
    """Find the clusters of each kind of metadata.

    Args:
        dataset: Values of the training set by name.
        key_lst: Names to cluster.

    Returns:
        Clustering model by name.
    """
    models = {}
    for key in key_lst:
        models[key] = Kde_model()
        models[key].kde, models[key].minima = fit_clusters(dataset[key])
        log.debug("%s: clusters are divided at %s", key, models[key].minima)
    return models


def clusters_of(features: Iterable[Feature]) -> dict[str, Kde_model]:
    """Clustering model by name of the features that have clusters."""
    models = {}
    for feature in features:
        if feature.minima is not None:
            models[feature.name] = Kde_model()
            models[feature.name].minima = feature.minima
    return models


def film_labels(features: Iterable[Feature], record: Any) -> list[Any]:
    """Category or cluster of each feature, from the metadata of a channel."""
    case = _case(record)
    return [feature.label(case) for feature in features]


def check_isMRIparam(
    mri_param_type: str, mri_param: Mapping[str, Any] | Sequence[str], subject: str, metadata: Any = None
) -> bool:
    """Return True if an image has an MRI parameter that FiLM can use.

    Args:
        mri_param_type: Name, e.g. "EchoTime".
        mri_param: Sidecar of the image, or the names in it.
        subject: For the log.
        metadata: Kept for callers of 2.9.10; not changed.
    """
    is_there = mri_param_type in mri_param
    if isinstance(mri_param, Mapping):
        is_there = is_there and has_value(mri_param_type, mri_param[mri_param_type])
    if not is_there:
        log.info("%s has no %s and is left out.", subject, mri_param_type)
    return is_there


def get_film_metadata_models(
    ds_train: Any, metadata_type: str, debugging: bool = False
) -> tuple[FilmDataset, FilmEncoder, dict[str, Kde_model] | None]:
    """Fit the encoding on a training set.

    Args:
        ds_train: Training set; no voxels of a documented data set are read.
        metadata_type: "contrasts", "mri_params", or a column of participants.tsv.
        debugging: Log the labels of each image.

    Returns:
        The data set with ``film_input`` in the metadata of its samples, the one-hot encoder, and for "mri_params" the
        clusters by name (else None).
    """
    models = None
    if metadata_type == "mri_params":
        models = clusters_of(features_of(_cases(ds_train), metadata_type))
    encoded, encoder = normalize_metadata(ds_train, models, debugging, metadata_type, train_set=True)
    return encoded, encoder, models


def normalize_metadata(
    ds_in: Any,
    clustering_models: Mapping[str, Kde_model] | None,
    debugging: bool,
    metadata_type: str,
    train_set: bool = False,
) -> Any:
    """Add ``film_input``, the labels for ``FilmEncoder.transform``, to the metadata of samples.

    Args:
        ds_in: Data set.
        clustering_models: Clusters of FlipAngle, EchoTime and RepetitionTime of the training set; for
            "mri_params".
        debugging: Log the labels of each image.
        metadata_type: "contrasts", "mri_params", or a column of participants.tsv.
        train_set: Fit the one-hot encoder.

    Returns:
        The data set with it; with ``train_set`` also the encoder.

    Raises:
        DataError: An image has no value.
    """
    cases = _cases(ds_in)
    if metadata_type == "mri_params":
        models = clustering_models or {}
        features = [Feature(name, models[name].minima if name in models else None) for name in MRI_PARAMS]
    else:
        features = features_of(cases, metadata_type)
    for case in cases:
        labels = [feature.label(case) for feature in features]
        if debugging:
            log.info("%s: %s", case.id, dict(zip((f.name for f in features), labels, strict=True)))
    encoded = FilmDataset(ds_in, features)
    return (encoded, FilmEncoder.of_features(features, cases, metadata_type)) if train_set else encoded


def _first(record: Any) -> Any:
    return record[0] if isinstance(record, (list, tuple)) else record


def _cases(dataset: Any) -> list[Case]:
    """A case per image of a documented data set, else one per sample."""
    handlers = getattr(dataset, "handlers", None)
    if handlers is not None:
        return [_case(handler.get_pair_metadata()["input_metadata"]) for handler in handlers]
    return [_case(dataset[i]["input_metadata"]) for i in range(len(dataset))]


def _case(records: Any) -> Case:
    record = _first(records)
    sidecar = record.get("bids_metadata") or dict(record.items())
    contrast = record.get("contrast") or sidecar.get("contrast")
    name = Path(str(_first(record.get("input_filenames") or "sample"))).name
    return Case(id=name, images=(), contrasts=(contrast,) if contrast else (), metadata=sidecar)


def _with_input(records: Any, labels: list[Any]) -> Any:
    if isinstance(records, (list, tuple)):
        return [_with_input(record, labels) for record in records]
    new = copy.copy(records)
    new["film_input"] = labels
    return new
