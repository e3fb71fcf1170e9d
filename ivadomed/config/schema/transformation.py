"""`transformation`: the chain of transforms, in the order of the keys."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer

from ivadomed.registry.section import OrderedSteps, Section
from ivadomed.registry.types import DatasetType


class Transform(Section):
    """Keys of every transform; the others are arguments of its class."""

    applied_to: tuple[Literal["im", "gt", "roi"], ...] | None = Field(
        default=None,
        description="Kinds of data it is applied to: `im`, `gt`, `roi`. null: all three; the image alone for "
        "RandomBrightness, RandomContrast, RandomLowResolution and NormalizePercentile.",
        examples=[["im", "gt"]],
    )
    dataset_type: tuple[DatasetType, ...] | None = Field(
        default=None,
        description="Sets it is applied to: `training`, `validation`, `testing`. null: all three.",
        examples=[["training"]],
    )

    @model_serializer(mode="wrap")
    def _without_idle_flags(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # Packaged models are read by older versions too, which refuse keys that they do not know.
        fields = type(self).model_fields
        idle = {
            key for key, field in fields.items() if field.default is False and getattr(self, key) is False
        }
        return {key: value for key, value in handler(self).items() if key not in idle}

    def used_in(self, dataset_type: str) -> bool:
        """True if the transform is part of the chain of that set."""
        return self.dataset_type is None or dataset_type in self.dataset_type

    @property
    def arguments(self) -> dict[str, Any]:
        """Keyword arguments (JSON-ready) and `applied_to`; keys left at null are absent."""
        return self.model_dump(mode="json", exclude={"dataset_type"}, exclude_none=True)

    @property
    def crops(self) -> bool:
        """True if it cuts out a box, of its argument `size`."""
        return getattr(self.entry, "crops", False)

    @property
    def resamples(self) -> bool:
        """True if it changes the voxel size."""
        return getattr(self.entry, "resamples", False)

    @property
    def needs_roi(self) -> bool:
        """True if it reads the region of interest."""
        return getattr(self.entry, "needs_roi", False)


class Transformation(OrderedSteps):
    """Transforms in the order in which they are applied."""

    @property
    def chain(self) -> dict[str, Any]:
        """Name -> transform, in the order in which they are applied."""
        return self.steps
