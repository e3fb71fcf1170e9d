"""Convert BIDS to HDF5 and back: the images of each subject after the fixed preprocessing.

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
import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np

from ivadomed.compat.datasets import SliceChoice, rule_of
from ivadomed.compat.filters import SliceFilter
from ivadomed.compat.transforms import Transforms, as_pipeline
from ivadomed.detection.cascade import saved_boxes, with_boxes
from ivadomed.errors import DataError
from ivadomed.geometry.grid import Grid, hwd_to_ras
from ivadomed.images.files import write_json
from ivadomed.images.io import split_extension, write_nifti
from ivadomed.loader.bids.names import DATATYPES
from ivadomed.loader.bids_dataframe import BidsDataframe
from ivadomed.loader.cases.case import Case
from ivadomed.loader.cases.grouping import build_cases
from ivadomed.loader.cases.labels import TargetSuffix
from ivadomed.loader.cases.volumes import Volume, read_volume
from ivadomed.loader.checked_hdf5 import add_array, checked_hdf5
from ivadomed.loader.prepared.prepare import LABEL_ORDER, Prepared, Recipe, prepare_volume
from ivadomed.loader.slices import SliceRule

log = logging.getLogger(__name__)

_DESCRIPTION = {"Name": "Exported from HDF5", "BIDSVersion": "1.9.0"}
_UNIT = ("ses-", "sample-")  # entities that name a group, besides the subject


class Bids_to_hdf5:
    """Convert images of a BIDS data set to one HDF5 file, written atomically.

    Args:
        root_dir: Folder of the data set, or its ``BidsDataframe``.
        subject_lst: Subjects ("sub-01") or image file names.
        target_suffix: Suffix of the label of each class; of several raters the first is taken.
        contrast_lst: Contrasts. A subject may lack some of them; labels and ROI may lie next to any of them.
        hdf5_name: File to write.
        contrast_balance: Share of the images of a contrast to keep, e.g. {"T1w": 0.1}.
        slice_axis: 0 sagittal, 1 coronal, 2 axial.
        metadata_choice: Kept in the file; what FiLM is conditioned on.
        slice_filter_fn: Slices to keep when 2D samples are listed: a `SliceFilter`, or a function of a slice as it
            was read (``input``, ``gt``: lists of [H, W]).
        roi_suffix: Suffix of the region of interest.
        transform: Resampling and crops are applied here; other transforms are ignored.
        object_detection_params: ``path_output`` with a ``bounding_boxes.json`` to crop to.
        soft_gt: Keep label values between 0 and 1.
        dim: 2: the fixed steps see slices, 3: volumes.

    Attributes:
        bids_ds: The data set.
        filename_pairs: (images, labels, ROI, metadata) of each image.
        metadata: Metadata of the same images.
        has_bounding_box: Images were cropped to boxes.
        hdf5_file: The file, open for reading.
        dt: Type of the strings in it.

    Raises:
        ConfigError: Boxes were requested, but their file is missing.
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
        self.prepro_transforms, self.transform = as_pipeline(transform).split_fixed()
        rule = rule_of(slice_filter_fn)
        self._recipe = Recipe(self.prepro_transforms, slice_axis, dim == 2, soft_gt, rule)
        if not isinstance(root_dir, BidsDataframe):
            contrasts, roi = {"contrast_lst": self.contrasts}, {"suffix": roi_suffix}
            params = {"target_suffix": target_suffix, "contrast_params": contrasts, "roi_params": roi}
            # Labels may lie next to one contrast only.
            root_dir = BidsDataframe({**params, "path_data": [os.fspath(root_dir)]}, "", derivatives=False)
        self.bids_ds = root_dir
        boxes = saved_boxes(object_detection_params)
        self.has_bounding_box = boxes is not None
        self._units = _units(self._cases(subject_lst, target_suffix, roi_suffix, contrast_balance))
        cases = [case for unit in self._units.values() for case in unit.values()]
        if boxes is not None:
            cases = list(with_boxes(cases, boxes))
            self._units = _units(cases)
        self.metadata = [dict(case.metadata) for case in cases]
        self.filename_pairs = [
            (list(map(str, case.images)), _label_files(case), case.roi and str(case.roi), dict(case.metadata))
            for case in cases
        ]
        self._write()

    @property
    def dt(self) -> Any:
        """Type of the strings in the file."""
        import h5py  # only users of HDF5 need it

        return h5py.string_dtype()

    @cached_property
    def hdf5_file(self) -> Any:
        """The file, open for reading."""
        import h5py

        return h5py.File(self.path_hdf5, "r")

    def _cases(
        self,
        subjects: Sequence[str],
        target_suffix: TargetSuffix,
        roi_suffix: str | None,
        balance: Mapping[str, float] | None,
    ) -> list[Case]:
        """Every image of subjects ("sub-01"), or with one of the names, with its labels if any."""
        files, wanted = self.bids_ds.images, set(subjects)
        names = [name for name, file in files.items() if name in wanted or file.participant in wanted]
        build = partial(build_cases, self.bids_ds, contrasts=self.contrasts, multichannel=False)
        every = build(names, target_suffix=(), require_target=False, balance=balance).cases
        by_id = {file.stem: name for name, file in files.items()}
        names = [by_id[case.id] for case in every]
        found = build(names, target_suffix=target_suffix, roi_suffix=roi_suffix).cases
        labelled = {case.id: case for case in found}
        return [labelled.get(case.id, case) for case in every]

    def _write(self) -> None:
        with checked_hdf5(self.path_hdf5) as file:
            file.attrs.create("patients_id", list(self._units), dtype=self.dt)
            file.attrs["slice_axis"] = self.slice_axis
            filters = [[f"filter_{k}", str(v)] for k, v in vars(self._recipe.slice_filter).items()]
            file.attrs.create("slice_filter_fn", filters, dtype=self.dt)
            file.attrs["metadata_choice"] = self.metadata_choice or False
            for name, unit in self._units.items():
                group = file.create_group(name)
                there = [contrast for contrast in self.contrasts if contrast in unit]
                kept = [self._write_case(group, contrast, unit[contrast]) for contrast in there]
                group.attrs.create("contrast", there, dtype=self.dt)
                group.attrs["slices"] = np.array(sorted(set.intersection(*kept)), int)
                for kind in ("inputs", "gt", "roi"):
                    folder = group.require_group(kind)
                    folder.attrs.create("contrast", [c for c in there if c in folder], dtype=self.dt)

    def _write_case(self, group: Any, contrast: str, case: Case) -> set[int]:
        """Write image, labels and ROI of one contrast, and return the slices that the filter keeps."""
        is_2d = self._recipe.is_2d
        volume = read_volume(case, self.slice_axis, self._recipe.soft_gt, with_target=bool(case.targets))
        prepared = prepare_volume(volume, self._recipe, case.images[0])
        axes = (1, 0) if is_2d else (-1, 1)  # [D, C, h, w] or [C, H, W, D] to [C, D, H, W]
        grid = volume.grid
        shared = {
            "zooms": np.array(prepared.zooms, np.float32),
            "data_shape": np.array(grid.hwd_shape),
            "affine": grid.affine,
            "shape": np.array(grid.shape),
        }

        def add(kind: str, array: np.ndarray, **attributes: Any) -> None:
            dataset = add_array(group, f"{kind}/{contrast}", array.astype(np.float32))
            dataset.attrs.update({"data_type": "gt" if kind == "gt" else "im", **shared, **attributes})

        plain = {k: v.item() if isinstance(v, np.generic) else v for k, v in case.metadata.items()}
        sidecar = {k: v for k, v in plain.items() if isinstance(v, (str, bool, int, float))}
        image = np.moveaxis(prepared.image, *axes)[0]
        add("inputs", image, input_filenames=str(case.images[0]), metadata=json.dumps(sidecar))
        if prepared.target is not None:
            labels = np.moveaxis(prepared.target, *axes)[[raters[0] for raters in case.raters]]
            names = np.array(_label_files(case), dtype=self.dt)
            add("gt", labels[0] if len(labels) == 1 else labels, gt_filenames=names)
        if volume.roi is not None:
            parts = np.moveaxis(volume.roi, -1, 0)[:, None] if is_2d else volume.roi[None, None]
            steps = zip(prepared.plans, parts, strict=True)
            roi = np.stack([plan.apply(part, "roi", LABEL_ORDER) for plan, part in steps])
            roi = roi[:, 0] if is_2d else np.moveaxis(roi[0, 0], -1, 0)
            add("roi", roi, roi_filename=np.array([str(case.roi)], dtype=self.dt))
        return self._kept_slices(case, volume, prepared)

    def _kept_slices(self, case: Case, volume: Volume, prepared: Prepared) -> set[int]:
        if not self._recipe.is_2d:  # resampling may have replaced the slices that the filter looks at
            return set(range(prepared.image.shape[-1]))
        rule, choose = self._recipe.slice_filter, self.slice_filter_fn
        if not case.targets:  # an image without its own labels does not tell where the label is empty
            rule = replace(rule, empty_mask=False, absent_class=False)
        kept = {z for z in range(len(prepared.image)) if rule.keeps(prepared.facts, z)}
        if isinstance(choose, SliceFilter):
            return {z for z in kept if choose.accepts(list(volume.image[..., z]))}
        if choose is None or isinstance(choose, SliceRule) or volume.target is None:
            return kept
        labels = volume.target[[raters[0] for raters in case.raters]]
        return {z for z in kept if choose({"input": list(volume.image[..., z]), "gt": list(labels[..., z])})}


def _units(cases: Sequence[Case]) -> dict[str, dict[str, Case]]:
    """Image of each contrast per subject (session, sample); those without any label are left out."""
    units: dict[str, dict[str, Case]] = {}
    for case in cases:
        contrast = case.contrasts[0]
        name = "_".join((case.subject, *(part for part in case.id.split("_") if part.startswith(_UNIT))))
        known = units.setdefault(name, {}).setdefault(contrast, case)
        if known is not case:
            log.warning("%s is left out: %s is the %s image of %s.", case.id, known.id, contrast, name)
    for name in [name for name, unit in units.items() if not any(case.targets for case in unit.values())]:
        log.warning("%s is left out: none of its images has a label.", name)
        del units[name]
    if not units:
        raise DataError(
            "no subject has an image of the contrasts and a label; check contrasts and target_suffix"
        )
    return units


def _label_files(case: Case) -> list[str]:
    """Path of the first rater of each class; empty text for a class without a file."""
    return [str(raters[0]) if raters else "" for raters in case.targets]


def HDF5_to_Bids(
    HDF5: str | os.PathLike[str], subjects: Sequence[str], path_dir: str | os.PathLike[str]
) -> None:
    """Write images and labels of subjects as a BIDS data set.

    Arrays not changed by preprocessing get the affine of their image. Others are placed at the origin of RAS space,
    with their voxel size.

    Args:
        HDF5: The file.
        subjects: Names of groups in it, e.g. "sub-01".
        path_dir: Folder of the data set.

    Raises:
        DataError: The file cannot be read, or lacks a subject.
        OutputError: The folder cannot be written.
    """
    import h5py

    try:
        file = h5py.File(HDF5, "r")
    except OSError as error:
        raise DataError(f"{os.fspath(HDF5)}: not a readable HDF5 file ({error})") from error
    with file:
        missing = [subject for subject in subjects if subject not in file]
        if missing:
            raise DataError(
                f"{os.fspath(HDF5)}: has no {', '.join(missing)}; there are {', '.join(map(str, file))}"
            )
        root, slice_axis = Path(path_dir), int(file.attrs["slice_axis"])
        label_root = root / "derivatives" / "labels"
        for folder in (root, label_root):
            write_json(folder / "dataset_description.json", _DESCRIPTION)
        for subject in subjects:
            for image in file[subject]["inputs"].values():
                _export(root, image.attrs["input_filenames"], image, image[()], slice_axis)
            for label in file[subject].get("gt", {}).values():
                classes = label[()] if label.ndim == 4 else label[()][None]
                for name, array in zip(np.atleast_1d(label.attrs["gt_filenames"]), classes, strict=True):
                    dtype = np.uint8 if np.isin(array, (0, 1)).all() else np.float32
                    _export(label_root, name, label, array.astype(dtype), slice_axis)


def _export(folder: Path, source: Any, dataset: Any, stack: np.ndarray, slice_axis: int) -> None:
    """Write [D, H, W] under the name of the file it came from; without one it is a class of zeros."""
    source = as_text(source)
    if not source:
        return
    data, attributes = np.moveaxis(stack, 0, -1), dataset.attrs
    path = folder / _place(source)
    if "affine" in attributes and tuple(attributes["data_shape"]) == data.shape:
        x, y, z = (int(n) for n in attributes["shape"])
        grid = Grid((x, y, z), attributes["affine"], slice_axis)
        if np.allclose(grid.zooms, attributes["zooms"]):
            write_nifti(path, grid.to_native(data), grid.affine)
            return
    order = hwd_to_ras(np.empty((0, 1, 2)), slice_axis).shape
    affine = np.diag([*(float(attributes["zooms"][i]) for i in order), 1.0])
    write_nifti(path, hwd_to_ras(data, slice_axis), affine)


def _place(source: str) -> Path:
    """ "x/sub-01/ses-02/anat/sub-01_ses-02_T1w.png" to the path in a data set, as NIfTI."""
    path = Path(source.replace("\\", "/"))
    folders = [part for part in path.parts[:-1] if part.startswith(("sub-", "ses-")) or part in DATATYPES]
    name = f"{Path(split_extension(path.name)[0]).name}.nii.gz"
    subject = name.split("_")[0]
    inside = folders[folders.index(subject) :] if subject in folders else [subject, "anat"]
    return Path(*inside, name)


def as_text(value: Any) -> str:
    """Text of an attribute, which may be bytes."""
    return value.decode() if isinstance(value, bytes) else str(value)
