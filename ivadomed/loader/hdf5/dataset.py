"""Samples from an HDF5 file, of which contrasts can be withheld: the curriculum of HeMIS.

Havaei et al., "HeMIS: Hetero-Modal Image Segmentation", MICCAI 2016, arXiv:1607.05194.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch

from ivadomed.errors import ConfigError, DataError
from ivadomed.images.files import parse_json
from ivadomed.images.io import split_extension
from ivadomed.loader.bids_dataframe import BidsDataframe
from ivadomed.loader.cases.case import Case
from ivadomed.loader.cases.grouping import TargetSuffix
from ivadomed.loader.conditions.conditioner import withhold
from ivadomed.loader.hdf5.table import Dataframe
from ivadomed.loader.hdf5.untrusted import open_checked
from ivadomed.loader.hdf5.write import Bids_to_hdf5, SliceChoice, Transforms, as_pipeline, rule_of
from ivadomed.loader.prepared.prepare import Recipe
from ivadomed.loader.sample_meta_data import SampleMetadata
from ivadomed.runtime.memory import check_memory

log = logging.getLogger(__name__)

STRATEGIES = ("Missing",)

_SESSION = re.compile("_(?:ses|sample)-")


class HDF5Dataset:
    """Slices or volumes with all contrasts as channels; a missing contrast is a channel of zeros.

    The file is made from the BIDS data set when it does not exist. An index is an ``int`` or a pair (epoch,
    int); the random steps of a sample are drawn from (seed, epoch, index).

    Args:
        root_dir: Folder of the data set, or its ``BidsDataframe``; read only when the file is made.
        subject_lst: Subjects ("sub-01") or image file names; samples of others are left out.
        model_params: ``path_hdf5`` (or ``hdf5_path``); ``csv_path``: table to load if it exists;
            ``target_lst``, ``roi_lst``: contrasts whose label or ROI is used (all); ``ram``: keep everything
            in memory (true).
        target_suffix: Suffix of the label of each class.
        contrast_params: ``contrast_lst``: channels in order; ``balance``.
        slice_axis: 0 sagittal, 1 coronal, 2 axial.
        transform: Transforms; the fixed ones are done when the file is made.
        metadata_choice: What FiLM is conditioned on.
        dim: 2 or 3.
        complet: Leave out samples that lack a contrast.
        slice_filter_fn: Slices to keep, see ``Bids_to_hdf5``; the filter is applied when the file is made.
        roi_suffix: Suffix of the region of interest.
        object_detection_params: See ``Bids_to_hdf5``.
        soft_gt: Keep label values between 0 and 1.
        seed: Of the random steps and of the missing contrasts.

    Attributes:
        cst_lst: Contrasts.
        gt_lst: Contrasts whose label is used; of several, the last one that a sample has.
        roi_lst: Contrasts whose ROI is used.
        df_object: The table of the samples.
        cst_matrix: [samples, contrasts], 1 where a contrast is given, 0 where it is missing.
        takes_epochs: An index may be a pair with the epoch.
    """

    takes_epochs: ClassVar[bool] = True

    def __init__(
        self,
        root_dir: str | os.PathLike[str] | BidsDataframe,
        subject_lst: Sequence[str],
        model_params: Mapping[str, Any],
        target_suffix: TargetSuffix,
        contrast_params: Mapping[str, Any],
        slice_axis: int = 2,
        transform: Transforms = None,
        metadata_choice: str | bool | None = False,
        dim: int = 2,
        complet: bool = True,
        slice_filter_fn: SliceChoice = None,
        roi_suffix: str | None = None,
        object_detection_params: Mapping[str, Any] | None = None,
        soft_gt: bool = False,
        seed: int = 0,
    ) -> None:
        self.cst_lst: list[str] = list(contrast_params["contrast_lst"])
        self.gt_lst: list[str] = list(model_params.get("target_lst") or self.cst_lst)
        self.roi_lst: list[str] = list(model_params.get("roi_lst") or self.cst_lst) if roi_suffix else []
        self.dim, self.soft_gt, self.seed = dim, soft_gt, seed
        self.filter_slices = slice_filter_fn
        self.path_hdf5 = _path(model_params)
        self.prepro_transforms, self.transform = as_pipeline(transform).split_fixed()
        self._handle: tuple[int, Any] | None = None
        self._is_checked = False
        self._ram: dict[str, np.ndarray] = {}
        self._attributes: dict[str, dict[str, Any]] = {}
        self._updates = 0
        if not self.path_hdf5.is_file():
            Bids_to_hdf5(
                root_dir,
                subject_lst,
                target_suffix,
                self.cst_lst,
                self.path_hdf5,
                contrast_params.get("balance"),
                slice_axis,
                metadata_choice,
                slice_filter_fn,
                roi_suffix,
                transform,
                object_detection_params,
                soft_gt,
                dim,
            )
        self.df_object = Dataframe(
            self._file(),
            self.cst_lst,
            model_params.get("csv_path"),
            target_suffix,
            roi_suffix,
            slice_filter_fn is not None,
            dim,
        )
        self._select(subject_lst, complet)
        self.cst_matrix = self._available()
        if model_params.get("ram", True):
            self.load_into_ram()

    def __len__(self) -> int:
        """Number of samples."""
        return len(self.df_object.df)

    def __getitem__(self, index: int | tuple[int, int]) -> dict[str, Any]:
        """Read one sample.

        Returns:
            ``input`` [C, h, w] or [C, H, W, D] float32, ``gt`` [K, ...] and ``roi`` [1, ...] (None without),
            and ``input_metadata``, ``gt_metadata``, ``roi_metadata``, a list each. Input metadata have
            ``missing_mod``: per contrast 1 where it is given, 0 where it is missing.
        """
        epoch, place = index if isinstance(index, tuple) else (0, index)
        row = self.df_object.df.iloc[place]
        given = self.cst_matrix[place].tolist()
        zslice = int(row["Slices"]) if self.dim == 2 else None
        channels = [
            self._read(row[contrast], zslice)[0] if there else None
            for contrast, there in zip(self.cst_lst, given, strict=True)
        ]
        image = _stacked(channels, row["Subjects"])
        gt_key, roi_key = self._key(row, "gt", self.gt_lst), self._key(row, "roi", self.roi_lst)
        gt = None if gt_key is None else self._read(gt_key, zslice)
        roi = None if roi_key is None else self._read(roi_key, zslice)
        keys = [row[contrast] if there else None for contrast, there in zip(self.cst_lst, given, strict=True)]
        metadata = [self._metadata(key, zslice, c, given) for key, c in zip(keys, self.cst_lst, strict=True)]
        zooms = next(record["zooms"] for record in metadata if "zooms" in record)[: self.dim]
        rng = np.random.default_rng((self.seed, epoch, place))
        plan = self.transform.plan(image.shape[1:], zooms, rng, roi=roi)
        image = plan.apply(image, "im", 1)
        gt = None if gt is None else plan.apply(gt, "gt", 1)
        roi = None if roi is None else plan.apply(roi, "roi", 1)
        if gt is not None and not self.soft_gt:
            gt = (gt >= 0.5).astype(np.uint8)
        # After the random steps, which may have shifted the zeros.
        missing = np.array(given).reshape(-1, *[1] * self.dim) == 0
        return {
            "input": torch.from_numpy(np.where(missing, np.float32(0), image.astype(np.float32, copy=False))),
            "gt": None if gt is None else torch.from_numpy(np.ascontiguousarray(gt)),
            "roi": None if roi is None else torch.from_numpy(np.ascontiguousarray(roi)),
            "input_metadata": metadata,
            "gt_metadata": [] if gt_key is None else [self._metadata(gt_key, zslice)],
            "roi_metadata": [] if roi_key is None else [self._metadata(roi_key, zslice)],
        }

    @property
    def slice_axis(self) -> int:
        """RAS axis along which slices were taken."""
        return int(self._file().attrs["slice_axis"])

    @property
    def recipe(self) -> Recipe:
        """How the images became what is in the file."""
        rule = rule_of(self.filter_slices)
        return Recipe(self.prepro_transforms, self.slice_axis, self.dim == 2, self.soft_gt, rule)

    @property
    def cases(self) -> list[Case]:
        """The images and labels that the samples were made of, a case per subject (session)."""
        rows = self.df_object.df.drop_duplicates("Subjects")
        return [self._case(row) for _, row in rows.iterrows()]

    def _case(self, row: Any) -> Case:
        there = [contrast for contrast in self.cst_lst if isinstance(row[contrast], str)]
        images = [self._attributes_of(row[contrast]) for contrast in there]
        gt_key, roi_key = self._key(row, "gt", self.gt_lst), self._key(row, "roi", self.roi_lst)
        labels = [] if gt_key is None else self._attributes_of(gt_key)["gt_filenames"]
        roi = None if roi_key is None else self._attributes_of(roi_key)["roi_filename"]
        paths = tuple(Path(_text(image["input_filenames"])) for image in images)
        full = len(there) == len(self.cst_lst)
        return Case(
            id=split_extension(paths[0].name)[0],
            images=paths,
            targets=tuple((Path(_text(name)),) if _text(name) else None for name in np.atleast_1d(labels)),
            subject=str(row["Subjects"]),
            contrasts=tuple(there),
            roi=None if roi is None else Path(_text(np.atleast_1d(roi)[0])),
            metadata=images[0],
            channels=() if full else tuple(there.index(c) if c in there else None for c in self.cst_lst),
        )

    def load_into_ram(self, contrast_lst: Sequence[str] | None = None) -> None:
        """Keep the images of contrasts, their labels and ROIs in memory.

        Args:
            contrast_lst: Contrasts; None for all.
        """
        wanted = set(self.cst_lst if contrast_lst is None else contrast_lst)
        columns = [name for name in self.df_object.df if str(name).rpartition("/")[2] in wanted]
        for column in columns:
            for key in self.df_object.df[column].dropna().unique():
                if key not in self._ram:
                    stored = self._file()[key]
                    check_memory(f"{self.path_hdf5}: {key}", stored.shape)
                    self._ram[key] = stored[()]

    def set_transform(self, transform: Transforms) -> None:
        """Replace the transforms of the samples; fixed ones are left out, they were done in the file."""
        self.transform = as_pipeline(transform).split_fixed()[1]

    def update(self, strategy: str = "Missing", p: float = 0.0001) -> None:
        """Draw anew which contrasts are missing; call it before each epoch.

        Args:
            strategy: "Missing": as HeMIS, each contrast that a sample has is withheld with probability ``p``,
                but never all of them.
            p: Between 0 and 1.

        Raises:
            ConfigError: Unknown strategy, or no probability.
        """
        if strategy not in STRATEGIES:
            raise ConfigError(f"HDF5Dataset.update: strategy {strategy!r}; expected one of {STRATEGIES}")
        if not 0 <= p <= 1:
            raise ConfigError(f"missing_probability: {p}; expected a number between 0 and 1")
        self._updates += 1
        rng = np.random.default_rng((self.seed, self._updates))
        self.cst_matrix = withhold(self._available(), p, rng).astype(int)

    def __getstate__(self) -> dict[str, Any]:
        """Leave the open file behind; a worker opens its own."""
        return {**self.__dict__, "_handle": None}

    def _file(self) -> Any:
        """The file, opened once per process: HDF5 handles do not survive a fork."""
        if self._handle is None or self._handle[0] != os.getpid():
            self._handle = os.getpid(), open_checked(self.path_hdf5, again=self._is_checked)
            self._is_checked = True
        return self._handle[1]

    def _select(self, subjects: Sequence[str], complet: bool) -> None:
        # A group is named after its subject, which may be followed by a session; images begin with the subject.
        df = self.df_object.df
        groups = {name: _SESSION.split(name)[0] for name in df["Subjects"].unique()}
        wanted = {_subject_of(str(name), groups.values()) for name in subjects}
        subject = df["Subjects"].map(groups)
        self.df_object.df = df[subject.isin(wanted)].reset_index(drop=True)
        missing = sorted(wanted.difference(subject))
        if missing:
            log.warning("%s has no images with labels of %s.", self.path_hdf5, ", ".join(missing))
        if complet:
            self.df_object.clean(self.cst_lst)
        else:
            self.df_object.df = self.df_object.df.dropna(subset=self.cst_lst, how="all").reset_index(
                drop=True
            )
        if self.df_object.df.empty:
            without = "all of" if complet else "any of"
            raise DataError(
                f"{self.path_hdf5}: no sample of the {len(wanted)} subjects has {without} "
                f"{', '.join(self.cst_lst)}; change the contrasts, or remove the file and it is made anew"
            )

    def _available(self) -> np.ndarray:
        return self.df_object.df[self.cst_lst].notna().to_numpy().astype(int)

    def _read(self, key: str, zslice: int | None) -> np.ndarray:
        """[K, h, w] of a slice, or [K, H, W, D]."""
        stored = self._ram[key] if key in self._ram else self._file()[key]
        if zslice is not None:
            array = np.asarray(stored[..., zslice, :, :], np.float32)
        else:
            array = np.moveaxis(np.asarray(stored[()], np.float32), -3, -1)
        return array if stored.ndim == 4 else array[None]

    def _key(self, row: Any, kind: str, contrasts: Sequence[str]) -> str | None:
        columns = [f"{kind}/{contrast}" for contrast in reversed(contrasts)]
        return next((row[name] for name in columns if name in row and isinstance(row[name], str)), None)

    def _metadata(
        self, key: str | None, zslice: int | None, contrast: str | None = None, given: list[int] | None = None
    ) -> SampleMetadata:
        """Attributes of a stored array and the sidecar; of a missing one only which are missing."""
        record = {} if key is None else {**self._attributes_of(key), "slice_index": zslice}
        if contrast is not None:
            record |= {"contrast": contrast, "missing_mod": list(given or ())}
        return SampleMetadata(record)

    def _attributes_of(self, key: str) -> dict[str, Any]:
        if key not in self._attributes:
            attributes = dict(self._file()[key].attrs)
            try:
                attributes["zooms"] = tuple(float(zoom) for zoom in attributes["zooms"])
                self._attributes[key] = {**parse_json(attributes.pop("metadata", "{}")), **attributes}
            except (KeyError, TypeError, ValueError) as error:
                raise DataError(
                    f"{self.path_hdf5}: the attributes of {key} are not those of ivadomed ({error}); remove the file "
                    "and it is made anew"
                ) from error
        return self._attributes[key]


def _text(value: Any) -> str:
    """Text in a file, which may be bytes."""
    return value.decode() if isinstance(value, bytes) else str(value)


def _subject_of(name: str, known: Iterable[str]) -> str:
    """Of a subject ("sub-01") or an image ("sub-01_T1w.nii.gz") the subject."""
    fitting = [subject for subject in known if name == subject or name.startswith(f"{subject}_")]
    return max(fitting, key=len, default=name.split("_")[0])


def _path(params: Mapping[str, Any]) -> Path:
    path = params.get("path_hdf5") or params.get("hdf5_path")
    if not path:
        raise ConfigError(
            "path_hdf5: no file given; add the place of the HDF5 file to the model's parameters"
        )
    return Path(path)


def _stacked(channels: Sequence[np.ndarray | None], subject: str) -> np.ndarray:
    shapes = {channel.shape for channel in channels if channel is not None}
    if len(shapes) > 1:
        raise DataError(
            f"{subject}: its contrasts have the shapes {sorted(shapes)}; resample and crop them to one "
            "(transformation Resample and CenterCrop)"
        )
    [shape] = shapes
    return np.stack([np.zeros(shape, np.float32) if channel is None else channel for channel in channels])
