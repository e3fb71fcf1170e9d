"""Segmentation of image files outside of BIDS: inputs on the command line, and an output file per class beside them."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from ivadomed.errors import ConfigError, DataError
from ivadomed.images.io import EXTENSIONS, is_nifti, save_nifti, split_extension, without_extension
from ivadomed.inference.outputs import picture_path, pred_to_png
from ivadomed.inference.predictor import Predictor
from ivadomed.runtime.device import chosen_device

_DOUBLE_EXTENSIONS = (".nii.gz", ".ome.tiff", ".ome.tif", ".tar.gz")


def segment_images(
    model: str | os.PathLike[str] | Predictor,
    subjects: Sequence[Sequence[Path | None]],
    output: str | os.PathLike[str],
    suffixes: Sequence[str] | str | None = None,
    gpu_id: int | None = 0,
    options: dict[str, Any] | None = None,
) -> list[Path]:
    """Segment the images of subjects and write one file per class.

    Args:
        model: Folder of the packaged model, which is loaded once; or the loaded model, and ``gpu_id`` does not count.
        subjects: Per subject its images, one per channel of the model.
        output: Folder of the results.
        suffixes: Suffix of the output of each class, or one text, which comes behind the class names where there are
            several classes; the class names and ``_pred`` when not given.
        gpu_id: GPU to use where there is one; None for the CPU.
        options: See ``ivadomed.inference.segment_volume``.

    Returns:
        The files: ``<image><suffix>.nii.gz``, or ``.png`` for pictures, unless the suffix has an extension of its own.

    Raises:
        ConfigError: Not one suffix per class, or one with an extension of another kind of file.
        DataError: An image cannot be used, or an output would replace an input.
    """
    predictor = model if isinstance(model, Predictor) else Predictor(model, chosen_device(gpu_id))
    names = _output_suffixes(predictor.class_names, suffixes, predictor.folder)
    written: list[Path] = []
    for images in tqdm(subjects, desc="Segmentation", unit="image", leave=False, disable=None):
        first = next(image for image in images if image is not None)
        stem = Path(output) / splitext(first.name)[0]
        files = [_output_file(stem, name, first) for name in names]
        inputs = {image.resolve() for image in images if image is not None}
        for file in files:
            if file.resolve() in inputs:
                raise DataError(
                    f"{file}: the output would replace an input; choose another --output or --suffix"
                )
        masks = predictor(images, options)
        if is_nifti(first):
            for mask, file in zip(masks, files, strict=True):
                save_nifti(mask, file)
        else:
            pred_to_png(masks, names, stem)
        written += files
    return written


def segment_image(
    fname_images: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    path_model: str | os.PathLike[str],
    suffix_out: str,
    options: Mapping[str, Any] | None,
) -> list[Path]:
    """Segment one image and write the result beside it.

    Args:
        fname_images: The image; for a model of several channels one file per channel, in the model's order.
        path_model: Folder of the packaged model.
        suffix_out: Suffix of the output. Of a model of several classes it comes behind the class names.
        options: See ``ivadomed.inference.segment_volume``.

    Returns:
        A file per class: ``<first image><suffix_out>.nii.gz``, or ``.png`` for pictures.

    Raises:
        ConfigError: The model's JSON or an option is wrong.
        DataError: An image cannot be used, or the output would replace it.
        ModelError: The model cannot be used.
    """
    names = [fname_images] if isinstance(fname_images, str | os.PathLike) else fname_images
    images = [Path(name) for name in names]
    return segment_images(path_model, [images], images[0].parent, suffix_out, options=dict(options or {}))


def splitext(fname: str) -> tuple[str, str]:
    """Split a file name into what precedes the extension and the extension, which may be double: ".nii.gz"."""
    for extension in _DOUBLE_EXTENSIONS:
        if fname.lower().endswith(extension):
            return fname[: -len(extension)], fname[-len(extension) :]
    return os.path.splitext(fname)


def add_suffix(fname: str, suffix: str) -> str:
    """Put a suffix between a file name and its extension: ``t2.nii.gz`` and "_seg" make ``t2_seg.nii.gz``."""
    stem, extension = splitext(fname)
    return f"{stem}{suffix}{extension}"


def _output_suffixes(
    classes: Sequence[str], suffixes: Sequence[str] | str | None, model: str | os.PathLike[str]
) -> list[str]:
    classes = [f"_{without_extension(name).removeprefix('_')}" for name in classes]
    if not suffixes:
        return [f"{name}_pred" for name in classes]
    if isinstance(suffixes, str):
        return [suffixes] if len(classes) == 1 else [f"{name}{suffixes}" for name in classes]
    if len(suffixes) != len(classes):
        raise ConfigError(
            f"--suffix: {len(suffixes)} given, {model} has {len(classes)} classes "
            f"({', '.join(classes)}); give one for each"
        )
    return list(suffixes)


def _output_file(stem: Path, suffix: str, image: Path) -> Path:
    """The file of a class; a suffix may carry the extension, "_seg.nii.gz" or "_seg.png"."""
    has_extension = without_extension(suffix) != suffix
    if has_extension and is_nifti(suffix) != is_nifti(image):
        kind = "NIfTI files" if is_nifti(image) else "pictures"
        raise ConfigError(
            f"--suffix: {suffix}, but segmentations of {kind} such as {image} are {kind} too; leave the extension out"
        )
    if not is_nifti(image):
        return Path(picture_path(stem, suffix))
    return Path("".join([f"{stem}", *split_extension(suffix if has_extension else f"{suffix}.nii.gz")]))


def list_subjects(groups: Sequence[Sequence[str]], channels: int) -> list[list[Path | None]]:
    """Images of each subject; of a model with one channel every image is a subject."""
    subjects: list[list[Path | None]] = []
    for group in groups:
        paths: list[Path | None] = []
        for text in group:
            folder = Path(text)
            if folder.is_dir():
                found = sorted(p for p in folder.iterdir() if p.name.lower().endswith(EXTENSIONS))
                if not found:
                    raise DataError(f"{folder}: holds no image; expected one of {', '.join(EXTENSIONS)}")
                paths += found
            else:
                paths.append(None if text.lower() == "none" else folder)
        subjects += [[path] for path in paths] if channels == 1 else [paths]
    return subjects
