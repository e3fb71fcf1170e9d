"""Copy of some subjects of a BIDS data set, with all or some of their contrasts."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

from ivadomed.errors import ConfigError, DataError, OutputError
from ivadomed.images.files import atomic_folder
from ivadomed.loader.bids.names import DATATYPES

log = logging.getLogger(__name__)

_TABLES = ("participants.tsv", "samples.tsv")


def is_good_contrast(fname: str, good_contrast_list: Iterable[str]) -> bool:
    """Test for an image, a sidecar or a label of one of the contrasts: ``sub-01_T2w.nii.gz`` of "T2w"."""
    return any(f"_{name}_" in fname or f"_{name}." in fname for name in good_contrast_list)


def remove_some_contrasts(
    folder: str | os.PathLike[str], subject_list: Iterable[str], good_contrast_list: Sequence[str]
) -> None:
    """Delete the images, sidecars and labels of all other contrasts.

    Args:
        folder: BIDS folder, or ``derivatives/labels`` of one.
        subject_list: Subjects ("sub-01") to look at.
        good_contrast_list: Contrasts to keep.
    """
    for subject in subject_list:
        for parent, _, files in os.walk(Path(folder, subject)):
            for name in _unwanted(parent, files, good_contrast_list):
                Path(parent, name).unlink()


def extract_small_dataset(
    input: str | os.PathLike[str],
    output: str | os.PathLike[str],
    n: int = 10,
    contrast_list: Sequence[str] | None = None,
    include_derivatives: bool = True,
    seed: int = -1,
) -> list[str]:
    """Copy subjects, drawn at random, into a new data set.

    Args:
        input: BIDS folder; it is not changed.
        output: Folder to be made. It appears when all is copied.
        n: Number of subjects; all are copied where there are fewer.
        contrast_list: Contrasts to copy, None for all. Subjects without any of them are not drawn.
        include_derivatives: Copy ``derivatives/labels`` too.
        seed: Of the drawing; below 0 each call draws others.

    Returns:
        The subjects, sorted.

    Raises:
        ConfigError: ``n`` is below 1.
        DataError: There is no subject with one of the contrasts, or a file cannot be read.
        OutputError: ``output`` holds files or cannot be written.
    """
    source = Path(input)
    subjects = _choose(source, n, contrast_list, seed)
    with atomic_folder(output) as place:
        try:
            for subject in tqdm(subjects, desc="Copying", unit="subject", disable=None):
                _copy(source / subject, place / subject, contrast_list)
                labels = Path("derivatives", "labels", subject)
                if include_derivatives and (source / labels).is_dir():
                    _copy(source / labels, place / labels, contrast_list)
            _copy_descriptions(source, place, subjects, include_derivatives)
        except shutil.Error as error:
            [(file, _, reason), *_] = error.args[0]
            raise DataError(f"{file}: cannot be copied ({reason}); fetch or remove it") from error
        except OSError as error:
            raise OutputError(
                f"{output}: {error.filename}: cannot be copied ({error.strerror}); make room"
            ) from error
    return subjects


def _choose(source: Path, n: int, contrasts: Sequence[str] | None, seed: int) -> list[str]:
    if n < 1:
        raise ConfigError(f"-n {n}: expected at least 1")
    subjects = sorted(path.name for path in source.glob("sub-*") if path.is_dir())
    if contrasts is not None:
        subjects = [
            name
            for name in subjects
            if any(is_good_contrast(path.name, contrasts) for path in (source / name).rglob("*"))
        ]
    having = f" with {' or '.join(contrasts)}" if contrasts else ""
    if not subjects:
        raise DataError(f"{source}: has no subjects (sub-*){having}; check -i and -c")
    if n > len(subjects):
        log.warning("%s: has %d subjects%s, not %d; all are taken.", source, len(subjects), having, n)
    rng = np.random.default_rng(seed if seed >= 0 else None)
    return sorted(subjects[i] for i in rng.permutation(len(subjects))[:n])


def _unwanted(parent: str, names: Iterable[str], contrasts: Sequence[str]) -> list[str]:
    """Files of a folder of images that belong to none of the contrasts; other folders hold tables for all."""
    if Path(parent).name not in DATATYPES:
        return []
    return [name for name in names if not is_good_contrast(name, contrasts)]


def _copy(source: Path, place: Path, contrasts: Sequence[str] | None) -> None:
    def ignore(parent: str, names: list[str]) -> list[str]:
        return [] if contrasts is None else _unwanted(parent, names, contrasts)

    shutil.copytree(source, place, ignore=ignore)


def _copy_descriptions(source: Path, place: Path, subjects: Sequence[str], derivatives: bool) -> None:
    """Files that describe the data set; of tables the rows of the subjects."""
    folders = [Path(), *([Path("derivatives"), Path("derivatives", "labels")] if derivatives else [])]
    for folder in folders:
        if not (source / folder).is_dir():
            continue
        (place / folder).mkdir(parents=True, exist_ok=True)
        for file in sorted(path for path in (source / folder).iterdir() if path.is_file()):
            if file.name in _TABLES:
                _copy_rows(file, place / folder / file.name, subjects)
            else:
                shutil.copy2(file, place / folder / file.name)


def _copy_rows(file: Path, place: Path, subjects: Sequence[str]) -> None:
    """Copy the rows of a table whose ``participant_id`` is one of the subjects, as they are written."""
    lines = file.read_text(encoding="utf-8-sig").splitlines()
    names = lines[0].split("\t") if lines else []
    if "participant_id" in names:
        column = names.index("participant_id")
        rows = [line.split("\t") for line in lines]
        lines = [
            line
            for line, row in zip(lines, rows, strict=True)
            if line is lines[0] or (len(row) > column and row[column].strip() in subjects)
        ]
    place.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
