"""BIDS to HDF5: the images of each subject side by side, after the fixed steps of preprocessing.

Layout, that of ivadomed 2.9.10::

    /                    patients_id, slice_axis, slice_filter_fn [[name, value]], metadata_choice
    /sub-01              contrast [names], slices [those that the filter keeps in every contrast]
    /sub-01/inputs/T1w   [D, H, W] float32; input_filenames, data_type, zooms, data_shape
    /sub-01/gt/T1w       [D, H, W], or [K, D, H, W] with K classes; gt_filenames, ...
    /sub-01/roi/T1w      [D, H, W]; roi_filename, ...

Ours in addition: ``affine`` and ``shape`` of the image in its file, and ``metadata``, the sidecar as JSON. A
subject with sessions or samples has one group for each, named ``sub-01_ses-02``.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ivadomed.loader.bids_dataframe import BidsDataframe
from ivadomed.loader.cases.boxes import saved_boxes, with_boxes
from ivadomed.loader.cases.case import Case
from ivadomed.loader.cases.grouping import TargetSuffix
from ivadomed.loader.cases.volumes import Volume, read_volume
from ivadomed.loader.checked_hdf5 import add_array, checked_hdf5
from ivadomed.loader.hdf5.units import cases_of, filenames_of, index_data_set, units_of
from ivadomed.loader.prepared.prepare import LABEL_ORDER, Prepared, Recipe, prepare_volume
from ivadomed.loader.slice_filter import SliceFilter, SliceRule
from ivadomed.transforms import Compose, Pipeline, Stage
from ivadomed.transforms.base import KINDS

SliceChoice = Callable[[Mapping[str, Any]], bool] | SliceRule | None
"""A `SliceFilter`, a function of a sample (``input``, ``gt``), or a rule."""

Transforms = Pipeline | Compose | Mapping[str, Mapping[str, Any]] | Sequence[Compose | None] | None
"""A pipeline, a configuration, or what ``prepare_transforms`` gives."""


class Bids_to_hdf5:
    """Convert images of a BIDS data set to one HDF5 file, written atomically.

    Args:
        root_dir: Folder of the data set, or its ``BidsDataframe``.
        subject_lst: Subjects ("sub-01") or image file names.
        target_suffix: Suffix of the label of each class; of several raters the first is taken.
        contrast_lst: Contrasts. A subject may lack some of them; labels and ROI may lie beside any of them.
        hdf5_name: File to write.
        contrast_balance: Share of the images of a contrast to keep, e.g. {"T1w": 0.1}.
        slice_axis: 0 sagittal, 1 coronal, 2 axial.
        metadata_choice: Kept in the file; what FiLM is conditioned on.
        slice_filter_fn: Slices to keep when 2D samples are listed: a `SliceFilter`, or a function that is told a slice
            as it was read (``input``, ``gt``: lists of [H, W]).
        roi_suffix: Suffix of the region of interest.
        transform: Resampling and crops are done here, other transforms are not looked at.
        object_detection_params: ``path_output`` with a ``bounding_boxes.json`` to crop to.
        soft_gt: Keep label values between 0 and 1.
        dim: 2: the fixed steps see slices, 3: volumes.

    Attributes:
        bids_ds: The data set.
        filename_pairs: (images, labels, ROI, metadata) of each image.
        metadata: Of the same images.
        has_bounding_box: Whether images were cropped to boxes.
        hdf5_file: The file, open for reading.
        dt: Type of the strings in it.

    Raises:
        ConfigError: Boxes are asked for, but there is no file of boxes.
        DataError: No subject has an image and a label, or an image has no box.
        OutputError: The file cannot be written.
    """

    def __init__(
        self,
        root_dir: str | os.PathLike[str] | BidsDataframe,
        subject_lst: Sequence[str],
        target_suffix: TargetSuffix,
        contrast_lst: Sequence[str],
        hdf5_name: str | os.PathLike[str],
        contrast_balance: Mapping[str, float] | None = None,
        slice_axis: int = 2,
        metadata_choice: str | bool | None = False,
        slice_filter_fn: SliceChoice = None,
        roi_suffix: str | None = None,
        transform: Transforms = None,
        object_detection_params: Mapping[str, Any] | None = None,
        soft_gt: bool = False,
        dim: int = 2,
    ) -> None:
        self.contrasts = list(contrast_lst)
        self.path_hdf5 = Path(hdf5_name)
        self.slice_axis, self.metadata_choice = slice_axis, metadata_choice
        self.slice_filter_fn = slice_filter_fn
        self._rule = rule_of(slice_filter_fn)
        self.prepro_transforms, self.transform = as_pipeline(transform).split_fixed()
        self.bids_ds = index_data_set(root_dir, contrast_lst, target_suffix, roi_suffix)
        boxes = saved_boxes(object_detection_params)
        self.has_bounding_box = boxes is not None
        self._recipe = Recipe(self.prepro_transforms, slice_axis, dim == 2, soft_gt, self._rule)
        names = filenames_of(self.bids_ds, subject_lst)
        self._units = units_of(
            cases_of(self.bids_ds, names, target_suffix, contrast_lst, roi_suffix, contrast_balance)
        )
        if boxes is not None:
            for name, unit in self._units.items():
                boxed = with_boxes(list(unit.values()), boxes)
                self._units[name] = dict(zip(unit, boxed, strict=True))
        cases = [case for unit in self._units.values() for case in unit.values()]
        self.metadata = [dict(case.metadata) for case in cases]
        self.filename_pairs = [
            (list(map(str, case.images)), _label_files(case), case.roi and str(case.roi), dict(case.metadata))
            for case in cases
        ]
        self._write()

    @property
    def dt(self) -> Any:
        """Type of the strings in the file."""
        import h5py

        return h5py.string_dtype()

    @cached_property
    def hdf5_file(self) -> Any:
        """The file, open for reading."""
        import h5py

        return h5py.File(self.path_hdf5, "r")

    def _write(self) -> None:
        import h5py  # only users of HDF5 need it

        strings = h5py.string_dtype()
        with checked_hdf5(self.path_hdf5) as file:
            file.attrs.create("patients_id", list(self._units), dtype=strings)
            file.attrs["slice_axis"] = self.slice_axis
            filters = [[f"filter_{k}", str(v)] for k, v in vars(self._rule).items()]
            file.attrs.create("slice_filter_fn", filters, dtype=strings)
            file.attrs["metadata_choice"] = self.metadata_choice or False
            for name, unit in self._units.items():
                self._write_unit(file.create_group(name), unit, strings)

    def _accepts(self, case: Case, volume: Volume, z: int) -> bool:
        """Whether a filter that looks at voxels keeps a slice, which `SliceRule` has kept."""
        choose = self.slice_filter_fn
        if not self._recipe.is_2d or choose is None or isinstance(choose, SliceRule):
            return True
        channels = [channel[..., z] for channel in volume.image]
        if isinstance(choose, SliceFilter):
            return choose.accepts(channels)
        if volume.target is None:  # an image without labels of its own says nothing about them
            return True
        labels = volume.target[..., z]
        return bool(choose({"input": channels, "gt": [labels[raters[0]] for raters in case.raters]}))

    def _write_unit(self, group: Any, unit: Mapping[str, Case], strings: Any) -> None:
        kept: set[int] | None = None
        found: dict[str, list[str]] = {"inputs": [], "gt": [], "roi": []}
        for contrast in filter(unit.__contains__, self.contrasts):
            case = unit[contrast]
            volume = read_volume(case, self.slice_axis, self._recipe.soft_gt, with_target=bool(case.targets))
            is_2d = self._recipe.is_2d
            prepared = prepare_volume(volume, self._recipe, case.images[0])
            filtered = _kept_slices(self._rule, prepared, is_2d, bool(case.targets))
            filtered = {z for z in filtered if self._accepts(case, volume, z)}
            kept = filtered if kept is None else kept & filtered
            for kind, array, attributes in _datasets(case, volume, prepared, is_2d, strings):
                dataset = add_array(group, f"{kind}/{contrast}", array)
                for key, value in attributes.items():
                    dataset.attrs[key] = value
                found[kind].append(contrast)
        group.attrs.create("contrast", found["inputs"], dtype=strings)
        group.attrs["slices"] = np.array(sorted(kept or ()), int)
        for kind, contrasts in found.items():
            group.require_group(kind).attrs.create("contrast", contrasts, dtype=strings)


def rule_of(slice_filter_fn: SliceChoice) -> SliceRule:
    """What a filter decides without a look at the voxels; nothing if it is a function."""
    if isinstance(slice_filter_fn, SliceFilter):
        return slice_filter_fn.rule
    return slice_filter_fn if isinstance(slice_filter_fn, SliceRule) else SliceRule(empty_input=False)


def as_pipeline(transform: Transforms) -> Pipeline:
    """Any documented form of transforms as a pipeline."""
    if transform is None:
        return Pipeline()
    if isinstance(transform, Pipeline):
        return transform
    if isinstance(transform, Mapping):
        return Pipeline.from_config(transform)
    if not isinstance(transform, Compose):
        return Pipeline(tuple(stage for part in transform for stage in as_pipeline(part).stages))
    kinds: dict[int, set[str]] = {}
    order = {id(step): step for kind in KINDS for step in transform.transform[kind]}
    for kind in KINDS:
        for step in transform.transform[kind]:
            kinds.setdefault(id(step), set()).add(kind)
    return Pipeline(tuple(Stage(step, frozenset(kinds[key])) for key, step in order.items()))


@dataclass(frozen=True)
class _Common:
    """Attributes that the image, label and ROI of one contrast share."""

    zooms: tuple[float, ...]
    data_shape: tuple[int, ...]
    affine: np.ndarray
    shape: tuple[int, ...]

    def of(self, data_type: str) -> dict[str, Any]:
        return {
            "data_type": data_type,
            "zooms": np.array(self.zooms, np.float32),
            "data_shape": np.array(self.data_shape),
            "affine": self.affine,
            "shape": np.array(self.shape),
        }


def _datasets(
    case: Case, volume: Volume, prepared: Prepared, is_2d: bool, strings: Any
) -> list[tuple[str, np.ndarray, dict[str, Any]]]:
    """Kind, array and attributes of what is written for one image."""
    grid = volume.grid
    common = _Common(prepared.zooms, grid.hwd_shape, grid.affine, grid.shape)
    plain = {k: v.item() if isinstance(v, np.generic) else v for k, v in case.metadata.items()}
    facts = {k: v for k, v in plain.items() if isinstance(v, (str, bool, int, float))}
    image = _as_stack(prepared.image, is_2d)[0].astype(np.float32)
    names: dict[str, Any] = {"input_filenames": str(case.images[0]), "metadata": json.dumps(facts)}
    datasets = [("inputs", image, {**common.of("im"), **names})]
    if case.targets and prepared.target is not None:
        labels = _as_stack(prepared.target, is_2d)[[raters[0] for raters in case.raters]].astype(np.float32)
        gt_names = np.array(_label_files(case), dtype=strings)
        labels = labels[0] if len(labels) == 1 else labels
        datasets.append(("gt", labels, {**common.of("gt"), "gt_filenames": gt_names}))
    if volume.roi is not None:
        roi = _prepare_roi(volume.roi, prepared, is_2d).astype(np.float32)
        names = {"roi_filename": np.array([str(case.roi)], dtype=strings)}
        datasets.append(("roi", roi, {**common.of("im"), **names}))
    return datasets


def _as_stack(array: np.ndarray, is_2d: bool) -> np.ndarray:
    """[D, C, h, w] or [C, H, W, D] to [C, D, H, W]."""
    return np.moveaxis(array, 1, 0) if is_2d else np.moveaxis(array, -1, 1)


def _prepare_roi(roi: np.ndarray, prepared: Prepared, is_2d: bool) -> np.ndarray:
    """[H, W, D] to [D, H, W] after the fixed steps."""
    if not is_2d:
        return np.moveaxis(prepared.plans[0].apply(roi[None], "roi", LABEL_ORDER)[0], -1, 0)
    slices = np.moveaxis(roi, -1, 0)
    return np.stack(
        [plan.apply(x[None], "roi", LABEL_ORDER)[0] for plan, x in zip(prepared.plans, slices, strict=True)]
    )


def _kept_slices(slice_filter: SliceRule, prepared: Prepared, is_2d: bool, labelled: bool) -> set[int]:
    if not is_2d:  # the filter looks at the slices of the file, which resampling may have replaced
        return set(range(prepared.image.shape[-1]))
    if not labelled:  # an image without labels of its own says nothing about where the label is empty
        slice_filter = replace(slice_filter, empty_mask=False, absent_class=False)
    return {z for z in range(len(prepared.image)) if slice_filter.keeps(prepared.facts, z)}


def _label_files(case: Case) -> list[str]:
    """Path of the first rater of each class; empty text for a class without a file."""
    return [str(raters[0]) if raters else "" for raters in case.targets]
