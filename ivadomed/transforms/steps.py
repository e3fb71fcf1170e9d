"""The grid a transform is planned for, and the steps it plans."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, ClassVar, TypeAlias, TypeVar

import numpy as np
from torch import Tensor

S = TypeVar("S", bound="Step")

KINDS: tuple[str, ...] = ("im", "gt", "roi")
"""Kinds of array that a configuration can name."""

IGNORE = "ignore"
"""Kind of the mask of ignored voxels: it moves as the label does, but no step changes its values."""


@dataclass(frozen=True, eq=False)
class Frame:
    """Grid of one sample.

    Attributes:
        shape: Spatial shape, 2 or 3 entries.
        zooms: Voxel size in mm along these axes.
        roi: Mask of the region of interest, `[*shape]` or one per leading entry `[C, *shape]`.
    """

    shape: tuple[int, ...]
    zooms: tuple[float, ...]
    roi: np.ndarray | None = None


BatchStep: TypeAlias = Callable[[Tensor], Tensor]
"""Change of `[B, C, *spatial]`: steps of the samples of a batch, done together; a dataclass where it holds tensors."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Step(ABC):
    """Record of what one transform does to one case, invertible, without randomness left in it.

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

    @classmethod
    def on(cls: type[S], frame: Frame, **fields: Any) -> S:
        """Build the step on a frame, which it keeps unless `shape_out` or `zooms_out` are among the fields."""
        fields.setdefault("shape_out", frame.shape)
        fields.setdefault("zooms_out", frame.zooms)
        return cls(shape_in=frame.shape, zooms_in=frame.zooms, **fields)

    @property
    def frame(self) -> Frame:
        """Grid before."""
        return Frame(self.shape_in, self.zooms_in)

    @property
    def frame_out(self) -> Frame:
        """Grid after."""
        return Frame(self.shape_out, self.zooms_out)

    @property
    def batch_key(self) -> Hashable:
        """Equal for steps of this class that one operation on a batch can do; None for those on arrays alone."""
        return None

    @classmethod
    def batch(cls, steps: Sequence[Any]) -> BatchStep:
        """Lay steps of the samples of a batch side by side; all have the same `batch_key`, which is not None."""
        raise NotImplementedError

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

    def invert(self, x: np.ndarray, order: int) -> np.ndarray:
        """Bring `[C, *shape_out]` back to `[C, *shape_in]`; what was cropped away is zero."""
        return x


class IdentityStep(Step):
    """Changes nothing: a random transform that did not fire, or one without an array effect."""

    def apply(self, x: np.ndarray, order: int) -> np.ndarray:
        """Return `x`."""
        return x


@dataclass(frozen=True, eq=False, kw_only=True)
class ArrayStep(Step):
    """Changes values, not the grid, by a function of arrays.

    Attributes:
        function: Maps `[C, *shape]` to `[C, *shape]`, every entry of C on its own; picklable, deterministic.
    """

    function: Callable[[np.ndarray], np.ndarray]
    invertible: ClassVar[bool] = False

    def apply(self, x: np.ndarray, order: int) -> np.ndarray:
        """Apply `function`; `order` has no meaning here."""
        return self.function(x)


@dataclass(frozen=True, eq=False, kw_only=True)
class IntensityStep(Step):
    """Changes values, not the grid, by a function of batches, arrays or tensors.

    Attributes:
        function: Maps `[B, C, *shape]` to the same, one of `intensity_maths`.
        arguments: Its arguments for one sample; a batch has a list of them for each.
    """

    function: Callable[..., Any]
    arguments: Mapping[str, Any] = field(default_factory=dict)
    invertible: ClassVar[bool] = False

    def apply(self, x: np.ndarray, order: int) -> np.ndarray:
        """Apply `function` to a batch of one; `order` has no meaning here."""
        arguments = {key: [value] for key, value in self.arguments.items()}
        return self.function(np.asarray(x, dtype=np.float32)[None], **arguments)[0]

    @property
    def batch_key(self) -> Hashable:
        """One function, whatever its arguments."""
        return self.function

    @classmethod
    def batch(cls, steps: Sequence[IntensityStep]) -> partial[Any]:
        """List the arguments."""
        first = steps[0]
        return partial(first.function, **{k: [step.arguments[k] for step in steps] for k in first.arguments})
