"""Inputs of a network in addition to the image: metadata (FiLM) or the available contrasts (HeMIS).

Categorical metadata (contrast, manufacturer, a column of participants.tsv) are one-hot encoded. MRI parameters
are first clustered; the borders are the minima of their density over the training set.
"""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from ivadomed.errors import DataError, ModelError
from ivadomed.images.files import parse_json, write_json
from ivadomed.loader.cases.case import Case

log = logging.getLogger(__name__)

CLUSTERED = ("FlipAngle", "EchoTime", "RepetitionTime")
MRI_PARAMS = (*CLUSTERED, "Manufacturer")
"""Sidecar fields used for ``mri_params``, in the order of the vector."""

FILM_ENCODER = "film_encoder.json"
"""File of the encoder, in the folder of a run or of a packaged model."""

CONTRASTS = ("contrasts", "contrast")  # documented spellings of the metadata type
_N_GRID = 1000  # points at which the density is evaluated
_N_BANDWIDTHS = 20
_N_VALUES = 1000  # values used to choose the bandwidth
Label = str | int


Conditioner = Callable[[Case], "np.ndarray | None"]
"""The condition [n] float32 of a case, or None for networks that take only the image."""


def unconditioned(case: Case) -> None:
    """Return no condition, for a network that takes only the image."""
    return None


def present_contrasts(case: Case) -> np.ndarray:
    """Per channel, 1 if the case has its contrast, otherwise 0."""
    return np.array(case.present, np.float32)


@dataclass(frozen=True)
class Curriculum:
    """Rate at which contrasts are withheld in training, so that the network learns to work without them.

    Havaei et al., "HeMIS: Hetero-Modal Image Segmentation", MICCAI 2016, section 2.3.

    Args:
        probability: Probability of withholding each contrast in the first epoch, between 0 and 1.
        growth: Exponent applied to the probability after each epoch; below 1, the probability grows towards 1.
    """

    probability: float
    growth: float = 1.0

    def at(self, epoch: int) -> float:
        """Probability in an epoch, counted from 1."""
        return float(self.probability ** (self.growth ** (epoch - 1)))


def withhold(present: np.ndarray, probability: float, rng: np.random.Generator) -> np.ndarray:
    """Withhold each contrast with ``probability``, but never all contrasts of a sample.

    Args:
        present: [..., C], nonzero where a contrast is available.
        probability: Between 0 and 1.
        rng: Random generator.

    Returns:
        [..., C] bool, the contrasts that are kept.
    """
    draws = rng.random(present.shape)
    there = present != 0
    kept = there & (draws >= probability)
    # If all were withheld, the one with the highest draw is kept: every contrast is equally likely.
    best = np.where(there, draws, -1).argmax(axis=-1)[..., None]
    empty = ~kept.any(axis=-1, keepdims=True)
    np.put_along_axis(kept, best, np.take_along_axis(kept, best, -1) | empty, -1)
    return kept & there


@lru_cache(maxsize=1)
def contrast_ids() -> Mapping[str, int]:
    """Contrasts of ``config/contrast_dct.json`` and their ids."""
    text = files("ivadomed.config").joinpath("contrast_dct.json").read_text(encoding="utf-8")
    return dict(parse_json(text))


def generic_contrast(contrast: str) -> str:
    """Contrast of ``contrast_dct.json`` that matches: "acq-ax_T2w" and "T2w_reg" become "T2w".

    A contrast that matches none forms its own category.
    """
    parts = contrast.split("_")
    return next((name for name in (contrast, *reversed(parts)) if name in contrast_ids()), contrast)


@dataclass(frozen=True)
class Feature:
    """One piece of metadata.

    Args:
        name: Key of ``Case.metadata``; "contrast" is the contrast of the first channel.
        minima: Borders between the clusters of a number, ascending; None for a category.
    """

    name: str
    minima: tuple[float, ...] | None = None

    def label(self, case: Case) -> Label:
        """Category or number of the cluster of a case.

        Raises:
            DataError: The case has no value, or a value that should be a number and is not.
        """
        if self.name == "contrast":
            if not case.contrasts:
                raise DataError(f"{case.id}: FiLM needs its contrast; name it")
            return generic_contrast(case.contrasts[0])
        value = case.metadata.get(self.name)
        if value is None or not has_value(self.name, value):
            wanted = "text" if self.minima is None else "number"
            raise DataError(
                f"{case.id}: FiLM needs {self.name}, a {wanted}, got {value!r}; add it to the JSON "
                "sidecar or to participants.tsv, or leave the image out"
            )
        return category(value) if self.minima is None else cluster(float(value), self.minima)


@dataclass(frozen=True)
class FilmEncoder:
    """One-hot encoding of metadata, fitted on the training set.

    Args:
        metadata_type: "contrasts", "mri_params", or a column of participants.tsv.
        features: Encoded pieces of metadata.
        known: Labels of each feature in the order of the vector.
    """

    metadata_type: str
    features: tuple[Feature, ...]
    known: tuple[tuple[Label, ...], ...]
    _unknown: set[tuple[str, Label]] = field(default_factory=set, init=False, repr=False, compare=False)

    @classmethod
    def fit(cls, cases: Sequence[Case], metadata_type: str) -> FilmEncoder:
        """Learn categories and clusters.

        Raises:
            DataError: No case is given, or one lacks a value.
        """
        return cls.of_features(features_of(cases, metadata_type), cases, metadata_type)

    @classmethod
    def of_features(
        cls, features: Sequence[Feature], cases: Sequence[Case], metadata_type: str
    ) -> FilmEncoder:
        """Learn the categories of features with known clusters."""
        if not cases:
            raise DataError(f"FiLM on {metadata_type}: no training image to learn from")
        return cls(metadata_type, tuple(features), tuple(_labels(feature, cases) for feature in features))

    @property
    def categories_(self) -> list[np.ndarray]:
        """Known labels of each feature, as in the one-hot encoder of scikit-learn."""
        return [np.array(labels) for labels in self.known]

    @property
    def n_metadata(self) -> int:
        """Length of the vector."""
        return sum(map(len, self.known))

    def labels(self, case: Case) -> list[Label]:
        """Per feature, the category or cluster of a case."""
        return [feature.label(case) for feature in self.features]

    def encode(self, case: Case) -> np.ndarray:
        """Vector [n_metadata] float32 of zeros and, per feature, a one; see ``transform``.

        Raises:
            DataError: A value is missing.
        """
        return self.transform([self.labels(case)], case.id)[0]

    def transform(self, rows: Sequence[Sequence[Label]], owner: str = "FiLM") -> np.ndarray:
        """One-hot encode labels, one row per image: [B, n_metadata] float32.

        A label that did not occur in training is encoded as zeros, with one warning per label.
        """
        encoded = np.zeros((len(rows), self.n_metadata), np.float32)
        for vector, row in zip(encoded, rows, strict=True):
            first = 0
            for feature, known, label in zip(self.features, self.known, row, strict=True):
                if label in known:
                    vector[first + known.index(label)] = 1
                else:
                    self._warn(owner, feature.name, label, known)
                first += len(known)
        return encoded

    def _warn(self, owner: str, name: str, label: Label, known: Sequence[Label]) -> None:
        if (name, label) not in self._unknown:
            self._unknown.add((name, label))
            log.warning(
                "%s: %s is %r, which did not occur in the training set: encoded as zeros (known: %s)",
                owner,
                name,
                label,
                ", ".join(map(str, known)),
            )

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write ``film_encoder.json``."""
        write_json(Path(folder) / FILM_ENCODER, self.to_json())

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> FilmEncoder:
        """Read the encoder that ``save`` wrote into a folder.

        Raises:
            ModelError: The encoder is missing or unreadable.
        """
        path = Path(folder) / FILM_ENCODER
        try:
            return cls.from_json(parse_json(path.read_text(encoding="utf-8")))
        except FileNotFoundError as error:
            raise ModelError(
                f"{path}: not found; a FiLM network needs it next to its weights: copy it there (--test in the folder "
                "of a run of ivadomed 2, which kept it as pickles, makes it from the training images)"
            ) from error
        except (OSError, ValueError, DataError) as error:
            raise ModelError(f"{path}: not a readable FiLM encoder ({error}); train again") from error

    def to_json(self) -> dict[str, Any]:
        """Content as JSON values."""
        features = [
            {"name": feature.name, "minima": feature.minima, "known": known}
            for feature, known in zip(self.features, self.known, strict=True)
        ]
        return {"metadata_type": self.metadata_type, "features": features}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> FilmEncoder:
        """Rebuild the encoder from the content that ``to_json`` returned.

        Raises:
            DataError: The content is not that of an encoder.
        """
        try:
            features = [Feature(entry["name"], _minima(entry["minima"])) for entry in content["features"]]
            known = [tuple(entry["known"]) for entry in content["features"]]
            return cls(content["metadata_type"], tuple(features), tuple(known))
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise DataError(
                f"not the content of a FiLM encoder ({error!r}); package the model again"
            ) from error


def _minima(values: Sequence[Any] | None) -> tuple[float, ...] | None:
    return None if values is None else tuple(map(float, values))


def features_of(cases: Sequence[Case], metadata_type: str) -> list[Feature]:
    """Pieces of a metadata type, with clusters fitted on the cases."""
    if metadata_type in CONTRASTS:
        return [Feature("contrast")]
    if metadata_type != "mri_params":
        return [Feature(metadata_type)]
    for case in cases:
        reason = missing_metadata(case, metadata_type)
        if reason:
            raise DataError(f"{case.id}: {reason}; add it to the JSON sidecar, or leave the image out")
    numbers = {name: [float(case.metadata[name]) for case in cases] for name in CLUSTERED}
    clustered = [Feature(name, fit_clusters(values)[1]) for name, values in numbers.items()]
    return [*clustered, Feature("Manufacturer")]


def missing_metadata(case: Case, metadata_type: str) -> str | None:
    """Reason why FiLM cannot use a case, or None."""
    if metadata_type in CONTRASTS:
        return None if case.contrasts else "has no contrast"
    names = MRI_PARAMS if metadata_type == "mri_params" else (metadata_type,)
    missing = [name for name in names if not has_value(name, case.metadata.get(name))]
    return f"has no usable {', '.join(missing)}" if missing else None


def has_value(name: str, value: Any) -> bool:
    """Return whether a value can be encoded: a finite number for clustered fields, otherwise anything but nothing."""
    if name not in CLUSTERED:
        return isinstance(value, (str, bool, int, float, np.generic)) and value == value and value != ""
    try:
        return math.isfinite(float(value))
    except (TypeError, ValueError, OverflowError):
        return False


def category(value: Any) -> str:
    """Name of a category: "SIEMENS" and "Siemens", 1 and 1.0 are equal."""
    if isinstance(value, (float, np.floating)) and float(value).is_integer():
        value = int(value)
    return str(value).strip().casefold()


def cluster(value: float, minima: Sequence[float]) -> int:
    """Number of the cluster of a value; a value on a border belongs to the cluster above."""
    return int(np.searchsorted(minima, value, side="right"))


def fit_clusters(values: Sequence[float]) -> tuple[Any, tuple[float, ...]]:
    """Density of numbers and the borders between their clusters, see ``fit_density``.

    Bandwidths from 1 % to 100 % of the range of the values are searched. Equal numbers have no density (None)
    and form one cluster.
    """
    low, high = float(np.min(values)), float(np.max(values))
    if low == high:
        return None, ()
    bandwidths = (high - low) * np.logspace(-2, 0, _N_BANDWIDTHS)
    return fit_density(values, np.linspace(low, high, _N_GRID), bandwidths)


def fit_density(
    values: Sequence[float], grid: np.ndarray, bandwidths: Sequence[float] | np.ndarray
) -> tuple[Any, tuple[float, ...]]:
    """Gaussian kernel density of numbers.

    The bandwidth maximizes the cross-validated likelihood of at most 1000 of the numbers, drawn with a fixed seed.

    Args:
        values: The numbers, at least one.
        grid: Ascending points at which minima are searched.
        bandwidths: Candidates.

    Returns:
        ``sklearn.neighbors.KernelDensity`` and the local minima.
    """
    # Imported here because only fitting needs them; inference must not pay for the import.
    from scipy.signal import find_peaks
    from sklearn.model_selection import GridSearchCV, KFold
    from sklearn.neighbors import KernelDensity

    column = np.asarray(values, float).reshape(-1, 1)
    bandwidth = float(np.median(bandwidths))
    if len(column) > 1:
        drawn = np.random.default_rng(0).permutation(column)[:_N_VALUES]
        folds = KFold(min(5, len(drawn)), shuffle=True, random_state=0)
        search = GridSearchCV(KernelDensity(), {"bandwidth": list(bandwidths)}, cv=folds).fit(drawn)
        bandwidth = search.best_params_["bandwidth"]
    density = KernelDensity(kernel="gaussian", bandwidth=bandwidth).fit(column)
    # Unlike argrelextrema, find_peaks finds a minimum that lies between two equal points of the grid.
    borders, _ = find_peaks(-density.score_samples(np.asarray(grid, float).reshape(-1, 1)))
    return density, tuple(float(point) for point in np.asarray(grid, float)[borders])


def _labels(feature: Feature, cases: Sequence[Case]) -> tuple[Label, ...]:
    """Known labels: all clusters, or the categories of the cases; contrasts sorted by id, others by name."""
    if feature.minima is not None:
        return tuple(range(len(feature.minima) + 1))
    found = {str(feature.label(case)) for case in cases}
    if feature.name == "contrast":
        return tuple(sorted(found, key=lambda name: (contrast_ids().get(name, len(contrast_ids())), name)))
    return tuple(sorted(found))
