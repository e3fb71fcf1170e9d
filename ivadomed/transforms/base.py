"""The two types every transform is made of: `Step` (what is done to one case) and `ImedTransform`.

`ImedTransform.plan` draws the random numbers and returns a `Step`; the same step then serves image, label
and ROI, and inverts a prediction. The documented call ``transform(sample, metadata)`` and its
``undo_transform`` are one adapter here: it looks up the step recorded in the metadata, plans one if there is
none, and returns metadata that hold the step, so the next call with them repeats the same geometry.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import torch

from ivadomed.errors import DataError
from ivadomed.runtime.randomness import seeded

KINDS: tuple[str, ...] = ("im", "gt", "roi")

ORDERS: Mapping[str, int] = {"im": 2, "gt": 1, "roi": 1}
"""Interpolation order of the documented call, by ``metadata["data_type"]``."""

STEPS_KEY = "steps"
"""Metadata key under which the adapter keeps ``{class name: Step}``."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Step(ABC):
    """What one transform does to one case: an invertible record, without randomness left in it.

    Attributes:
        shape_in: Spatial shape before, 2 or 3 entries.
        shape_out: Spatial shape after.
        zooms_in: Voxel size before, mm along the spatial axes.
        zooms_out: Voxel size after.
        drawn: The numbers that made this step, under the metadata keys of ivadomed 2.9.10.
        invertible: False for steps that change intensities only; their `invert` is the identity.
        pooled: True if arrays cost less together than one by one, so that image and label go through at once.
    """

    shape_in: tuple[int, ...]
    shape_out: tuple[int, ...]
    zooms_in: tuple[float, ...]
    zooms_out: tuple[float, ...]
    drawn: Mapping[str, Any] = field(default_factory=dict)
    invertible: ClassVar[bool] = True
    pooled: ClassVar[bool] = False

    def apply_as(self, x: np.ndarray, kind: str, order: int) -> np.ndarray:
        """Transform an array of a kind ("im", "gt", "roi"), see `apply`; most steps treat all kinds alike."""
        return self.apply(x, order)

    @abstractmethod
    def apply(self, x: np.ndarray, order: int) -> np.ndarray:
        """Transform an array.

        Args:
            x: `[C, *shape_in]`; C counts channels, or the slices of a volume in 2D.
            order: Interpolation order wanted: 2 image, 1 binary or soft label, 0 integer map.

        Returns:
            `[C, *shape_out]`; possibly a view of `x`, never `x` changed in place.
        """

    @abstractmethod
    def invert(self, x: np.ndarray, order: int) -> np.ndarray:
        """Bring `[C, *shape_out]` back to `[C, *shape_in]`; what was cropped away is zero."""


class IdentityStep(Step):
    """Changes nothing: a random transform that did not fire, or one without an array effect."""

    def apply(self, x: np.ndarray, order: int) -> np.ndarray:
        """Return `x`."""
        return x

    def invert(self, x: np.ndarray, order: int) -> np.ndarray:
        """Return `x`."""
        return x


@dataclass(frozen=True, eq=False, kw_only=True)
class IntensityStep(Step):
    """Changes values, not the grid.

    Attributes:
        function: Maps `[C, *shape]` to `[C, *shape]`, every entry of C on its own; picklable, deterministic.
    """

    function: Callable[[np.ndarray], np.ndarray]
    invertible: ClassVar[bool] = False

    def apply(self, x: np.ndarray, order: int) -> np.ndarray:
        """Apply `function`; `order` has no meaning here."""
        return self.function(x)

    def invert(self, x: np.ndarray, order: int) -> np.ndarray:
        """Return `x`: a prediction has no intensities to restore."""
        return x


@dataclass(frozen=True, eq=False, kw_only=True)
class CalledStep(Step):
    """A transform of which only the call is known, see `ImedTransform`; it leaves the grid as it is.

    Image and label go through it with the same random numbers, and what the call on the image wrote into the metadata
    is there for the label.

    Attributes:
        transform: The transform.
        seed: Of its random numbers.
        record: Metadata that the calls share; filled by the first.
    """

    transform: ImedTransform
    seed: int
    record: dict[str, Any] = field(default_factory=dict)

    def apply(self, x: np.ndarray, order: int) -> np.ndarray:
        """Call the transform on an image."""
        return self.apply_as(x, "im", order)

    def apply_as(self, x: np.ndarray, kind: str, order: int) -> np.ndarray:
        """Call the transform on the list of the arrays of `x`."""
        records = [{"zooms": self.zooms_in, **self.record, "data_type": kind} for _ in x]
        with seeded(self.seed):
            out, metadata = called(self.transform, self.transform, list(x), records)
        first = metadata[0] if isinstance(metadata, (list, tuple)) else metadata
        self.record.update(first or {})
        return self._checked(out, self.shape_out)

    def invert(self, x: np.ndarray, order: int) -> np.ndarray:
        """Call `undo_transform` of the transform."""
        records = [{**self.record, "data_type": "gt"} for _ in x]
        out, _ = called(self.transform, self.transform.undo_transform, list(x), records)
        return self._checked(out, self.shape_in)

    def _checked(self, arrays: Any, shape: tuple[int, ...]) -> np.ndarray:
        out = np.stack([np.asarray(array) for array in arrays])
        if out.shape[1:] != shape:
            raise DataError(
                f"{type(self.transform).__name__}: makes {out.shape[1:]} of {shape} voxels; a transform that changes "
                "the shape must implement plan, which says what it becomes"
            )
        return out


def called(
    transform: ImedTransform, function: Callable[..., tuple[Any, Any]], sample: Any, metadata: Any
) -> tuple[Any, Any]:
    """Call a user's transform, or its `undo_transform`, on a sample: an array, or a list with one array per channel.

    A function that cannot take lists is called on each array in turn, and what the first call wrote into its metadata
    is there for the others.

    Raises:
        DataError: It returns another number of arrays.
    """
    if not isinstance(sample, (list, tuple)):
        return _pair(transform, function(sample, metadata))
    try:
        out, records = _pair(transform, function(sample, metadata))
    except (TypeError, AttributeError):
        given = metadata if isinstance(metadata, (list, tuple)) else [metadata] * len(sample)
        out, records = [], []
        for array, record in zip(sample, given, strict=True):
            if records and record is not None and records[0] is not None:
                for key in records[0].keys() - record.keys():
                    record[key] = records[0][key]
            array, record = _pair(transform, function(array, record))
            out.append(array)
            records.append(record)
    if len(out) != len(sample):
        raise DataError(
            f"{type(transform).__name__}: made {len(out)} arrays of {len(sample)}; a transform is given a list with "
            "one array per channel (the decorator multichannel_capable gives it one after the other)"
        )
    return out, records


def _pair(transform: ImedTransform, answer: Any) -> tuple[Any, Any]:
    if not isinstance(answer, tuple) or len(answer) != 2:
        raise DataError(
            f"{type(transform).__name__}: its call and undo_transform must return the sample and the metadata, got "
            f"{type(answer).__name__}"
        )
    return answer


def identity_step(shape: Sequence[int], zooms: Sequence[float]) -> IdentityStep:
    """Build the step that changes nothing on this grid."""
    shape, zooms = tuple(shape), tuple(zooms)
    return IdentityStep(shape_in=shape, shape_out=shape, zooms_in=zooms, zooms_out=zooms)


def intensity_step(
    shape: Sequence[int],
    zooms: Sequence[float],
    function: Callable[[np.ndarray], np.ndarray],
    drawn: Mapping[str, Any] | None = None,
) -> IntensityStep:
    """Build a step that changes values only."""
    shape, zooms = tuple(shape), tuple(zooms)
    return IntensityStep(
        shape_in=shape, shape_out=shape, zooms_in=zooms, zooms_out=zooms, function=function, drawn=drawn or {}
    )


class ImedTransform:
    """Base class of the transforms.

    A transform implements `plan`, from which its call and its inverse follow. One of your own may implement just
    ``__call__(sample, metadata)``, and ``undo_transform(sample, metadata)`` if it moves voxels: sample is a list with
    one array per channel, metadata a list of mappings; both are returned. Without `plan` it keeps the shape.

    Attributes:
        fixed: True if the result depends on the case only (no randomness): done once and cached.
        needs_roi: True if `plan` reads the region of interest.
        geometric: True if the transform moves voxels, hence has an inverse to undo.
        keeps_type: False if the documented call makes float32 of whole numbers; else they are rounded.
        default_kinds: Kinds of array it is applied to where the configuration has no ``applied_to``.
    """

    fixed: ClassVar[bool] = False
    needs_roi: bool = False
    geometric: ClassVar[bool] = True
    keeps_type: ClassVar[bool] = True
    default_kinds: ClassVar[frozenset[str]] = frozenset(KINDS)

    def plan(
        self,
        shape: Sequence[int],
        zooms: Sequence[float],
        rng: np.random.Generator,
        roi: np.ndarray | None = None,
    ) -> Step:
        """Decide what to do with one case; the only place where randomness is drawn.

        Args:
            shape: Spatial shape, 2 or 3 entries.
            zooms: Voxel size in mm along these axes.
            rng: Source of the random numbers.
            roi: Mask of the region of interest, `[*shape]` or one per leading entry `[C, *shape]`.
        """
        if not self.is_call:
            raise NotImplementedError(
                f"{type(self).__name__}: implements neither __call__(sample, metadata) nor plan"
            )
        shape, zooms = tuple(shape), tuple(zooms)
        return CalledStep(
            shape_in=shape,
            shape_out=shape,
            zooms_in=zooms,
            zooms_out=zooms,
            transform=self,
            seed=int(rng.integers(2**62)),
        )

    @property
    def is_call(self) -> bool:
        """Whether all that is known of the transform is its call: the class has one, and no `plan` to go with it."""
        places = {name: i for i, c in reversed([*enumerate(type(self).__mro__)]) for name in vars(c)}
        return places["__call__"] < places["plan"]

    def __repr__(self) -> str:
        """Name and parameters; equal for equal transforms in every process, so that it can key a cache."""
        arguments = ", ".join(f"{name}={value!r}" for name, value in sorted(vars(self).items()))
        return f"{type(self).__name__}({arguments})"

    def recall(self, shape: tuple[int, ...], zooms: tuple[float, ...], metadata: Any) -> Step | None:
        """Return the step recorded in `metadata` for this shape, None if there is none."""
        step = _steps(metadata).get(type(self).__name__)
        return step if step is not None and step.shape_in == shape else None

    def __call__(self, sample: Any, metadata: Any = None) -> tuple[Any, Any]:
        """Transform a sample.

        Args:
            sample: Array [H, W] or [H, W, D], a list of them (channels or classes), or a tensor [C, ...].
            metadata: Mapping with ``zooms`` (mm) and ``data_type`` ("im", "gt", "roi"), or a list of them.
                Recorded draws in it are used again.

        Returns:
            The transformed sample, of the type of the given one (see `keeps_type`), and new metadata that hold what
            was drawn. The arguments stay as they are.
        """
        arrays, pack = _unpack(sample)
        present = [a for a in arrays if a is not None]
        records = _records(metadata, len(arrays))
        if not present:
            return sample, metadata
        shape = present[0].shape
        zooms = _zooms(records[0], len(shape))
        step = self.recall(shape, zooms, records[0])
        if step is None:
            step = self.plan(shape, zooms, fresh_rng(), roi=present[0] if self.needs_roi else None)
        out = [None if a is None else step.apply(a[None], _order(records[0]))[0] for a in arrays]
        out = [
            as_type(x, a.dtype) if x is not None and (self.keeps_type or a.dtype.kind == "f") else x
            for x, a in zip(out, arrays, strict=True)
        ]
        remembered = [_remember(r, type(self).__name__, step) for r in records]
        return pack(out), remembered if isinstance(metadata, (list, tuple)) else remembered[0]

    def undo_transform(self, sample: Any, metadata: Any = None) -> tuple[Any, Any]:
        """Undo what `__call__` recorded in `metadata`.

        Intensity transforms, and those of a user that do not implement it, leave the sample as it is.

        Raises:
            DataError: `metadata` hold no record of this transform.
        """
        arrays, pack = _unpack(sample)
        if not self.geometric or not arrays or self.is_call:
            return sample, metadata
        record = _records(metadata, 1)[0]
        step = _steps(record).get(type(self).__name__)
        if step is None:
            raise DataError(
                f"{type(self).__name__}.undo_transform: the metadata hold no record of the transform; "
                "pass the metadata that the call returned"
            )
        out = [
            None if a is None else as_type(step.invert(a[None], _order(record))[0], a.dtype) for a in arrays
        ]
        return pack(out), metadata


def as_type(x: np.ndarray, dtype: np.dtype[Any]) -> np.ndarray:
    """Convert an array; to whole numbers and booleans it is rounded, halves away from 0, and kept in their range."""
    if x.dtype == dtype or np.issubdtype(dtype, np.floating):
        return x.astype(dtype, copy=False)
    rounded = np.trunc(x + np.copysign(0.5, x))
    if dtype.kind == "b":
        return rounded != 0
    limits = np.iinfo(dtype)
    return rounded.clip(limits.min, limits.max).astype(dtype)


def fresh_rng() -> np.random.Generator:
    """Return a generator seeded from torch's global one, which every DataLoader worker seeds differently."""
    return np.random.default_rng(int(torch.randint(2**62, ())))


def _unpack(sample: Any) -> tuple[list[Any], Callable[[list[Any]], Any]]:
    """Split a sample into its arrays, and return with them the function that packs them again."""
    if sample is None:
        return [], lambda out: None
    if isinstance(sample, torch.Tensor):
        return list(sample.numpy()), lambda out: torch.from_numpy(np.stack(out))
    if isinstance(sample, np.ndarray):
        return [sample], lambda out: out[0]
    return [None if a is None else np.asarray(a) for a in sample], lambda out: out


def _records(metadata: Any, n: int) -> list[Any]:
    """List the metadata of `n` arrays; a single record serves all."""
    if isinstance(metadata, (list, tuple)):
        return list(metadata) or [{}]
    return [{} if metadata is None else metadata]


def _steps(metadata: Any) -> Mapping[str, Step]:
    return metadata.get(STEPS_KEY) or {}


def _order(metadata: Any) -> int:
    return ORDERS[metadata.get("data_type", "im")]


def _zooms(metadata: Any, ndim: int) -> tuple[float, ...]:
    """Voxel size along the first `ndim` axes; 1 mm where the metadata say nothing."""
    zooms = tuple(float(z) for z in (metadata.get("zooms") or ()))[:ndim]
    return zooms + (1.0,) * (ndim - len(zooms))


def _remember(metadata: Any, name: str, step: Step) -> Any:
    """Copy `metadata` with the step and the documented keys that describe it."""
    new = copy.copy(metadata)
    new[STEPS_KEY] = {**_steps(metadata), name: step}
    for key, value in step.drawn.items():
        new[key] = {**(metadata.get(key) or {}), **value} if isinstance(value, dict) else value
    return new
