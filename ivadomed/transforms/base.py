"""Base class of the transforms, and steps of transforms that only implement a call.

`ImedTransform.plan` draws the random numbers and returns a `Step`; the same step then applies to image, label
and ROI, and inverts a prediction. The documented call ``transform(sample, metadata)`` and its
``undo_transform`` are a single adapter here: it looks up the step recorded in the metadata, plans one if there
is none, and returns metadata with the step, so that the next call with them repeats the same geometry.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar, TypeVar

import numpy as np
import torch
from typing_extensions import dataclass_transform

from ivadomed.errors import ConfigError, DataError
from ivadomed.registry import Registry
from ivadomed.runtime.randomness import seeded
from ivadomed.transforms.steps import IGNORE, KINDS, Frame, IdentityStep, Step

ORDERS: Mapping[str, int] = {"im": 2, "gt": 1, "roi": 1}
"""Interpolation order of the documented call, by ``metadata["data_type"]``."""

STEPS_KEY = "steps"
"""Metadata key under which the adapter keeps ``{class name: Step}``."""

OLD_NAMES: Mapping[str, str] = {
    "CenterCrop2D": "CenterCrop",
    "CenterCrop3D": "CenterCrop",
    "ROICrop2D": "ROICrop",
    "Clage": "Clahe",
    "AdditionGaussianNoise": "AdditiveGaussianNoise",
}

_SELECTION = ("applied_to", "dataset_type")  # keys of any entry that are not class arguments


@dataclass(frozen=True, eq=False, kw_only=True)
class CalledStep(Step):
    """A transform that only implements a call, see `ImedTransform`; the grid is unchanged.

    Image and label are transformed with the same random numbers, and metadata written by the call on the image are
    available for the label.

    Attributes:
        transform: The transform.
        seed: Seed of its random numbers.
        record: Metadata shared by the calls; filled by the first.
    """

    transform: ImedTransform
    seed: int
    record: dict[str, Any] = field(default_factory=dict)

    def apply(self, x: np.ndarray, order: int) -> np.ndarray:
        """Call the transform on an image."""
        return self.apply_as(x, "im", order)

    def apply_as(self, x: np.ndarray, kind: str, order: int) -> np.ndarray:
        """Call the transform on the arrays of `x` as a list; ignored voxels are passed as a label."""
        data_type = "gt" if kind == IGNORE else kind
        records = [{"zooms": self.zooms_in, **self.record, "data_type": data_type} for _ in x]
        with seeded(self.seed):
            out, metadata = run(self.transform, list(x), records)
        first = metadata[0] if isinstance(metadata, (list, tuple)) else metadata
        self.record.update(first or {})
        return self._checked(out, self.shape_out)

    def invert(self, x: np.ndarray, order: int) -> np.ndarray:
        """Call `undo_transform` of the transform."""
        records = [{**self.record, "data_type": "gt"} for _ in x]
        out, _ = run(self.transform, list(x), records, undo=True)
        return self._checked(out, self.shape_in)

    def _checked(self, arrays: Any, shape: tuple[int, ...]) -> np.ndarray:
        out = np.stack([np.asarray(array) for array in arrays])
        if out.shape[1:] != shape:
            raise DataError(
                f"{type(self.transform).__name__}: returns {out.shape[1:]} for {shape} voxels; a transform that "
                "changes the shape must implement plan, which declares the new shape"
            )
        return out


def run(transform: ImedTransform, sample: Any, metadata: Any, undo: bool = False) -> tuple[Any, Any]:
    """Call a transform, or its `undo_transform`, on a sample: an array, or a list with one array per channel.

    A user-defined transform that does not support lists is called on each array in turn.

    Raises:
        DataError: The number of returned arrays differs, or the result is not a pair.
    """
    function = transform.undo_transform if undo else transform
    if not transform.is_call:
        return function(sample, metadata)
    if not isinstance(sample, (list, tuple)):
        return _pair(transform, function(sample, metadata))
    try:
        out, records = _pair(transform, function(sample, metadata))
    except (TypeError, AttributeError):
        given = metadata if isinstance(metadata, (list, tuple)) else [metadata] * len(sample)
        out, records = one_by_one(lambda x, record: _pair(transform, function(x, record)), sample, given)
    if len(out) != len(sample):
        raise DataError(
            f"{type(transform).__name__}: returned {len(out)} arrays for {len(sample)}; a transform receives a list "
            "with one array per channel (the decorator multichannel_capable passes them one by one)"
        )
    return out, records


def one_by_one(
    function: Callable[[Any, Any], tuple[Any, Any]], arrays: Sequence[Any], metadata: Sequence[Any]
) -> tuple[list[Any], list[Any]]:
    """Call a function on arrays in turn; metadata written by the first call are available to the others."""
    out: list[Any] = []
    records: list[Any] = []
    for array, record in zip(arrays, metadata, strict=True):
        if records and record is not None and records[0] is not None:
            for key, value in records[0].items():
                if key not in record or not record[key]:
                    record[key] = value
        array, record = function(array, record)
        out.append(array)
        records.append(record)
    return out, records


def _pair(transform: ImedTransform, answer: Any) -> tuple[Any, Any]:
    if not isinstance(answer, tuple) or len(answer) != 2:
        raise DataError(
            f"{type(transform).__name__}: its call and undo_transform must return the sample and the metadata, got "
            f"{type(answer).__name__}"
        )
    return answer


class ImedTransform:
    """Base class of the transforms.

    A transform implements `draw`, from which its call and its inverse follow. A user-defined transform may implement
    just ``__call__(sample, metadata)``, and ``undo_transform(sample, metadata)`` if it moves voxels: sample is a list
    with one array per channel, metadata a list of mappings; both are returned. Without `draw`, it must keep the shape.

    Attributes:
        fixed: True if the result depends only on the case (no randomness): applied once and cached.
        needs_roi: True if `draw` reads the region of interest.
        geometric: True if the transform moves voxels, hence has an inverse.
        crops: True if it crops to a box of its argument `size`.
        resamples: True if it changes the voxel size.
        keeps_type: False if the documented call converts integers to float32; otherwise, results are rounded.
        default_kinds: Kinds of arrays it is applied to by default, without ``applied_to``.
        configurable: False if it is no longer allowed in configurations.
        is_call: True if the class implements only a call, without `draw`.
    """

    fixed: ClassVar[bool] = False
    needs_roi: bool = False
    geometric: ClassVar[bool] = True
    crops: ClassVar[bool] = False
    resamples: ClassVar[bool] = False
    keeps_type: ClassVar[bool] = True
    default_kinds: ClassVar[frozenset[str]] = frozenset(KINDS)
    configurable: ClassVar[bool] = True
    is_call: ClassVar[bool] = False

    def __init_subclass__(cls) -> None:
        """See `is_call`."""
        super().__init_subclass__()
        places = {name: i for i, c in reversed([*enumerate(cls.__mro__)]) for name in vars(c)}
        cls.is_call = places["__call__"] < min(places["draw"], places["plan"])

    def __post_init__(self) -> None:
        """Convert the arguments of a class registered with `transform` to their declared types.

        Raises:
            ConfigError: An argument has a wrong type or is out of range.
        """
        # Pydantic is needed only to build transforms.
        from ivadomed.registry.section import parse_arguments

        declared = next(cls for cls in type(self).__mro__ if "__dataclass_fields__" in vars(cls))
        given = {entry.name: _plain(getattr(self, entry.name)) for entry in fields(declared)}
        values, problems = parse_arguments(declared, given)
        if problems:
            raise ConfigError("\n".join(f"transformation.{declared.__name__}.{line}" for line in problems))
        vars(self).update(values)

    @property
    def probability(self) -> float | None:
        """Probability of applying the transform, its argument `p`; None: always, without a draw."""
        return getattr(self, "p", None)

    def plan(self, frame: Frame, rng: np.random.Generator) -> Step:
        """Determine what to do with a case; the only place where random numbers are drawn."""
        probability = None if self.is_call else self.probability
        if probability is not None and rng.random() >= probability:
            return IdentityStep.on(frame)
        return self.draw(frame, rng)

    def draw(self, frame: Frame, rng: np.random.Generator) -> Step:
        """Draw the step of a transform that is applied, see `plan`."""
        if not self.is_call:
            raise NotImplementedError(
                f"{type(self).__name__}: implements neither __call__(sample, metadata) nor plan"
            )
        return CalledStep.on(frame, transform=self, seed=int(rng.integers(2**62)))

    def __repr__(self) -> str:
        """Name and parameters; equal for equal transforms in every process, so usable as a cache key."""
        arguments = ", ".join(f"{name}={value!r}" for name, value in sorted(vars(self).items()))
        return f"{type(self).__name__}({arguments})"

    def recall(self, frame: Frame, metadata: Any) -> Step | None:
        """Return the step recorded in `metadata` for this shape, or None."""
        step = _steps(metadata).get(type(self).__name__)
        return step if step is not None and step.shape_in == frame.shape else None

    def __call__(self, sample: Any, metadata: Any = None) -> tuple[Any, Any]:
        """Transform a sample.

        Args:
            sample: Array [H, W] or [H, W, D], a list of them (channels or classes), or a tensor [C, ...].
            metadata: Mapping with ``zooms`` (mm) and ``data_type`` ("im", "gt", "roi"), or a list of them.
                Draws recorded in it are reused.

        Returns:
            The transformed sample, of the type of the input (see `keeps_type`), and new metadata that record the draw.
            The arguments are not changed.
        """
        arrays, pack = _unpack(sample)
        present = [a for a in arrays if a is not None]
        records = _records(metadata, len(arrays))
        if not present:
            return sample, metadata
        shape = present[0].shape
        frame = Frame(shape, _zooms(records[0], len(shape)), present[0] if self.needs_roi else None)
        step = self.recall(frame, records[0])
        if step is None:
            step = self.plan(frame, fresh_rng())
        out = [None if a is None else step.apply(a[None], _order(records[0]))[0] for a in arrays]
        out = [
            as_type(x, a.dtype) if x is not None and (self.keeps_type or a.dtype.kind == "f") else x
            for x, a in zip(out, arrays, strict=True)
        ]
        remembered = [_remember(r, type(self).__name__, step) for r in records]
        return pack(out), remembered if isinstance(metadata, (list, tuple)) else remembered[0]

    def undo_transform(self, sample: Any, metadata: Any = None) -> tuple[Any, Any]:
        """Undo what `__call__` recorded in `metadata`.

        Intensity transforms, and user-defined ones without this method, return the sample unchanged.

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
                f"{type(self).__name__}.undo_transform: the metadata contain no record of the transform; "
                "pass the metadata that the call returned"
            )
        out = [
            None if a is None else as_type(step.invert(a[None], _order(record))[0], a.dtype) for a in arrays
        ]
        return pack(out), metadata


TRANSFORMS: Registry[type[ImedTransform]] = Registry(
    ImedTransform,
    place="transformation.{name}:",
    unknown="transformation.{name}: no such transform",
    no_argument="transformation.{name}.{key}: no such argument{hint} Accepted: {known}.",
    expected="transform; expected a subclass of transforms.ImedTransform",
)
"""Transforms available in a configuration; classes can be added."""

T = TypeVar("T", bound=ImedTransform)


@dataclass_transform(eq_default=False)
def transform(cls: type[T]) -> type[T]:
    """Decorator that registers a transform; annotated attributes are its arguments, as in a dataclass."""
    cls = dataclass(eq=False, repr=False)(cls)
    TRANSFORMS.register(cls)
    return cls


def _plain(value: Any) -> Any:
    """Convert numpy numbers and lists to Python's."""
    if isinstance(value, (list, tuple)):
        return type(value)(map(_plain, value))
    return value.tolist() if isinstance(value, (np.ndarray, np.generic)) else value


def current_name(name: str) -> str:
    """Return the current name of a transform, with a DeprecationWarning for an old one."""
    if name not in OLD_NAMES:
        return name
    new = OLD_NAMES[name]
    warnings.warn(f"the transform {name} is called {new} since 2.0", DeprecationWarning, stacklevel=3)
    return new


def build(name: str, arguments: Mapping[str, Any]) -> ImedTransform:
    """Build a transform from its entry in the configuration, ignoring ``applied_to`` and ``dataset_type``.

    Args:
        name: A key of `TRANSFORMS`, or ``package.module:Class``, which is imported.
        arguments: Arguments of the class, and the two keys.

    Raises:
        ConfigError: Unknown name, unknown or missing argument, or a value out of range.
    """
    chosen = {key: value for key, value in arguments.items() if key not in _SELECTION}
    return TRANSFORMS.build(current_name(name), chosen)


def as_type(x: np.ndarray, dtype: np.dtype[Any]) -> np.ndarray:
    """Convert an array; for integers and booleans, values are rounded (halves away from 0) and clipped."""
    if x.dtype == dtype or np.issubdtype(dtype, np.floating):
        return x.astype(dtype, copy=False)
    rounded = np.trunc(x + np.copysign(0.5, x))
    if dtype.kind == "b":
        return rounded != 0
    limits = np.iinfo(dtype)
    return rounded.clip(limits.min, limits.max).astype(dtype)


def fresh_rng() -> np.random.Generator:
    """Return a generator seeded from torch's global one, which differs between DataLoader workers."""
    return np.random.default_rng(int(torch.randint(2**62, ())))


def _unpack(sample: Any) -> tuple[list[Any], Callable[[list[Any]], Any]]:
    """Split a sample into its arrays; also return the function that packs them again."""
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
    """Voxel size along the first `ndim` axes; 1 mm if the metadata do not specify it."""
    zooms = tuple(float(z) for z in (metadata.get("zooms") or ()))[:ndim]
    return zooms + (1.0,) * (ndim - len(zooms))


def _remember(metadata: Any, name: str, step: Step) -> Any:
    """Copy `metadata` with the step and the documented keys that describe it."""
    new = copy.copy(metadata)
    new[STEPS_KEY] = {**_steps(metadata), name: step}
    for key, value in step.drawn.items():
        new[key] = {**(metadata.get(key) or {}), **value} if isinstance(value, dict) else value
    return new
