"""Segmentation of image files without BIDS: inputs from the command line, one file per class and a label map."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from ivadomed.errors import ConfigError, DataError, some
from ivadomed.images.io import is_nifti, save_nifti, split_extension, without_extension
from ivadomed.inference.label_map import NIFTI, NO_LABEL_MAPS, PICTURE, map_files, overlaps_text
from ivadomed.inference.outputs import picture_path, pred_to_png, refuse_predictions_folder
from ivadomed.inference.own_results import MARK, images_of, is_marked
from ivadomed.inference.predictor import Predictor
from ivadomed.runtime.device import chosen_device

log = logging.getLogger(__name__)

_DOUBLE_EXTENSIONS = (".nii.gz", ".ome.tiff", ".ome.tif", ".tar.gz")


def segment_images(
    model: str | os.PathLike[str] | Predictor,
    subjects: Sequence[Sequence[Path | None]],
    output: str | os.PathLike[str],
    suffixes: Sequence[str] | str | None = None,
    gpu_id: int | None = 0,
    options: dict[str, Any] | None = None,
    label_map: bool = True,
) -> list[Path]:
    """Segment the images of subjects and write one file per class, and a label map for several classes.

    Args:
        model: Folder of the packaged model, which is loaded once; or the loaded model (``gpu_id`` is then ignored).
        subjects: Images of each subject, one per channel of the model.
        output: Output folder; for images of equal names from several folders, the differing part of their paths is
            recreated in it.
        suffixes: Suffix of the output of each class, or a single one, appended to the class names if there are
            several classes; by default the class names and ``_pred``.
        gpu_id: GPU to use, if available; None for the CPU.
        options: See ``ivadomed.inference.segment_volume``.
        label_map: Write ``<image>_dseg.nii.gz``, or ``.png``, for models of several classes, where they do not overlap.

    Returns:
        The files: ``<image><suffix>.nii.gz``, or ``.png`` for pictures, unless the suffix has its own extension;
        the label map of each image comes last.

    Raises:
        ConfigError: Not one suffix per class, or one with an extension of another kind of file.
        OutputError: The folder contains the predictions of a test set.
        DataError: An image is unusable (the others are segmented first), or an output would replace an input, another
            output or a label map not written by ivadomed.
    """
    predictor = model if isinstance(model, Predictor) else Predictor(model, chosen_device(gpu_id))
    names = output_suffixes(predictor.class_names, suffixes, predictor.folder)
    stems = _output_stems([_first(images) for images in subjects], names, Path(output))
    outputs = [
        [_output_file(stem, name, _first(images)) for name in names]
        for stem, images in zip(stems, subjects, strict=True)
    ]
    label_maps = predictor.label_maps if label_map else NO_LABEL_MAPS
    maps = [
        map_files(stem, [_map_extension(images)]) if label_maps.names else []
        for stem, images in zip(stems, subjects, strict=True)
    ]
    refuse_predictions_folder(output)
    _refuse_to_overwrite(subjects, [[*files, *own] for files, own in zip(outputs, maps, strict=True)])
    _refuse_labels([file for own in maps for file in own])
    written: list[Path] = []
    overlaps: list[str] = []
    faults: list[DataError] = []
    work = list(zip(subjects, stems, outputs, strict=True))
    for images, stem, files in tqdm(work, desc="Segmentation", unit="image", leave=False, disable=None):
        try:
            masks = predictor(images, options)
        except DataError as fault:
            faults.append(fault)
            continue
        if is_nifti(_first(images)):
            for mask, file in zip(masks, files, strict=True):
                mask.header["descrip"] = MARK
                save_nifti(mask, file)
        else:
            pred_to_png(masks, names, stem, software=MARK)
        joined = label_maps.write(stem, masks, [_map_extension(images)])
        overlaps += [] if joined else [stem.name]
        written += [*files, *joined]
    if label_maps.names and overlaps:
        log.warning("Label maps: %s", overlaps_text(overlaps))
    _refuse(faults, len(work))
    return written


def _map_extension(images: Sequence[Path | None]) -> str:
    return NIFTI if is_nifti(_first(images)) else PICTURE


def _refuse(faults: Sequence[DataError], count: int) -> None:
    """Raise the first fault, listing the others."""
    if len(faults) > 1:
        raise DataError("\n".join([*map(str, faults), f"{len(faults)} of {count} images were not segmented"]))
    if faults:
        raise faults[0]


def _first(images: Sequence[Path | None]) -> Path:
    return next(image for image in images if image is not None)


def _output_stems(images: Sequence[Path], suffixes: Sequence[str], output: Path) -> list[Path]:
    """Path and name prefix of the results of each image.

    Images of equal names from several folders keep the differing part of their paths.
    """
    stems = [output / splitext(image.name)[0] for image in images]
    files = [_output_file(stem, suffixes[0], image) for stem, image in zip(stems, images, strict=True)]
    parents = [Path(os.path.abspath(image.parent)) for image in images]
    if len(set(files)) == len(files) or len({path.anchor for path in parents}) > 1:
        return stems
    shared = os.path.commonpath(parents)
    return [output / path.relative_to(shared) / stem.name for path, stem in zip(parents, stems, strict=True)]


def _refuse_to_overwrite(
    subjects: Sequence[Sequence[Path | None]], outputs: Sequence[Sequence[Path]]
) -> None:
    """Raise before predicting if a result would replace an input or another result."""
    inputs = {image.resolve() for images in subjects for image in images if image is not None}
    made_from: dict[Path, Path] = {}
    for images, files in zip(subjects, outputs, strict=True):
        for file in files:
            if file.resolve() in inputs:
                raise DataError(
                    f"{file}: the output would replace an input; choose another --output or --suffix"
                )
            other = made_from.setdefault(file.resolve(), _first(images))
            if other is not _first(images):
                raise DataError(
                    f"{other} and {_first(images)}: both results would be {file}; rename one of the images, or "
                    "segment them into different folders (--output)"
                )


def _refuse_labels(label_maps: Sequence[Path]) -> None:
    """Raise before predicting if a label map not written by ivadomed would be replaced."""
    drawn = [path for path in label_maps if path.exists() and not is_marked(path)]
    if drawn:
        raise DataError(
            f"{some(map(str, drawn))}: not written by ivadomed and would be replaced; choose another --output, or "
            "omit label maps with --no-label-map"
        )


def segment_image(
    fname_images: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    path_model: str | os.PathLike[str],
    suffix_out: str,
    options: Mapping[str, Any] | None,
) -> list[Path]:
    """Segment one image and write the result next to it.

    Args:
        fname_images: The image; for a model of several channels one file per channel, in the model's order.
        path_model: Folder of the packaged model.
        suffix_out: Suffix of the output, appended to the class names for a model of several classes.
        options: See ``ivadomed.inference.segment_volume``.

    Returns:
        A file per class: ``<first image><suffix_out>.nii.gz``, or ``.png`` for pictures.

    Raises:
        ConfigError: The model's JSON or an option is invalid.
        DataError: An image is unusable, or the output would replace it.
        ModelError: The model is unusable.
    """
    names = [fname_images] if isinstance(fname_images, str | os.PathLike) else fname_images
    images = [Path(name) for name in names]
    given = dict(options or {})
    return segment_images(path_model, [images], images[0].parent, suffix_out, options=given, label_map=False)


def splitext(fname: str) -> tuple[str, str]:
    """Split a file name into stem and extension, which may be double: ".nii.gz"."""
    for extension in _DOUBLE_EXTENSIONS:
        if fname.lower().endswith(extension):
            return fname[: -len(extension)], fname[-len(extension) :]
    return os.path.splitext(fname)


def add_suffix(fname: str, suffix: str) -> str:
    """Insert a suffix before the extension of a file name: ``t2.nii.gz`` and "_seg" make ``t2_seg.nii.gz``."""
    stem, extension = splitext(fname)
    return f"{stem}{suffix}{extension}"


def output_suffixes(
    classes: Sequence[str], suffixes: Sequence[str] | str | None, model: str | os.PathLike[str]
) -> list[str]:
    """Suffix of the result of each class.

    Args:
        classes: Names of the classes of the model.
        suffixes: See ``segment_images``.
        model: Folder of the model, for the error.

    Raises:
        ConfigError: Not one suffix per class.
    """
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
    if len(set(suffixes)) < len(suffixes):
        raise ConfigError(f"--suffix: {', '.join(suffixes)}; the suffixes of the classes must differ")
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


def list_subjects(
    groups: Sequence[Sequence[str]], channels: int, suffixes: Sequence[str] = ()
) -> list[list[Path | None]]:
    """Images of each subject; for a single-channel model each image is a subject, listed once.

    Args:
        groups: Images and folders, in which results of earlier segmentations are skipped; "none" for no image.
        channels: Channels of the model.
        suffixes: Suffixes of the results, see ``output_suffixes``.

    Raises:
        DataError: A folder has no image.
    """
    subjects: list[list[Path | None]] = []
    for group in groups:
        paths: list[Path | None] = []
        for text in group:
            folder = Path(text)
            if folder.is_dir():
                paths += images_of(folder, suffixes)
            else:
                paths.append(None if text.lower() == "none" else folder)
        subjects += [[path] for path in paths] if channels == 1 else [paths]
    unique: dict[tuple[Path | None, ...], list[Path | None]] = {}
    for paths in subjects:  # a file may be named both directly and by its folder
        unique.setdefault(tuple(path and path.resolve() for path in paths), paths)
    return list(unique.values())
