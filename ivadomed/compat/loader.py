"""``ivadomed.loader.utils`` of 2.x and of the manual of 2020: orientation, batches, metadata, and splits by subject."""

from __future__ import annotations

import copy
import os
import sys
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from ivadomed.compat.pairs import SampleMetadata
from ivadomed.compat.transforms import TRANSFORM_PARAMS
from ivadomed.config.schema.loader import DataTesting, SplitDataset, SubjectSelection
from ivadomed.errors import ConfigError, DataError
from ivadomed.geometry.grid import Grid, hwd_to_ras, ras_to_hwd
from ivadomed.images.io import EXTENSIONS, split_extension
from ivadomed.loader.bids.tables import read_tsv
from ivadomed.loader.split.draw import Split, draw, split_files
from ivadomed.loader.split.file import SIDES, read_split

EXT_LST = list(EXTENSIONS)
"""Extensions of image files that can be read."""


orient_img_hwd = ras_to_hwd
"""Reorder [R, A, S] to [H, W, D] with slices along ``slice_axis``."""

orient_img_ras = hwd_to_ras
"""Reorder [..., H, W, D] to [..., R, A, S]."""


def orient_shapes_hwd(data: Sequence[Any], slice_axis: int) -> np.ndarray:
    """Reorder three numbers (shape, voxel size) from R, A, S to H, W, D."""
    order = ras_to_hwd(np.empty((0, 1, 2)), slice_axis).shape
    return np.array([data[axis] for axis in order])


def reorient_image(
    arr: np.ndarray, slice_axis: int, nib_ref: Any, nib_ref_canonical: Any = None
) -> np.ndarray:
    """Bring [H, W, D] to the orientation of a reference image.

    Args:
        arr: Array in HWD order.
        slice_axis: RAS axis along which slices were taken.
        nib_ref: nibabel image whose orientation is wanted.
        nib_ref_canonical: Kept for callers of 2.9.10; not needed.
    """
    x, y, z = nib_ref.shape[:3]
    return np.asarray(Grid((x, y, z), nib_ref.affine, slice_axis).to_native(arr), np.float64)


def get_file_extension(filename: str | os.PathLike[str]) -> str | None:
    """Extension of an image file (".nii.gz", ".ome.tif", ...), or None if it is not supported."""
    try:
        return split_extension(filename)[1]
    except DataError:
        return None


def update_filename_to_nifti(filename: str) -> str:
    """Replace the extension of a picture by ".nii.gz"."""
    stem, extension = split_extension(filename)
    return filename if extension.startswith(".nii") else f"{stem}.nii.gz"


def imed_collate(batch: Sequence[Any]) -> Any:
    """Collate items to a batch: tensors, arrays and numbers are stacked, dictionaries merged by key.

    Anything else (metadata, strings, missing labels) becomes a list of the items' values.

    Args:
        batch: Items of a data set.

    Raises:
        DataError: Tensors differ in shape.
    """
    first = batch[0]
    if isinstance(first, Mapping):
        return {key: imed_collate([item[key] for item in batch]) for key in first}
    if any(item is None for item in batch):
        return list(batch)
    if isinstance(first, (torch.Tensor, np.ndarray)):
        tensors = [torch.as_tensor(item) for item in batch]
        shapes = {tuple(tensor.shape) for tensor in tensors}
        if len(shapes) > 1:
            raise DataError(
                f"samples of shapes {sorted(shapes)} cannot form a batch; add CenterCrop to the transformations, "
                "give a patch length, or use a batch size of 1"
            )
        return torch.stack(tensors)
    if isinstance(first, (bool, int, float, np.number)):
        return torch.from_numpy(np.array(batch))
    return list(batch)


def dropout_input(seg_pair: Mapping[str, Any]) -> dict[str, Any]:
    """Blank a random subset of the channels, to train for missing contrasts; at least one channel is kept.

    The number of blank channels is drawn uniformly from 0 to one less than all; channels that are already empty
    count as blank (Havaei et al., 2016, HeMIS).

    Args:
        seg_pair: ``input`` [C, ...] and, if there are any, ``input_metadata``.

    Returns:
        Copy with blanked channels; its metadata name them under ``dropped_channels``.
    """
    image = seg_pair["input"]
    n_channels = len(image)
    if n_channels < 2:
        warnings.warn("input dropout needs several channels: samples stay as they are", stacklevel=2)
        return dict(seg_pair)
    n_blank = int(torch.randint(n_channels, ()))
    varies = [bool((channel != channel.flatten()[0]).any()) for channel in image]
    full = [channel for channel in torch.randperm(n_channels).tolist() if varies[channel]]
    dropped = sorted(full[: max(0, n_blank - (n_channels - len(full)))])
    left = torch.ones(n_channels, dtype=torch.bool)
    left[dropped] = False
    mask = left.reshape(-1, *(1,) * (image.ndim - 1))
    out = {**seg_pair, "input": torch.where(mask, image, torch.zeros_like(image))}
    if seg_pair.get("input_metadata") is not None:
        out["input_metadata"] = [copy.copy(record) for record in seg_pair["input_metadata"]]
        for record in out["input_metadata"]:
            record["dropped_channels"] = dropped
    return out


def filter_roi(roi_data: Any, nb_nonzero_thr: int | None) -> bool:
    """Return True if a slice is discarded: its ROI has at most ``nb_nonzero_thr`` voxels, or none."""
    return bool(np.count_nonzero(roi_data) <= (nb_nonzero_thr or 0))


def update_metadata(
    metadata_src_lst: Sequence[SampleMetadata] | None, metadata_dest_lst: Sequence[Any] | None
) -> Any:
    """Copy the random parameters of one kind of array to the metadata of another.

    Args:
        metadata_src_lst: Metadata of the array that was transformed first; the first record counts.
        metadata_dest_lst: Metadata to complete; a class with several raters is a list.

    Returns:
        Copies of the destination with the random parameters that they lacked.
    """
    if not metadata_src_lst or not metadata_dest_lst:
        return metadata_dest_lst
    source = metadata_src_lst[0]

    def completed(record: Any) -> Any:
        if isinstance(record, list):
            return [completed(rater) for rater in record]
        new = copy.copy(record)
        new._update(source, TRANSFORM_PARAMS)
        return new

    return [completed(record) for record in metadata_dest_lst]


def get_obj_size(obj: Any) -> int:
    """Size in bytes of an object and its contents; arrays and tensors count once."""
    seen: set[int] = set()

    def size(item: Any) -> int:
        if id(item) in seen:
            return 0
        seen.add(id(item))
        if isinstance(item, (np.ndarray, torch.Tensor)):
            return int(item.nbytes)
        total = sys.getsizeof(item)
        if isinstance(item, Mapping):
            return total + sum(size(key) + size(value) for key, value in item.items())
        if isinstance(item, (list, tuple, set, frozenset)):
            return total + sum(map(size, item))
        return total + (size(vars(item)) if hasattr(item, "__dict__") and not isinstance(item, type) else 0)

    return size(obj)


def create_temp_directory() -> str:
    """Create an empty folder in the system's temporary folder; the caller deletes it."""
    return tempfile.mkdtemp(prefix="ivadomed_")


def unstack_tensors(sample: torch.Tensor) -> list[torch.Tensor]:
    """The samples [1, ...] of a batch [B, ...]."""
    return list(sample.split(1))


_METHODS = {"per_center": "institution_id", "per_patient": "participant_id", "per_person": "participant_id"}


def clean_metadata(metadata_lst: Sequence[Any]) -> list[SampleMetadata]:
    """Copies of metadata without what the transforms drew.

    Args:
        metadata_lst: Metadata of the channels of a sample.
    """
    return [
        SampleMetadata({key: value for key, value in record.items() if key not in TRANSFORM_PARAMS})
        for record in metadata_lst
    ]


def get_subdatasets_subject_files_list(
    split_params: Mapping[str, Any],
    df: pd.DataFrame,
    path_output: str | os.PathLike[str],
    subject_selection: Mapping[str, Sequence[Any]] | None = None,
) -> Split:
    """File names of the three sides, see `split_files`.

    Args:
        split_params: ``split_dataset`` of the configuration.
        df: Table of ``BidsDataframe``.
        path_output: Folder that a new split is saved in.
        subject_selection: ``subject_selection`` of the configuration.
    """
    return split_files(_unchecked(split_params), df, path_output, _selection(subject_selection))


def get_new_subject_file_split(
    df: pd.DataFrame,
    split_method: str,
    data_testing: Mapping[str, Any],
    random_seed: int,
    train_frac: float,
    test_frac: float,
    path_output: str | os.PathLike[str],
    balance: str | None,
    subject_selection: Mapping[str, Sequence[Any]] | None = None,
) -> Split:
    """Draw a split and save it, see `split_files`.

    Args:
        df: Table of ``BidsDataframe``.
        split_method: Column whose values stay together, e.g. "participant_id", "institution_id".
        data_testing: {"data_type": column or None, "data_value": values that go to the test side}.
        random_seed: Seed of all random choices.
        train_frac: Share of the values of ``split_method`` for training.
        test_frac: Share for testing, when ``data_testing`` names no values.
        path_output: Folder of the run.
        balance: Column with categories; each is split by itself, so that all are spread evenly. A value of
            ``split_method`` with several categories counts to that of its first row.
        subject_selection: ``subject_selection`` of the configuration.
    """
    split = _split(split_method, data_testing, random_seed, train_frac, test_frac, balance)
    return split_files(split, df, path_output, _selection(subject_selection))


def split_dataset(
    df: pd.DataFrame,
    split_method: str,
    data_testing: Mapping[str, Any],
    random_seed: int,
    train_frac: float = 0.8,
    test_frac: float = 0.1,
    balance: str | None = None,
) -> Split:
    """Split the files of a table without saving; see `get_new_subject_file_split`."""
    return draw(df, _split(split_method, data_testing, random_seed, train_frac, test_frac, balance))


def _split(*values: Any) -> SplitDataset:
    keys = ("split_method", "data_testing", "random_seed", "train_fraction", "test_fraction", "balance")
    return _unchecked(dict(zip(keys, values, strict=True)))


def _unchecked(given: Mapping[str, Any]) -> SplitDataset:
    """The section of what the documented functions are given: the draw itself says what it cannot do."""
    testing = DataTesting.model_construct(**(given.get("data_testing") or {}))
    return SplitDataset.model_construct(**{**given, "data_testing": testing})


def _selection(given: Mapping[str, Sequence[Any]] | None) -> SubjectSelection:
    n, metadata, value = ((given or {}).get(key) or () for key in ("n", "metadata", "value"))
    return SubjectSelection.model_construct(n=n, metadata=metadata, value=value)


def get_new_subject_split(
    path_folder: str | os.PathLike[str],
    center_test: Sequence[str],
    split_method: str,
    random_seed: int,
    train_frac: float,
    test_frac: float,
    log_directory: str | os.PathLike[str],
) -> tuple[list[str], list[str], list[str]]:
    """Draw a split of the subjects of a data set and save it as ``split_datasets.joblib``.

    Args:
        path_folder: The data set; its ``participants.tsv`` names the subjects and, in
            ``institution_id``, their centers.
        center_test: Centers that go to the test side; empty draws it too.
        split_method: "per_center" or "per_patient".
        random_seed: Seed of all random choices.
        train_frac: Share for training.
        test_frac: Share for testing.
        log_directory: Where the split is saved.

    Returns:
        Training, validation and test subjects.

    Raises:
        ConfigError: There is no such method.
        DataError: There is no usable table, or there are too few subjects.
    """
    column = _METHODS.get(split_method, split_method)
    if column not in _METHODS.values():
        raise ConfigError(f"split_method: {split_method!r}; expected per_center or per_patient")
    rows = read_tsv(Path(path_folder) / "participants.tsv", "participant_id")
    df = pd.DataFrame(rows)
    df["filename"] = df["participant_id"]
    testing = {"data_type": "institution_id" if center_test else None, "data_value": list(center_test)}
    training, validation, test = get_new_subject_file_split(
        df, column, testing, random_seed, train_frac, test_frac, log_directory, None
    )
    return list(training), list(validation), list(test)


def get_subdatasets_subjects_list(
    split_params: Mapping[str, Any], bids_path: str | os.PathLike[str], log_directory: str | os.PathLike[str]
) -> tuple[list[str], list[str], list[str]]:
    """Subjects of the three sides, from ``fname_split`` or newly drawn.

    Args:
        split_params: ``split_dataset`` as the manual of 2020 has it: ``fname_split``, or ``random_seed``, ``method``,
            ``center_test``, ``train_fraction`` and ``test_fraction``.
        bids_path: The data set.
        log_directory: Where a new split is saved.

    Returns:
        Training, validation and test subjects.

    Raises:
        DataError: The split file cannot be read, or there are too few subjects.
    """
    if split_params.get("fname_split"):
        saved = read_split(split_params["fname_split"])
        training, validation, test = (saved[side] for side in SIDES)
        return training, validation, test
    missing = [key for key in ("random_seed", "train_fraction", "test_fraction") if key not in split_params]
    if missing:
        raise DataError(f"split_dataset: has no {', '.join(missing)}; add it, or fname_split")
    return get_new_subject_split(
        bids_path,
        split_params.get("center_test") or [],
        split_params.get("method") or split_params.get("split_method") or "per_patient",
        split_params["random_seed"],
        split_params["train_fraction"],
        split_params["test_fraction"],
        log_directory,
    )
