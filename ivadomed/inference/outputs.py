"""From soft predictions to images: noise floor, postprocessing, data type, header."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from ivadomed.config.run_files import CONFIG
from ivadomed.errors import DataError, OutputError
from ivadomed.geometry.grid import Grid
from ivadomed.images.io import (
    affine_mm,
    is_nifti,
    is_picture,
    make_like,
    make_nifti,
    save_nifti,
    split_extension,
    write_picture,
)
from ivadomed.inference.label_map import NIFTI, PICTURE, LabelMaps
from ivadomed.inference.prediction import Prediction
from ivadomed.postprocessing import Postprocessing, threshold_predictions

PREDICTIONS = "pred_masks"
"""Folder of the predictions in the folder of a run."""

NOISE_FLOOR = 0.01


def refuse_predictions_folder(folder: str | os.PathLike[str]) -> None:
    """Raise if the folder contains the predictions of the test set of a run, which are evaluated.

    Raises:
        OutputError: It does.
    """
    place = Path(folder).resolve()
    if place.name == PREDICTIONS and (place.parent / CONFIG).exists():
        raise OutputError(
            f"{folder}: holds the predictions of a test set, which --eval measures; choose another folder"
        )


def finish(
    prediction: Prediction,
    postprocessing: Mapping[str, Any] | None = None,
    prefix: str | os.PathLike[str] = "",
) -> np.ndarray:
    """Clear the noise floor and run the postprocessing steps, in place.

    Args:
        prediction: Soft prediction; its values are modified.
        postprocessing: Steps by name, in order.
        prefix: Path without "_pred.nii.gz", for steps that read the uncertainty maps next to it.

    Returns:
        [X, Y, Z, K]: uint8 if it contains only 0 and 1 after a binarizing step, else float32. Soft values up to
        0.01 are set to 0, as in ivadomed 2.9.10.
    """
    data, steps = prediction.soft, dict(postprocessing or {})
    for soft in np.moveaxis(data, -1, 0):  # a mask of all classes would be large
        np.copyto(soft, 0, where=soft <= NOISE_FLOOR)
    if steps:
        zooms = list(nib.affines.voxel_sizes(prediction.grid.affine))
        data = np.asarray(Postprocessing(steps, data, zooms, prefix).apply())
    threshold = (steps.get("binarize_prediction") or {}).get("thr", -1)
    is_binary = threshold >= 0 or "binarize_maxpooling" in steps
    return data.astype(np.uint8 if is_binary else np.float32, copy=False)


def to_nifti(prediction: Prediction, data: np.ndarray) -> nib.Nifti1Image:
    """Image on the grid of the prediction's input; one class gives a 3D image, several a 4D one."""
    return make_nifti(
        data[..., 0] if data.shape[-1] == 1 else data, prediction.grid.affine, prediction.header
    )


def write_prediction(
    prediction: Prediction, data: np.ndarray, folder: Path, per_class: bool = False
) -> list[Path]:
    """Write a postprocessed prediction.

    Args:
        prediction: Prediction of a case.
        data: [X, Y, Z, K], see ``finish``.
        folder: Output folder.
        per_class: One file ``<case>_class-N_pred.nii.gz`` per class instead of ``<case>_pred.nii.gz``.

    Returns:
        The NIfTI files. For pictures, each class is also written as PNG for viewing.
    """
    stem = folder / prediction.case.id
    names = [f"_class-{k}_pred" for k in range(data.shape[-1])]
    if per_class:
        return write_classes(prediction, data, stem, names)
    path = stem.with_name(f"{stem.name}_pred.nii.gz")
    save_nifti(to_nifti(prediction, data), path)
    _write_pictures(prediction, data, stem, names)
    return [path]


def write_classes(
    prediction: Prediction, data: np.ndarray, stem: Path, suffixes: Sequence[str]
) -> list[Path]:
    """Write one file per class, ``<stem><suffix>.nii.gz``, for pictures also as PNG.

    Args:
        prediction: Prediction of a case.
        data: [X, Y, Z, K], see ``finish``.
        stem: Path of the results of the case, up to the name of the image.
        suffixes: One per class.

    Returns:
        The NIfTI files.
    """
    files = class_files(prediction, stem, suffixes)[: len(suffixes)]
    for path, image in zip(files, split_classes(to_nifti(prediction, data)), strict=True):
        save_nifti(image, path)
    _write_pictures(prediction, data, stem, suffixes)
    return files


def class_files(prediction: Prediction, stem: Path, suffixes: Sequence[str]) -> list[Path]:
    """Names of the files of ``write_classes``: NIfTI files, then pictures."""
    extensions = _extensions(prediction)
    return [
        stem.with_name(f"{stem.name}{suffix}{extension}") for extension in extensions for suffix in suffixes
    ]


def _extensions(prediction: Prediction) -> tuple[str, ...]:
    """Extensions of the files of a result: NIfTI, for a picture also PNG."""
    return (NIFTI,) if is_nifti(prediction.case.images[0]) else (NIFTI, PICTURE)


def _write_pictures(prediction: Prediction, data: np.ndarray, stem: Path, suffixes: Sequence[str]) -> None:
    """Write each class of a picture as PNG, 255 for 1."""
    for k, path in enumerate(class_files(prediction, stem, suffixes)[len(suffixes) :]):
        pixels = np.round(data[..., 0, k].astype(np.float32) * 255).astype(np.uint8)
        write_picture(path, pixels)


def write_label_map(
    prediction: Prediction,
    data: np.ndarray,
    stem: Path,
    label_maps: LabelMaps,
    tables: Path | None = None,
) -> list[Path]:
    """Write the label map of a prediction [X, Y, Z, K], for a picture also as PNG; see ``LabelMaps.write``."""
    masks = split_classes(to_nifti(prediction, data)) if label_maps.names else []
    return label_maps.write(stem, masks, _extensions(prediction), tables)


def split_classes(nib_prediction: nib.Nifti1Image) -> list[nib.Nifti1Image]:
    """One 3D image per class of a 4D image [X, Y, Z, K]."""
    data = np.asanyarray(nib_prediction.dataobj)
    channels = [data] if data.ndim == 3 else [data[..., k] for k in range(data.shape[-1])]
    return [make_like(channel, nib_prediction) for channel in channels]


def pred_to_nib(
    data_lst: Sequence[np.ndarray],
    z_lst: Sequence[int],
    fname_ref: str,
    fname_out: str | None,
    slice_axis: int,
    debug: bool = False,
    kernel_dim: str = "2d",
    bin_thr: float = 0.5,
    discard_noise: bool = True,
    postprocessing: Mapping[str, Any] | None = None,
) -> nib.Nifti1Image:
    """Map slices or a volume in HWD order back to the grid of a reference image.

    Args:
        data_lst: 2D: one [K, H, W] per slice; 3D: one [K, H, W, D].
        z_lst: 2D: index of each slice; the others are 0.
        fname_ref: Image that provides grid and header.
        fname_out: File to write, or None.
        slice_axis: RAS axis along which slices were extracted.
        debug: Kept for callers of 2.9.10; without effect.
        kernel_dim: "2d" or "3d".
        bin_thr: Binarize at this value; negative keeps soft values.
        discard_noise: Set soft values up to 0.01 to 0.
        postprocessing: Steps by name, in order.

    Returns:
        Image [X, Y, Z, K].
    """
    reference: Any = nib.load(fname_ref)
    x, y, z = reference.shape[:3]
    grid = Grid((x, y, z), affine_mm(reference), slice_axis)
    if kernel_dim == "2d":
        volume = np.zeros((*data_lst[0].shape, grid.hwd_shape[2]), data_lst[0].dtype)
        for index, data in zip(z_lst, data_lst, strict=True):
            volume[..., index] = data
    else:
        volume = data_lst[0]
    native = np.stack([grid.to_native(channel) for channel in volume], axis=-1)
    if bin_thr >= 0:
        native = threshold_predictions(native, thr=bin_thr)
    elif discard_noise:
        native = np.where(native <= NOISE_FLOOR, 0, native)
    if postprocessing:
        prefix = "" if fname_out is None else fname_out.split("_pred.nii.gz")[0]
        zooms = list(nib.affines.voxel_sizes(grid.affine))
        native = Postprocessing(dict(postprocessing), native, zooms, prefix).apply()
    dtype = np.uint8 if bin_thr >= 0 else np.float32
    image = make_like(native.astype(dtype), reference)
    if fname_out is not None:
        save_nifti(image, fname_out)
    return image


def pred_to_png(
    pred_list: Sequence[nib.Nifti1Image],
    target_list: Sequence[str],
    subj_path: str | os.PathLike[str],
    suffix: str = "",
    max_value: int = 1,
    software: str = "",
) -> None:
    """Write one picture per class next to ``subj_path``: ``<subj_path><target><suffix>.png``.

    Args:
        pred_list: Predictions [H, W, 1] or [H, W] with values 0..``max_value``.
        target_list: Suffix of each class, with or without the extension of a picture ("_seg-axon.png").
        subj_path: Path without extension.
        suffix: Appended to the name; likewise with or without extension.
        max_value: Value that becomes 255.
        software: Name of the program, for PNG files.

    Raises:
        DataError: A prediction has more than one slice, or there is not one suffix per prediction.
    """
    if len(pred_list) != len(target_list):
        raise DataError(
            f"pred_to_png: {len(pred_list)} predictions, but {len(target_list)} suffixes; give one for each"
        )
    for prediction, target in zip(pred_list, target_list, strict=True):
        path = picture_path(subj_path, target, suffix)
        data = np.asanyarray(prediction.dataobj)
        if data.ndim > 2 and data.shape[2:] != (1,) * (data.ndim - 2):
            raise DataError(
                f"{path}: the prediction has shape {'x'.join(map(str, data.shape))}; a picture has one slice, save "
                "a volume as NIfTI"
            )
        pixels = data.reshape(data.shape[:2]) / max_value * 255
        write_picture(path, np.round(pixels).astype(np.uint8), software)


def picture_path(stem: str | os.PathLike[str], *suffixes: str) -> str:
    """Name of a picture from suffixes that may carry an extension, as toolboxes write them; PNG unless one does.

    "sub-1", "_seg-axon.png", "_pred" is sub-1_seg-axon_pred.png.
    """
    name, extension = os.fspath(stem), ".png"
    for suffix in suffixes:
        if is_picture(suffix):
            suffix, extension = split_extension(suffix)
        name += suffix
    return name + extension
