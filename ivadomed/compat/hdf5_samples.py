"""Samples from an HDF5 file, with contrasts withheld at random: the curriculum of HeMIS.

Havaei et al., "HeMIS: Hetero-Modal Image Segmentation", MICCAI 2016, arXiv:1607.05194.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import torch

from ivadomed.compat.datasets import SliceChoice, rule_of
from ivadomed.compat.hdf5 import Bids_to_hdf5, as_text
from ivadomed.compat.pairs import SampleMetadata
from ivadomed.compat.transforms import Transforms, as_pipeline
from ivadomed.errors import ConfigError, DataError
from ivadomed.images.files import parse_json, write_csv
from ivadomed.images.io import split_extension
from ivadomed.images.labels import LabelFile
from ivadomed.loader.bids_dataframe import BidsDataframe
from ivadomed.loader.cases.case import Case
from ivadomed.loader.cases.labels import TargetSuffix
from ivadomed.loader.checked_hdf5 import open_checked
from ivadomed.loader.conditions import withhold
from ivadomed.loader.prepared.prepare import Recipe
from ivadomed.runtime.memory import check_memory

log = logging.getLogger(__name__)

STRATEGIES = ("Missing",)


class Dataframe:
    """One row per sample: a slice (2D) or a subject (3D).

    Columns: ``Subjects``; per contrast the place of the image in the file ("sub-01/inputs/T1w"), empty where
    it is missing; per contrast ``gt/<contrast>`` and ``roi/<contrast>``; in 2D ``Slices``, the index of the
    slice.

    Args:
        hdf5: The open file.
        contrasts: Contrasts of interest.
        path: CSV file to load the table from if it exists; None to make it from ``hdf5``.
        target_suffix: Labels are wanted.
        roi_suffix: Regions of interest are wanted.
        filter_slices: Only slices that the filter kept when the file was made.
        dim: 2 or 3.

    Attributes:
        df: The table.
    """

    def __init__(
        self,
        hdf5: Any,
        contrasts: Sequence[str],
        path: str | os.PathLike[str] | None,
        target_suffix: Sequence[Any] | None = None,
        roi_suffix: str | None = None,
        filter_slices: Any = False,
        dim: int = 2,
    ) -> None:
        self.contrasts = list(contrasts)
        self.filter_slices = filter_slices
        self.dim = dim
        self.kinds = ["gt"] * bool(target_suffix) + ["roi"] * bool(roi_suffix)
        self.df = pd.DataFrame()
        if path is not None and Path(path).is_file():
            self.load_dataframe(path)
        else:
            self.create_df(hdf5)

    def create_df(self, hdf5: Any) -> None:
        """Make the table from an open file.

        Raises:
            DataError: The file holds none of the contrasts.
        """
        name = getattr(hdf5, "filename", "HDF5 file")
        rows: list[dict[str, Any]] = []
        try:
            for subject in hdf5.attrs["patients_id"]:
                group = hdf5[subject]
                row = {c: f"{subject}/{key}" if key in group else None for c, key in self._places().items()}
                there = [contrast for contrast in self.contrasts if row[contrast]]
                if not there:
                    continue
                slices: Iterable[dict[str, int]] = [{}]
                if self.dim == 2:
                    depth = group[f"inputs/{there[0]}"].shape[0]
                    kept = np.asarray(group.attrs["slices"], int) if self.filter_slices else range(depth)
                    slices = [{"Slices": int(z)} for z in kept]
                rows += [{"Subjects": subject, **row, **place} for place in slices]
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            raise DataError(
                f"{name}: has not the layout of ivadomed's files ({error}); remove it; it will be created again"
            ) from error
        if not rows:
            raise DataError(f"{name}: holds no sample of {', '.join(self.contrasts)}")
        self._set(pd.DataFrame(rows))

    def clean(self, contrasts: Sequence[str]) -> None:
        """Remove rows where one of the contrasts is not available."""
        self.df = self.df.dropna(subset=list(contrasts)).reset_index(drop=True)

    def shuffle(self, seed: int | None = None) -> None:
        """Shuffle the rows."""
        self.df = self.df.sample(frac=1, random_state=seed).reset_index(drop=True)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the table as CSV."""
        write_csv(path, self.df, index=False)

    def load_dataframe(self, path: str | os.PathLike[str]) -> None:
        """Read the table from CSV.

        Raises:
            DataError: The file is not a table, or lacks a column.
        """
        try:
            df = pd.read_csv(path, dtype=dict.fromkeys(("Subjects", *self._places()), object))
        except (OSError, ValueError) as error:
            raise DataError(f"{os.fspath(path)}: cannot be read as a CSV table ({error})") from error
        wanted = ["Subjects", *self._places(), *(["Slices"] if self.dim == 2 else [])]
        missing = [name for name in wanted if name not in df]
        if missing:
            raise DataError(
                f"{os.fspath(path)}: has no column {', '.join(missing)}; remove the file; it will be created again"
            )
        for column, place in self._places().items():
            there = df[column].notna()
            if (df.loc[there, column] != df.loc[there, "Subjects"] + f"/{place}").any():
                raise DataError(
                    f"{os.fspath(path)}: the column {column} names places that are not <subject>/{place}; remove the "
                    "file; it will be created again"
                )
        self._set(df)

    def _set(self, df: pd.DataFrame) -> None:
        """Store a table; missing entries become None."""
        self.df = df.astype(object).where(df.notna(), None)
        if self.dim == 2:
            self.df["Slices"] = self.df["Slices"].astype(int)

    def _places(self) -> dict[str, str]:
        """Column -> place in the group of a subject."""
        places = {contrast: f"inputs/{contrast}" for contrast in self.contrasts}
        return places | {f"{k}/{c}": f"{k}/{c}" for k in self.kinds for c in self.contrasts}


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
        metadata_choice: Metadata that FiLM is conditioned on.
        dim: 2 or 3.
        complet: Exclude samples that lack a contrast.
        slice_filter_fn: Slices to keep, see ``Bids_to_hdf5``; the filter is applied when the file is made.
        roi_suffix: Suffix of the region of interest.
        object_detection_params: See ``Bids_to_hdf5``.
        soft_gt: Keep label values between 0 and 1.
        seed: Seed of the random steps and of the missing contrasts.

    Attributes:
        cst_lst: Contrasts.
        gt_lst: Contrasts whose label is used; with several, the last one available for a sample.
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
        path = model_params.get("path_hdf5") or model_params.get("hdf5_path")
        if not path:
            raise ConfigError(
                "path_hdf5: no file given; add the place of the HDF5 file to the model's parameters"
            )
        self.path_hdf5 = Path(path)
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
        keys = [row[contrast] if there else None for contrast, there in zip(self.cst_lst, given, strict=True)]
        channels = [None if key is None else self._read(key, zslice)[0] for key in keys]
        image = _stacked(channels, row["Subjects"])
        metadata = [self._metadata(key, zslice, c, given) for key, c in zip(keys, self.cst_lst, strict=True)]
        arrays, records = {"im": image}, {}
        for kind, contrasts in (("gt", self.gt_lst), ("roi", self.roi_lst)):
            key = self._key(row, kind, contrasts)
            records[kind] = [] if key is None else [self._metadata(key, zslice)]
            if key is not None:
                arrays[kind] = self._read(key, zslice)
        zooms = next(record["zooms"] for record in metadata if "zooms" in record)[: self.dim]
        rng = np.random.default_rng((self.seed, epoch, place))
        plan = self.transform.plan(image.shape[1:], zooms, rng, roi=arrays.get("roi"))
        arrays = plan.apply_all(arrays, 1)
        # After the random steps, which may have shifted the zeros.
        missing = np.array(given).reshape(-1, *[1] * self.dim) == 0
        arrays["im"] = np.where(missing, np.float32(0), arrays["im"].astype(np.float32, copy=False))
        if "gt" in arrays and not self.soft_gt:
            arrays["gt"] = (arrays["gt"] >= 0.5).astype(np.uint8)
        tensors = {kind: torch.from_numpy(np.ascontiguousarray(array)) for kind, array in arrays.items()}
        return {
            "input": tensors["im"],
            "gt": tensors.get("gt"),
            "roi": tensors.get("roi"),
            "input_metadata": metadata,
            "gt_metadata": records["gt"],
            "roi_metadata": records["roi"],
        }

    @property
    def slice_axis(self) -> int:
        """RAS axis along which slices were taken."""
        return int(self._file().attrs["slice_axis"])

    @property
    def recipe(self) -> Recipe:
        """Steps that were applied to the images in the file."""
        is_2d, rule = self.dim == 2, rule_of(self.filter_slices)
        return Recipe(self.prepro_transforms, self.slice_axis, is_2d, self.soft_gt, rule)

    @property
    def cases(self) -> list[Case]:
        """Images and labels of the samples, one case per subject (session)."""
        return [self._case(row) for _, row in self.df_object.df.drop_duplicates("Subjects").iterrows()]

    def _case(self, row: Any) -> Case:
        there = [contrast for contrast in self.cst_lst if isinstance(row[contrast], str)]
        images = [self._attributes_of(row[contrast]) for contrast in there]
        gt_key, roi_key = self._key(row, "gt", self.gt_lst), self._key(row, "roi", self.roi_lst)
        labels: Any = [] if gt_key is None else np.atleast_1d(self._attributes_of(gt_key)["gt_filenames"])
        rois: Any = [] if roi_key is None else np.atleast_1d(self._attributes_of(roi_key)["roi_filename"])
        paths = tuple(Path(as_text(image["input_filenames"])) for image in images)
        full = len(there) == len(self.cst_lst)
        return Case(
            id=split_extension(paths[0].name)[0],
            images=paths,
            targets=tuple((LabelFile.parse(name),) if name else None for name in map(as_text, labels)),
            subject=str(row["Subjects"]),
            contrasts=tuple(there),
            roi=next((LabelFile.parse(as_text(name)) for name in rois), None),
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
        """Replace the transforms of the samples, except fixed ones, which were applied when the file was made."""
        self.transform = as_pipeline(transform).split_fixed()[1]

    def update(self, strategy: str = "Missing", p: float = 0.0001) -> None:
        """Draw again which contrasts are missing; call it before each epoch.

        Args:
            strategy: "Missing": as HeMIS, each contrast that a sample has is withheld with probability ``p``,
                but never all of them.
            p: Between 0 and 1.

        Raises:
            ConfigError: Unknown strategy or invalid probability.
        """
        if strategy not in STRATEGIES:
            raise ConfigError(f"HDF5Dataset.update: strategy {strategy!r}; expected one of {STRATEGIES}")
        if not 0 <= p <= 1:
            raise ConfigError(f"missing_probability: {p}; expected a number between 0 and 1")
        self._updates += 1
        rng = np.random.default_rng((self.seed, self._updates))
        self.cst_matrix = withhold(self._available(), p, rng).astype(int)

    def __getstate__(self) -> dict[str, Any]:
        """Exclude the open file; a worker opens its own."""
        return {**self.__dict__, "_handle": None}

    def _file(self) -> Any:
        """The file, opened once per process: HDF5 handles do not survive a fork."""
        if self._handle is None or self._handle[0] != os.getpid():
            self._handle = os.getpid(), open_checked(self.path_hdf5, again=self._is_checked)
            self._is_checked = True
        return self._handle[1]

    def _select(self, subjects: Sequence[str], complet: bool) -> None:
        # Groups (a session may follow) and images begin with their subject.
        df = self.df_object.df
        subject = df["Subjects"].str.split("_(?:ses|sample)-", regex=True).str[0]
        known = sorted(set(subject), key=len, reverse=True)
        fitting = {name: [one for one in known if f"{name}_".startswith(f"{one}_")] for name in subjects}
        wanted = {found[0] if found else str(name).split("_")[0] for name, found in fitting.items()}
        self.df_object.df = df[subject.isin(wanted)].reset_index(drop=True)
        missing = sorted(wanted.difference(subject))
        if missing:
            log.warning("%s has no images with labels of %s.", self.path_hdf5, ", ".join(missing))
        if complet:
            self.df_object.clean(self.cst_lst)
        else:
            some = self.df_object.df[self.cst_lst].notna().any(axis=1)
            self.df_object.df = self.df_object.df[some].reset_index(drop=True)
        if self.df_object.df.empty:
            without = "all of" if complet else "any of"
            raise DataError(
                f"{self.path_hdf5}: no sample of the {len(wanted)} subjects has {without} "
                f"{', '.join(self.cst_lst)}; change the contrasts, or remove the file; it will be created again"
            )

    def _available(self) -> np.ndarray:
        return self.df_object.df[self.cst_lst].notna().to_numpy().astype(int)

    def _read(self, key: str, zslice: int | None) -> np.ndarray:
        """[K, h, w] of a slice, or [K, H, W, D]."""
        stored = self._ram[key] if key in self._ram else self._file()[key]
        array = np.asarray(stored[()] if zslice is None else stored[..., zslice, :, :], np.float32)
        array = np.moveaxis(array, -3, -1) if zslice is None else array
        return array if stored.ndim == 4 else array[None]

    def _key(self, row: Any, kind: str, contrasts: Sequence[str]) -> str | None:
        columns = [f"{kind}/{contrast}" for contrast in reversed(contrasts)]
        return next((row[name] for name in columns if name in row and isinstance(row[name], str)), None)

    def _metadata(
        self, key: str | None, zslice: int | None, contrast: str | None = None, given: list[int] | None = None
    ) -> SampleMetadata:
        """Attributes of a stored array and its sidecar; for a missing one, only the missing contrasts."""
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
                    f"{self.path_hdf5}: the attributes of {key} are not those of ivadomed ({error}); remove the file; "
                    "it will be created again"
                ) from error
        return self._attributes[key]


def _stacked(channels: Sequence[np.ndarray | None], subject: str) -> np.ndarray:
    shapes = {channel.shape for channel in channels if channel is not None}
    if len(shapes) > 1:
        raise DataError(
            f"{subject}: its contrasts have the shapes {sorted(shapes)}; resample and crop them to one "
            "(transformation Resample and CenterCrop)"
        )
    [shape] = shapes
    return np.stack([np.zeros(shape, np.float32) if channel is None else channel for channel in channels])
