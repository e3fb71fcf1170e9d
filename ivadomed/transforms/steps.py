"""The grid that a transform is planned for, and the steps it plans."""

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
"""Kinds of arrays that can be configured."""

IGNORE = "ignore"
"""Kind of the mask of ignored voxels: it moves with the label, but no step changes its values."""


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
"""Change of `[B, C, *spatial]`: combined steps of the samples of a batch; a dataclass if it holds tensors."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Step(ABC):
    """Record of the effect of one transform on one case, invertible and without randomness.

    Attributes:
        shape_in: Spatial shape before, 2 or 3 entries.
        shape_out: Spatial shape after.
        zooms_in: Voxel size before, mm along the spatial axes.
        zooms_out: Voxel size after.
        drawn: Parameters of this step, under the metadata keys of ivadomed 2.9.10.
        invertible: False for intensity-only steps; their `invert` is the identity.
        pooled: True if joint processing is cheaper, so that image and label are processed together.
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
        """Build the step on a frame; `shape_out` and `zooms_out` default to those of the frame."""
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
        """Key equal for steps of this class that can be batched; None for steps on arrays only."""
        return None

    @classmethod
    def batch(cls, steps: Sequence[Any]) -> BatchStep:
        """Combine the steps of the samples of a batch; all have the same `batch_key`, which is not None."""
        raise NotImplementedError

    def apply_as(self, x: np.ndarray, kind: str, order: int) -> np.ndarray:
        """Transform an array of a kind ("im", "gt", "roi"), see `apply`; most steps ignore the kind."""
        return self.apply(x, order)

    @abstractmethod
    def apply(self, x: np.ndarray, order: int) -> np.ndarray:
        """Transform an array.

        Args:
            x: `[C, *shape_in]`; C counts channels, or the slices of a volume in 2D.
            order: Interpolation order: 2 image, 1 binary or soft label, 0 integer map.

        Returns:
            `[C, *shape_out]`; possibly a view of `x`, which is never changed in place.
        """

    def invert(self, x: np.ndarray, order: int) -> np.ndarray:
        """Map `[C, *shape_out]` back to `[C, *shape_in]`; cropped regions become zero."""
        return x


class IdentityStep(Step):
    """Identity: a random transform that was skipped, or one without effect on arrays."""

    def apply(self, x: np.ndarray, order: int) -> np.ndarray:
        """Return `x`."""
        return x


@dataclass(frozen=True, eq=False, kw_only=True)
class ArrayStep(Step):
    """Changes values, not the grid, with a function of arrays.

    Attributes:
        function: Maps `[C, *shape]` to `[C, *shape]`, each entry of C independently; picklable, deterministic.
    """

    function: Callable[[np.ndarray], np.ndarray]
    invertible: ClassVar[bool] = False

    def apply(self, x: np.ndarray, order: int) -> np.ndarray:
        """Apply `function`; `order` is ignored."""
        return self.function(x)


@dataclass(frozen=True, eq=False, kw_only=True)
class IntensityStep(Step):
    """Changes values, not the grid, with a function of batches, as arrays or tensors.

    Attributes:
        function: Maps `[B, C, *shape]` to the same, one of `intensity_maths`.
        arguments: Arguments for one sample; in a batch, each is a list.
    """

    function: Callable[..., Any]
    arguments: Mapping[str, Any] = field(default_factory=dict)
    invertible: ClassVar[bool] = False

    def apply(self, x: np.ndarray, order: int) -> np.ndarray:
        """Apply `function` to a batch of one; `order` is ignored."""
        arguments = {key: [value] for key, value in self.arguments.items()}
        return self.function(np.asarray(x, dtype=np.float32)[None], **arguments)[0]

    @property
    def batch_key(self) -> Hashable:
        """The function, regardless of its arguments."""
        return self.function

    @classmethod
    def batch(cls, steps: Sequence[IntensityStep]) -> partial[Any]:
        """List the arguments."""
        first = steps[0]
        return partial(first.function, **{k: [step.arguments[k] for step in steps] for k in first.arguments})
