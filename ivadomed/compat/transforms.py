"""API of ivadomed 2.x around the transforms: `Compose`, `UndoCompose`, their helpers, decorators of user-written calls.

They chain the documented call of each transform; the package itself runs on `pipeline.Pipeline`.
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from ivadomed.errors import ConfigError
from ivadomed.transforms.base import STEPS_KEY, TRANSFORMS, ImedTransform, current_name, one_by_one, run
from ivadomed.transforms.label import NumpyToTensor
from ivadomed.transforms.pipeline import Pipeline, Stage
from ivadomed.transforms.steps import KINDS

DATASET_TYPES = ("training", "validation", "testing")

_DRAWN = "crop_params preresample_shape rotation scale translation elastic reverse"
TRANSFORM_PARAMS = (*_DRAWN.split(), STEPS_KEY)
"""Metadata keys of parameters drawn by transforms."""


class Chain(list[ImedTransform]):
    """Transforms applied sequentially."""

    @property
    def transforms(self) -> list[ImedTransform]:
        """The transforms."""
        return list(self)

    def __call__(self, sample: Any, metadata: Any = None) -> tuple[Any, Any]:
        """Apply them to a sample with its metadata."""
        for entry in self:
            sample, metadata = run(entry, sample, metadata)
        return sample, metadata


class Compose:
    """Apply the transforms of a configuration, split between images, labels and ROIs.

    Args:
        dict_transforms: ``{name: arguments}``, `applied_to` among the arguments; a custom transform as
            ``{"package.module:Class": arguments}`` or ``{any name: transform}``.
        requires_undo: Kept for its callers: every transform can be undone now, so none is left out.

    Attributes:
        transform: The transforms by kind, ``{"im": [...], "gt": [...], "roi": [...]}``, each a `Chain`.
    """

    def __init__(
        self,
        dict_transforms: Mapping[str, Mapping[str, Any] | ImedTransform | None],
        requires_undo: bool = False,
    ) -> None:
        self.requires_undo = requires_undo
        stages = Pipeline.from_config(dict_transforms).stages
        self.transform: dict[str, Chain] = {
            kind: Chain(s.transform for s in stages if kind in s.applied_to) for kind in KINDS
        }

    def __call__(self, sample: Any, metadata: Any, data_type: str = "im", preprocessing: bool = False) -> Any:
        """Transform a sample.

        Args:
            sample: Array or list of arrays, [H, W] or [H, W, D].
            metadata: Its metadata, or a list of them.
            data_type: "im", "gt" or "roi".
            preprocessing: True returns arrays, False a tensor [C, ...].

        Returns:
            Transformed sample and metadata; (None, None) if there is no sample.
        """
        if sample is None or metadata is None or (isinstance(metadata, list) and not metadata):
            return None, None
        before = Chain(t for t in self.transform[data_type] if not isinstance(t, NumpyToTensor))
        sample, metadata = before(sample, metadata)
        return (sample, metadata) if preprocessing else NumpyToTensor()(sample, metadata)


class UndoTransform:
    """Undo one transform.

    Args:
        transform: The transform.
    """

    def __init__(self, transform: ImedTransform) -> None:
        self.transform = transform

    def __call__(self, sample: Any, metadata: Any = None) -> tuple[Any, Any]:
        """Return the sample as it was before, and the metadata."""
        return run(self.transform, sample, metadata, undo=True)


class UndoCompose:
    """Undo the transforms of a `Compose`, last one first.

    Args:
        compose: What was applied.
    """

    def __init__(self, compose: Compose) -> None:
        self.transforms = compose

    def __call__(self, sample: Any, metadata: Any, data_type: str = "gt") -> tuple[Any, Any]:
        """Undo.

        Args:
            sample: Tensor [C, ...], array or list of arrays.
            metadata: What `Compose` returned.
            data_type: Which kind's transforms to undo.

        Returns:
            List of arrays (one array if an array was given) and the metadata.
        """
        if isinstance(sample, torch.Tensor):
            sample, metadata = NumpyToTensor().undo_transform(sample, metadata)
        for entry in reversed(self.transforms.transform[data_type]):
            sample, metadata = run(entry, sample, metadata, undo=True)
        return sample, metadata


Transforms = Pipeline | Compose | Mapping[str, Mapping[str, Any]] | Sequence[Compose | None] | None
"""A pipeline, a configuration, or what ``prepare_transforms`` gives."""


def as_pipeline(transform: Transforms) -> Pipeline:
    """Any documented form of transforms as a pipeline."""
    if isinstance(transform, Pipeline):
        return transform
    if transform is None or isinstance(transform, Mapping):
        return Pipeline.from_config(transform or {})
    if not isinstance(transform, Compose):
        return Pipeline(tuple(stage for part in transform for stage in as_pipeline(part).stages))
    members = {kind: {id(step): step for step in transform.transform[kind]} for kind in KINDS}
    steps = {key: step for kind in KINDS for key, step in members[kind].items()}
    return Pipeline(
        tuple(Stage(step, frozenset(k for k in KINDS if key in members[k])) for key, step in steps.items())
    )


def get_subdatasets_transforms(
    transform_params: Mapping[str, Mapping[str, Any]],
) -> tuple[dict[str, dict[str, Any]], dict[str, dict[str, Any]], dict[str, dict[str, Any]]]:
    """Select the transforms of each subset by their ``dataset_type``.

    Returns:
        Transforms for training, validation and testing, without the key ``dataset_type``.

    Raises:
        ConfigError: A ``dataset_type`` is not one of training, validation, testing.
    """
    chosen: tuple[dict[str, dict[str, Any]], ...] = ({}, {}, {})
    for name, arguments in transform_params.items():
        subsets = arguments.get("dataset_type") or DATASET_TYPES
        subsets = [subsets] if isinstance(subsets, str) else subsets
        unknown = set(subsets) - set(DATASET_TYPES)
        if unknown:
            raise ConfigError(
                f"transformation.{name}.dataset_type: {sorted(unknown)}; use {', '.join(DATASET_TYPES)}"
            )
        for subset, target in zip(DATASET_TYPES, chosen, strict=True):
            if subset in subsets:
                target[name] = {k: copy.copy(v) for k, v in arguments.items() if k != "dataset_type"}
    return chosen[0], chosen[1], chosen[2]


def get_preprocessing_transforms(transforms: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Select the transforms that run once per case, before slices and patches are taken."""
    return {
        name: dict(arguments)
        for name, arguments in transforms.items()
        if not isinstance(arguments, ImedTransform) and TRANSFORMS.find(current_name(name)).fixed
    }


def prepare_transforms(
    transform_dict: Mapping[str, Mapping[str, Any]], requires_undo: bool = True
) -> tuple[list[Compose | None], UndoCompose | None]:
    """Separate the preprocessing from the other transforms.

    Returns:
        ``[preprocessing or None, the rest]`` and what undoes both, None without `requires_undo`.
    """
    before = get_preprocessing_transforms(transform_dict)
    after = {name: arguments for name, arguments in transform_dict.items() if name not in before}
    undo = UndoCompose(Compose({**before, **after}, requires_undo)) if requires_undo else None
    return [Compose(before, requires_undo) if before else None, Compose(after, requires_undo)], undo


def apply_preprocessing_transforms(
    transforms: Compose | None, seg_pair: Mapping[str, Any], roi_pair: Mapping[str, Any] | None = None
) -> tuple[Mapping[str, Any], Mapping[str, Any] | None]:
    """Preprocess an image with its label and ROI on the same grid.

    Args:
        transforms: Preprocessing transforms; None changes nothing.
        seg_pair: ``input``, ``gt``, ``input_metadata``, ``gt_metadata``.
        roi_pair: ``gt`` (the ROI) and ``gt_metadata``.

    Returns:
        The two pairs with transformed arrays and metadata.
    """
    if transforms is None:
        return seg_pair, roi_pair
    input_metadata = seg_pair["input_metadata"]
    known = frozenset(_keys(input_metadata) or ())  # before a transform writes into the metadata it is given
    if roi_pair is not None:
        roi, roi_metadata = transforms(
            roi_pair["gt"], roi_pair["gt_metadata"], data_type="roi", preprocessing=True
        )
        input_metadata = _share(roi_metadata, input_metadata)
    image, input_metadata = transforms(seg_pair["input"], input_metadata, data_type="im", preprocessing=True)
    written = frozenset(_keys(input_metadata) or ()) - known
    gt_metadata = _share(input_metadata, seg_pair["gt_metadata"], written)
    gt, gt_metadata = transforms(seg_pair["gt"], gt_metadata, data_type="gt", preprocessing=True)
    shared = {"input": image, "input_metadata": input_metadata}
    pair = {**seg_pair, **shared, "gt": gt, "gt_metadata": gt_metadata}
    if roi_pair is None:
        return pair, None
    return pair, {**roi_pair, **shared, "gt": roi, "gt_metadata": roi_metadata}


def _keys(records: Any) -> Any:
    """Keys of the metadata, or of the first of a list of them."""
    first = records[0] if isinstance(records, list) and records else records
    return None if first is None else list(first.keys()) if not isinstance(first, list) else _keys(first)


def _share(source: Any, target: Any, written: Iterable[str] = ()) -> Any:
    """Copy metadata (or a list of them) with what was drawn for `source`, and what else transforms wrote into it."""
    first = source[0] if isinstance(source, list) and source else source
    if isinstance(target, list):
        return [_share(first, t, written) for t in target]
    if not first or target is None:
        return target
    new = copy.copy(target)
    for key in (*TRANSFORM_PARAMS, *written):
        if key in first:
            new[key] = first[key]
    return new


def multichannel_capable(wrapped: Callable[..., Any]) -> Callable[..., Any]:
    """Let a method written for one array accept a list of channels.

    Channels are processed sequentially; the parameters recorded in the metadata of the first one are passed
    to the next, so all get the same random numbers.
    """

    @functools.wraps(wrapped)
    def wrapper(self: Any, sample: Any, metadata: Any = None) -> tuple[Any, Any]:
        if not isinstance(sample, list):
            return wrapped(self, sample, metadata)
        given = metadata if isinstance(metadata, list) else [metadata] * len(sample)
        return one_by_one(lambda x, record: wrapped(self, x, record), sample, given)

    return wrapper


def two_dim_compatible(wrapped: Callable[..., Any]) -> Callable[..., Any]:
    """Let a method written for [H, W, D] accept [H, W]: a slice axis is added before and removed after."""

    @functools.wraps(wrapped)
    def wrapper(self: Any, sample: Any, metadata: Any = None) -> tuple[Any, Any]:
        if sample.ndim != 2:
            return wrapped(self, sample, metadata)
        out, metadata = wrapped(self, np.expand_dims(sample, -1), metadata)
        return np.squeeze(out, axis=-1), metadata

    return wrapper


def tio_transform(x: np.ndarray, transform: Callable[..., Any]) -> tuple[np.ndarray, Any]:
    """Apply a TorchIO transform to one image.

    Args:
        x: [H, W, D].
        transform: A transform of the torchio library, which the caller has installed.

    Returns:
        The transformed image [H, W, D] and TorchIO's history of the transform.
    """
    import torchio  # not a dependency: present when the caller holds one of its transforms

    subject = torchio.Subject(input=torchio.ScalarImage(tensor=np.ascontiguousarray(x)[None]))
    transformed = transform(subject)
    return transformed.input.numpy()[0], transformed.get_composed_history()
