"""Results of earlier segmentations among the images of a folder."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from pathlib import Path

import nibabel as nib

from ivadomed.errors import DataError, some
from ivadomed.images.io import EXTENSIONS, is_nifti, split_extension, without_extension
from ivadomed.images.pictures import software_of
from ivadomed.images.pointers import FETCH, is_without_content
from ivadomed.runtime.terminal import shell_word

log = logging.getLogger(__name__)

MARK = "ivadomed prediction"
"""Mark of a result: in "descrip" of a NIfTI header, in "Software" of a PNG."""

_PREDICTION = re.compile(r"([-_].+)?[-_]pred(_\d+)?")


def images_of(folder: Path, suffixes: Sequence[str] = ()) -> list[Path]:
    """Images of a folder, sorted by name.

    Results of earlier segmentations, and files whose content was not fetched, are left out, with a message.

    A result is recognized by its mark, whatever its name, or by its name next to its source image: that of the image
    and ``..._pred``, or a suffix written by the current segmentation.

    Args:
        folder: The folder; subfolders are not searched.
        suffixes: Suffixes of the results to write, one per class.

    Raises:
        DataError: The folder has no image, only results, or only files without content.
    """
    paths = sorted(
        path for path in folder.iterdir() if path.name.lower().endswith(EXTENSIONS) and path.name[0] != "."
    )
    if not paths:
        within = sorted(path.name for path in folder.iterdir() if path.is_dir() and path.name[0] != ".")
        remedy = f"; name the folders in it instead, {some(within)}" if within else ""
        if any(name.startswith("sub-") for name in within):
            command = f"ivadomed --segment --model MODEL --path-data {shell_word(folder)} --path-output OUT"
            remedy = f"; for a data set: {command}"
        raise DataError(f"{folder}: holds no image; expected one of {', '.join(EXTENSIONS)}{remedy}")
    paths = _with_content(folder, paths)
    stems = {split_extension(path.name)[0] for path in paths}
    own = [without_extension(suffix) for suffix in suffixes]
    images = [path for path in paths if not (_is_named_as_result(path, stems, own) or is_marked(path))]
    if not images:
        raise DataError(
            f"{folder}: holds no image but {len(paths)} result(s) of segmentations, such as {paths[0].name}; name a "
            "file itself to segment it all the same"
        )
    if left := len(paths) - len(images):
        first = next(path for path in paths if path not in images)
        log.warning(
            "%s: %d result(s) of an earlier segmentation left out, such as %s; name a file itself to segment it.",
            folder,
            left,
            first.name,
        )
    return images


def _with_content(folder: Path, paths: Sequence[Path]) -> list[Path]:
    absent = [path for path in paths if is_without_content(path)]
    if not absent:
        return list(paths)
    if len(absent) == len(paths):
        raise DataError(f"{folder}: holds images without content only, such as {absent[0].name}; {FETCH}")
    log.warning(
        "%s: %d image(s) without content left out, such as %s; %s.",
        folder,
        len(absent),
        absent[0].name,
        FETCH,
    )
    return [path for path in paths if path not in absent]


def _is_named_as_result(path: Path, stems: set[str], suffixes: Sequence[str]) -> bool:
    stem = split_extension(path.name)[0]
    if any(suffix and stem.endswith(suffix) and stem.removesuffix(suffix) in stems for suffix in suffixes):
        return True
    starts = (found.start() for found in re.finditer("[-_]", stem))
    return any(stem[:start] in stems and _PREDICTION.fullmatch(stem[start:]) for start in starts)


def is_marked(path: Path) -> bool:
    """True for a result of ``segment_images``; False for an unreadable file, which is reported elsewhere."""
    if not is_nifti(path):
        return software_of(path) == MARK
    try:
        text = bytes(nib.load(path).header["descrip"])  # type: ignore[index]
    except Exception:  # a damaged header may raise almost any error
        return False
    return text.rstrip(b"\0").decode("latin-1") == MARK
