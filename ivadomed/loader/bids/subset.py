"""Copy some subjects of a BIDS data set, with all or some of their contrasts."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

import numpy as np
from tqdm import tqdm

from ivadomed.errors import ConfigError, DataError, OutputError
from ivadomed.images.files import atomic_folder
from ivadomed.images.pointers import FETCH, is_pointer
from ivadomed.loader.bids.files import BidsFile
from ivadomed.loader.bids.index import IMAGE_EXTENSIONS, BidsIndex, entries_of, is_folder, leads_back, scan
from ivadomed.loader.bids.label_names import SEGMENTATIONS
from ivadomed.loader.bids.label_tables import LabelTables
from ivadomed.loader.bids.labels import Labels
from ivadomed.loader.bids.names import DATATYPES, without_padding
from ivadomed.loader.bids.text import encoding_of

log = logging.getLogger(__name__)

_TABLES = ("participants.tsv", "samples.tsv")
_APPLE = "._"  # files that macOS adds on disks of other systems


@dataclass(frozen=True)
class Subset:
    """Summary of what was copied.

    Args:
        subjects: Names of the subjects, sorted.
        images: Number of image files.
        labels: Number of their labels.
    """

    subjects: list[str]
    images: int
    labels: int


def is_good_contrast(fname: str, good_contrast_list: Iterable[str]) -> bool:
    """Return whether a file is an image, sidecar or label of one of the contrasts: ``sub-01_T2w.nii.gz`` of "T2w"."""
    fname = without_padding(fname)
    names = map(without_padding, good_contrast_list)
    return any(f"_{name}_" in fname or f"_{name}." in fname for name in names)


def remove_some_contrasts(
    folder: str | os.PathLike[str], subject_list: Iterable[str], good_contrast_list: Sequence[str]
) -> None:
    """Delete the images, sidecars and labels of all other contrasts.

    Args:
        folder: BIDS folder, or a derivatives folder.
        subject_list: Subjects ("sub-01") to process.
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
    """Copy randomly drawn subjects into a new data set; see ``extract_subset``.

    Returns:
        The subjects, sorted.
    """
    return extract_subset(input, output, n, contrast_list, include_derivatives, seed).subjects


def extract_subset(
    source: str | os.PathLike[str],
    output: str | os.PathLike[str],
    n: int = 10,
    contrasts: Sequence[str] | None = None,
    with_labels: bool = True,
    seed: int = -1,
) -> Subset:
    """Copy randomly drawn subjects into a new data set.

    Args:
        source: BIDS folder; it is not changed.
        output: Folder to create; it appears once everything is copied.
        n: Number of subjects; all are copied if there are fewer.
        contrasts: Contrasts to copy, None for all. Subjects without any of them are not drawn.
        with_labels: Copy the labels of the images, from all folders below ``derivatives``, with the tables and
            sidecars that apply to them.
        seed: Random seed; below 0, each call draws different subjects.

    Raises:
        ConfigError: ``n`` is below 1.
        DataError: No subject has one of the contrasts, or a file cannot be read.
        OutputError: ``output`` holds files or cannot be written.
    """
    root = Path(source).expanduser().absolute()
    if n < 1:
        raise ConfigError(f"-n {n}: expected at least 1")
    if not root.is_dir():
        raise DataError(f"{root}: no such folder; -i names a BIDS folder")
    there = [entry.name for entry in entries_of(root) if entry.name.startswith("sub-") and is_folder(entry)]
    index = scan(root, IMAGE_EXTENSIONS, validate=False) if there else None
    images = [] if index is None else [file for file in index if _is_image(file, contrasts)]
    subjects = _choose(root, there, images, n, contrasts, seed)
    images = [image for image in images if image.participant in subjects]
    labels = _labels(index, images) if index is not None and with_labels else []
    with atomic_folder(output) as place:
        copy = _Copy(root, place, subjects, contrasts, frozenset(str(label.path) for label in labels))
        try:
            copy.subjects_and_descriptions()
            copy.labels(labels, index.label_tables if index is not None else LabelTables())
        except shutil.Error as error:
            [(file, _, reason), *_] = error.args[0]
            raise DataError(f"{file}: cannot be copied ({reason}); fetch or remove it") from error
        except OSError as error:
            raise OutputError(
                f"{output}: {error.filename}: cannot be copied ({error.strerror}); free some disk space"
            ) from error
    return Subset(subjects, len(images), len(labels))


def _is_image(file: BidsFile, contrasts: Sequence[str] | None) -> bool:
    if file.is_derivative or file.suffix in SEGMENTATIONS:
        return False
    return contrasts is None or is_good_contrast(file.name, contrasts)


def _labels(index: BidsIndex, images: Iterable[BidsFile]) -> list[BidsFile]:
    """Distinct labels of the images."""
    labels = Labels(index)
    found = {label.path: label for image in images for label in labels.of(image)}
    return list(found.values())


def _choose(
    source: Path,
    subjects: Sequence[str],
    images: Iterable[BidsFile],
    n: int,
    contrasts: Sequence[str] | None,
    seed: int,
) -> list[str]:
    """Draw subjects from those that have one of the contrasts."""
    if contrasts is not None:
        having = {image.participant for image in images}
        subjects = [name for name in subjects if name in having]
    wanted = f" with {' or '.join(contrasts)}" if contrasts else ""
    if not subjects:
        raise DataError(f"{source}: has no subjects (sub-*){wanted}; check -i and -c")
    if n > len(subjects):
        log.warning("%s: has %d subjects%s, not %d; all are copied.", source, len(subjects), wanted, n)
    rng = np.random.default_rng(seed if seed >= 0 else None)
    return sorted(subjects[i] for i in rng.permutation(len(subjects))[:n])


def _unwanted(parent: str, names: Iterable[str], contrasts: Sequence[str]) -> list[str]:
    """Files in an image folder that belong to none of the contrasts; other folders hold tables for all."""
    if Path(parent).name not in DATATYPES:
        return []
    return [name for name in names if not is_good_contrast(name, contrasts)]


@dataclass(frozen=True)
class _Copy:
    """Copies part of a data set.

    Args:
        source: Folder of the data set.
        place: Folder of the copy.
        chosen: Subjects to copy.
        contrasts: Contrasts to copy, None for all.
        kept: Paths to copy regardless of their contrast.
    """

    source: Path
    place: Path
    chosen: Sequence[str]
    contrasts: Sequence[str] | None
    kept: frozenset[str]

    def subjects_and_descriptions(self) -> None:
        """Copy the folders of the subjects and the files that describe the data set."""
        for subject in tqdm(self.chosen, desc="Copying", unit="subject", disable=None):
            shutil.copytree(
                self.source / subject, self.place / subject, ignore=self._left_out, copy_function=_copy_file
            )
        self._descriptions(self.source)

    def labels(self, labels: Iterable[BidsFile], tables: LabelTables) -> None:
        """Copy labels, the tables and sidecars that apply to them, and the files that describe their folders."""
        files: set[Path] = set()
        folders: set[Path] = set()
        for label in labels:
            files.update([label.path, *tables.all_of(label)])
            parts = label.relative.split("/")
            above = next(i for i, part in enumerate(parts) if part.startswith("sub-"))
            folders.update(self.source.joinpath(*parts[:depth]) for depth in range(1, above + 1))
        for folder in sorted(folders):
            self._descriptions(folder)
        for file in sorted(files):
            self._file(file)

    def _descriptions(self, folder: Path) -> None:
        """Copy the files of a folder; for tables, the rows of the subjects."""
        for file in sorted(path for path in folder.iterdir() if path.is_file()):
            if not file.name.startswith(_APPLE):
                self._file(file)

    def _file(self, file: Path) -> None:
        target = self.place / file.relative_to(self.source)
        if target.exists():
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        if file.name in _TABLES:
            _copy_rows(file, target, self.chosen)
        else:
            _copy_file(file, target)

    def _left_out(self, parent: str, names: list[str]) -> list[str]:
        """Entries of a subject folder that are not copied."""
        unwanted = [] if self.contrasts is None else _unwanted(parent, names, self.contrasts)
        return [name for name in unwanted if os.path.join(parent, name) not in self.kept] + [
            name for name in names if name.startswith(_APPLE) or leads_back(os.path.join(parent, name))
        ]


def _copy_file(source: str | os.PathLike[str], target: str | os.PathLike[str]) -> str | os.PathLike[str]:
    """Copy a file, unless it is a placeholder for content stored elsewhere."""
    if is_pointer(source):
        raise DataError(f"{os.fspath(source)}: its content is missing; {FETCH}")
    shutil.copy2(source, target)
    return target


def _copy_rows(file: Path, place: Path, subjects: Sequence[str]) -> None:
    """Copy the rows of a table whose ``participant_id`` is one of the subjects, verbatim."""
    content = file.read_bytes()
    encoding = encoding_of(content)
    if encoding is None or is_pointer(content):
        _copy_file(file, place)
        return
    lines = list(StringIO(content.decode(encoding), newline=""))
    names = [name.strip() for name in lines[0].split("\t")] if lines else []
    if "participant_id" in names:
        column = names.index("participant_id")
        lines[1:] = [line for line in lines[1:] if _cell(line, column) in subjects]
    place.write_bytes("".join(lines).encode(encoding))


def _cell(line: str, column: int) -> str:
    cells = line.split("\t")
    return cells[column].strip() if len(cells) > column else ""
