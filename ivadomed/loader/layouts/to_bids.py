"""Write a data set of another kind as BIDS: images, labels and metadata."""

from __future__ import annotations

import csv
import os
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from tqdm import tqdm

from ivadomed import __version__
from ivadomed.errors import ConfigError, DataError, OutputError, some
from ivadomed.images.files import atomic_folder, data_path, write_json
from ivadomed.images.io import write_volume
from ivadomed.images.label_suffix import LabelTable
from ivadomed.loader.bids.files import BidsFile, Selection, contrast_of
from ivadomed.loader.bids.index import IMAGE_EXTENSIONS, scan
from ivadomed.loader.bids.labels import Labels
from ivadomed.loader.layouts.bids import BidsLayout
from ivadomed.loader.layouts.index import open_layout
from ivadomed.loader.layouts.layout import Layout
from ivadomed.runtime.terminal import hidden_bar

Links = Literal["copy", "hard", "symbolic"]

_BIDS_VERSION = "1.9.0"
_SUFFIX = re.compile(r"[A-Za-z0-9]+")
_ANAT = (
    "T1w T2w T2star T2starw FLAIR FLASH PD PDw PDT2 inplaneT1 inplaneT2 angio T1rho T1map T2map T2starmap R1map R2map "
    "R2starmap PDmap M0map S0map TB1map MTS MTR MTRmap MTsat MTVmap MWFmap UNIT1 MP2RAGE MPM MESE MEGRE VFA"
)
_SUFFIXES = frozenset(_ANAT.split())
"""BIDS suffixes of ``anat`` images."""
_LABELS = "derivatives/labels"


@dataclass(frozen=True)
class Placed:
    """A file and its place in the new data set.

    Args:
        file: The image or label in the source.
        relative: Path in the new data set, with "/".
        names: For a label, its class names and values.
    """

    file: BidsFile
    relative: str
    names: LabelTable

    @property
    def suffix(self) -> str:
        """Last part of the name: "T1w"."""
        return PurePosixPath(self.relative).name.partition(".")[0].rpartition("_")[2]

    def beside(self, place: Path, extension: str) -> Path:
        """File with the same name and another extension."""
        return place / f"{self.relative.removesuffix(self.file.extension)}{extension}"


@dataclass(frozen=True)
class Written:
    """Summary of what was written.

    Args:
        subjects: Number of subjects.
        images: Number of images.
        labels: Number of labels.
        left_out: Files of the source that were not used, each with the reason.
        remarks: Notes for the user, one line each.
    """

    subjects: int
    images: int
    labels: int
    left_out: tuple[str, ...]
    remarks: tuple[str, ...]


def to_bids(
    source: str | os.PathLike[str],
    output: str | os.PathLike[str],
    links: Links = "copy",
    rename: Mapping[str, str] | None = None,
    contrasts: Sequence[str] = (),
    target_suffix: Sequence[str] = (),
) -> Written:
    """Convert a data set of nnU-Net or the Decathlon, or a table, to a BIDS data set.

    Args:
        source: Folder or table to convert; it is not changed.
        output: Folder to create; it appears once everything is written and verified.
        links: Copy files, or create hard or symbolic links. Single volumes of a 4D file are always rewritten.
        rename: New names of contrasts, {"MRI": "T1w"}.
        contrasts: Contrasts to write; empty: all. For a table, the image columns.
        target_suffix: For a table, the label columns; empty: those that look like labels.

    Raises:
        ConfigError: A name is not valid in BIDS, or no image has it.
        DataError: The source is already BIDS, has no image, or is corrupt.
        OutputError: ``output`` holds files or cannot be written.
    """
    root = data_path(source)
    wanted = {
        "contrast_params": {"training_validation": list(contrasts)},
        "target_suffix": list(target_suffix),
    }
    layout = open_layout(root, Selection.of({"path_data": [root], "extensions": IMAGE_EXTENSIONS, **wanted}))
    if isinstance(layout, BidsLayout):
        raise DataError(f"{root}: is a BIDS data set already")
    files = list(_places(layout, contrasts, rename or {}))
    images = [placed for placed in files if not placed.file.is_derivative]
    with atomic_folder(output) as place:
        for placed in tqdm(files, desc="Writing", unit="file", leave=False, disable=hidden_bar()):
            _write(placed, place / placed.relative, links)
        _describe(layout, images, place)
        _describe_labels(files, place)
        _check(files, place)
    return Written(
        len({placed.file.folders[0] for placed in images}),
        len(images),
        len(files) - len(images),
        tuple(f"{item.file}: {item.reason}" for item in layout.skipped),
        tuple(_about_names(images)),
    )


def _places(layout: Layout, contrasts: Sequence[str], rename: Mapping[str, str]) -> Iterator[Placed]:
    """Images of the requested contrasts under their new names, each followed by its labels."""
    labels = Labels(layout.files)
    images = [file for file in layout.files if not file.is_derivative]
    there = {file.suffix for file in images}
    images = [file for file in images if not contrasts or contrast_of(file, contrasts)]
    _refuse_names(rename, there)
    if not images:
        of = f" of {some(contrasts)}" if contrasts else ""
        raise DataError(
            f"{layout.root}: has no image{of} to write; available: {some(sorted(there)) or 'none'}"
        )
    for image in images:
        suffix = rename.get(image.suffix, image.suffix)
        stem = f"{image.stem.removesuffix(image.suffix)}{suffix}"
        folder = PurePosixPath(image.relative).parent.as_posix()
        yield Placed(image, f"{folder}/{stem}{image.extension}", {})
        for of_label, label in labels.by_suffix(image).items():
            relative = f"{_LABELS}/{folder}/{stem}{of_label}{label.extension}"
            yield Placed(label, relative, layout.label_values(label))


def _refuse_names(rename: Mapping[str, str], there: Iterable[str]) -> None:
    if unknown := sorted(set(rename) - set(there)):
        raise ConfigError(
            f"--rename {unknown[0]}={rename[unknown[0]]}: no such contrast; available: {some(sorted(there))}"
        )
    for old, new in rename.items():
        if not _SUFFIX.fullmatch(new):
            raise ConfigError(f"--rename {old}={new}: expected letters and digits")
    after = [rename.get(name, name) for name in there]
    if twice := [name for name in after if after.count(name) > 1]:
        raise ConfigError(f"--rename: two contrasts would be {twice[0]}")


def _write(placed: Placed, path: Path, links: Links) -> None:
    source = placed.file.path.resolve()
    path.parent.mkdir(parents=True, exist_ok=True)
    if placed.file.volume is not None:
        write_volume(placed.file.volume, path)
        return
    try:
        if links == "copy":
            shutil.copyfile(source, path)
        else:
            (os.link if links == "hard" else os.symlink)(source, path)
    except OSError as error:
        remedy = "use --links copy" if links != "copy" else "free some disk space"
        raise OutputError(
            f"{placed.file.path}: cannot be written there ({error.strerror}); {remedy}"
        ) from error


def _describe(layout: Layout, images: Sequence[Placed], place: Path) -> None:
    """Write ``dataset_description.json``, README, tables of subjects and sessions, and sidecars."""
    source = getattr(layout, "description", {})
    name = str(source.get("name") or layout.root.stem)
    made_by = [{"Name": "ivadomed", "Version": __version__, "Description": "ivadomed_to_bids"}]
    description: dict[str, Any] = {"Name": name, "BIDSVersion": _BIDS_VERSION, "DatasetType": "raw"}
    licence = source.get("licence") or source.get("license")
    reference = source.get("reference")
    description |= {"License": str(licence)} if licence else {}
    description |= {"ReferencesAndLinks": [str(reference)]} if reference else {}
    write_json(place / "dataset_description.json", description | {"GeneratedBy": made_by})
    labels = {"Name": f"Labels of {name}", "DatasetType": "derivative", "GeneratedBy": made_by}
    write_json(place / _LABELS / "dataset_description.json", {**description, **labels})
    about = str(source.get("description") or "")
    text = f"{name}\n\n{about}\n\nWritten by ivadomed_to_bids from {layout.root.name}.\n"
    (place / "README").write_text(text, encoding="utf-8")
    fields: dict[tuple[str, str], dict[str, str]] = {}
    for placed in images:
        known = layout.metadata(placed.file)
        fields[placed.file.folders] = {key: value for key, value in known.items() if isinstance(value, str)}
        sidecar = {key: value for key, value in known.items() if not isinstance(value, str)}
        write_json(placed.beside(place, ".json"), {**sidecar, **_origin(placed.file)})
    _write_tables(fields, place)
    if ignored := _not_in_bids(images):
        (place / ".bidsignore").write_text("".join(f"{line}\n" for line in ignored), encoding="utf-8")


def _origin(file: BidsFile) -> dict[str, Any]:
    """Sidecar fields that record the origin of an image."""
    base = file.root if file.root.is_dir() else file.root.parent
    path = file.path.relative_to(base) if file.path.is_relative_to(base) else file.path
    return {"SourceFile": path.as_posix()} | (
        {} if file.volume is None else {"SourceVolume": file.volume.index}
    )


def _write_tables(fields: Mapping[tuple[str, str], Mapping[str, str]], place: Path) -> None:
    """Write ``participants.tsv``, and ``sessions.tsv`` of subjects that have sessions."""
    with_sessions = {subject for subject, session in fields if session}
    subjects = sorted({subject for subject, _ in fields})
    of_subject = {s: {} if s in with_sessions else fields[s, ""] for s in subjects}
    _write_table(place / "participants.tsv", "participant_id", of_subject)
    for subject in sorted(with_sessions):
        own = {session: row for (name, session), row in fields.items() if name == subject and session}
        _write_table(place / subject / f"{subject}_sessions.tsv", "session_id", own)


def _write_table(path: Path, key: str, rows: Mapping[str, Mapping[str, object]]) -> None:
    columns = list(dict.fromkeys(name for row in rows.values() for name in row))
    lines = [[key, *columns]]
    lines += [[name, *(str(row.get(column, "n/a")) for column in columns)] for name, row in rows.items()]
    text = StringIO()
    csv.writer(text, delimiter="\t", lineterminator="\n").writerows(
        [re.sub(r"[\t\r\n]+", " ", cell) for cell in line] for line in lines
    )
    path.write_text(text.getvalue(), encoding="utf-8")


def _describe_labels(files: Sequence[Placed], place: Path) -> None:
    """Write a table of classes next to each label map; a region with several values has one row for each."""
    for placed in files:
        if placed.names:
            rows = sorted((value, name) for name, values in placed.names.items() for value in values)
            text = "".join(f"{value}\t{name}\n" for value, name in rows)
            placed.beside(place, ".tsv").write_text(f"index\tname\n{text}", encoding="utf-8")


def _check(files: Sequence[Placed], place: Path) -> None:
    """Index the result; every image and label must be found under its name."""
    index = scan(place, IMAGE_EXTENSIONS)
    found = {file.relative: file for file in index}
    for placed in files:
        file = found.get(placed.relative)
        if file is None or file.is_derivative != placed.file.is_derivative:
            reasons = [item.reason for item in index.skipped if item.file.endswith(placed.relative)]
            raise DataError(
                f"{placed.file.path}: {placed.relative} is not a name of BIDS ({some(reasons)}); rename it"
            )
        if file.is_derivative and dict(index.label_values(file)) != dict(placed.names):
            raise DataError(
                f"{placed.file.path}: the names of its classes cannot be written as a table; rename them"
            )


def _not_in_bids(images: Iterable[Placed]) -> list[str]:
    """Lines of ``.bidsignore`` for images without a BIDS name."""
    lines = set()
    for placed in images:
        folder = PurePosixPath(placed.relative).parent.name
        if folder != "anat":
            lines.add(f"sub-*/**/{folder}/")
            lines.add(f"sub-*/{folder}/")
        elif placed.suffix not in _SUFFIXES:
            lines.add(f"*_{placed.suffix}.*")
    return sorted(lines)


def _about_names(images: Iterable[Placed]) -> Iterator[str]:
    names = {placed.suffix for placed in images if "/anat/" in placed.relative}
    if unknown := sorted(names - _SUFFIXES):
        yield (
            f"BIDS has no image suffix {some(unknown)}: .bidsignore lists these images, so validators skip them; "
            f"--rename {unknown[0]}=T1w gives them a BIDS name"
        )
