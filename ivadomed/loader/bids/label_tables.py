"""Names of the classes in a label map, from the tables and sidecars of a BIDS data set.

The table of ``sub-01_T1w_dseg.nii.gz`` is ``sub-01_T1w_dseg.tsv`` next to it, or one in a parent folder with
the same ending and only parts of the label's name: ``sub-01_dseg.tsv``, ``T1w_dseg.tsv``, ``dseg.tsv`` (BIDS
1.9, "The Inheritance Principle"). The nearest folder takes precedence, then the longest name. If there is no
table, a JSON file found in the same way may have an object ``LabelMap`` or ``labels``.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ivadomed.errors import DataError
from ivadomed.images.label_suffix import LabelTable
from ivadomed.loader.bids.files import BidsFile
from ivadomed.loader.bids.names import without_padding
from ivadomed.loader.bids.text import read_json, read_text

KEYS = ("LabelMap", "labels")
"""Sidecar keys whose object names classes: {"anterior": 1}, {"1": "anterior"} or {"whole": [1, 2]}."""

_COLUMNS = ("index", "name")
_EXTENSIONS = (".tsv", ".json")


class LabelTables:
    """Tables of a data set, read on demand and cached."""

    def __init__(self) -> None:
        self._folders: dict[Path, list[Path]] = {}
        self._tables: dict[Path, LabelTable] = {}

    def of(self, file: BidsFile) -> LabelTable:
        """Values of each class by class name, in table order; empty if undefined.

        Raises:
            DataError: A table cannot be read, or two apply equally.
        """
        for extension in _EXTENSIONS:
            for first, *others in self.applicable(file, extension):
                if others:
                    raise DataError(
                        f"{file.path}: two tables apply equally, {first} and {others[0]}; remove or rename one"
                    )
                if table := self._read(first):
                    return table
        return {}

    def applicable(self, file: BidsFile, extension: str) -> Iterator[list[Path]]:
        """Files with an extension that apply to a label, nearest first; files in one list have equal precedence."""
        own = without_padding(file.stem).split("_")
        folder = file.path.parent
        while True:
            fitting: dict[int, list[Path]] = {}
            for path in self._listed(folder):
                parts = without_padding(path.stem).split("_")
                if path.suffix == extension and parts[-1] == own[-1] and set(parts) <= set(own):
                    fitting.setdefault(len(parts), []).append(path)
            yield from (fitting[length] for length in sorted(fitting, reverse=True))
            if folder in (file.root, folder.parent):
                return
            folder = folder.parent

    def all_of(self, file: BidsFile) -> list[Path]:
        """Tables and sidecars that apply to a label."""
        groups = (group for extension in _EXTENSIONS for group in self.applicable(file, extension))
        return [path for group in groups for path in group]

    def _listed(self, folder: Path) -> list[Path]:
        if folder not in self._folders:
            names = sorted(entry for entry in os.listdir(folder) if entry.endswith(_EXTENSIONS))
            self._folders[folder] = [folder / name for name in names if not name.startswith(".")]
        return self._folders[folder]

    def _read(self, path: Path) -> LabelTable:
        if path not in self._tables:
            read = read_table if path.suffix == ".tsv" else _read_sidecar
            self._tables[path] = read(path)
        return self._tables[path]


def read_table(path: Path) -> LabelTable:
    """Values of each class in a table with the columns ``index`` and ``name``; a name may occur in several rows.

    Raises:
        DataError: The file cannot be read, lacks a column, or has an index that is not an integer.
    """
    rows = list(csv.reader(read_text(path, only_unicode=True).splitlines(), delimiter="\t"))
    header = [name.strip().lower() for name in rows[0]] if rows else []
    if not set(_COLUMNS) <= set(header):
        raise DataError(f"{path}: expected the columns index and name, found {', '.join(header) or 'none'}")
    index, name = map(header.index, _COLUMNS)
    table: dict[str, tuple[int, ...]] = {}
    for row in rows[1:]:
        if len(row) <= max(index, name) or not row[name].strip():
            continue
        label = row[name].strip()
        table[label] = (*table.get(label, ()), _whole(row[index], label, path))
    return table


def named_values(content: Mapping[str, Any], path: object) -> LabelTable:
    """Values of each class from a JSON object, see ``KEYS``.

    Raises:
        DataError: A value is not an integer.
    """
    table: dict[str, tuple[int, ...]] = {}
    for key, entry in content.items():
        if isinstance(entry, str) and not _is_whole(entry):  # {"1": "anterior"}
            table[entry] = (*table.get(entry, ()), _whole(key, entry, path))
        else:
            values = entry if isinstance(entry, list) else [entry]
            table[key] = tuple(_whole(value, key, path) for value in values)
    return table


def _read_sidecar(path: Path) -> LabelTable:
    content = read_json(path)
    objects = (content.get(key) for key in KEYS) if isinstance(content, dict) else ()
    found = next((entry for entry in objects if isinstance(entry, dict)), {})
    return named_values(found, path)


def _is_whole(value: object) -> bool:
    try:
        return float(str(value)).is_integer()
    except ValueError:
        return False


def _whole(value: object, name: str, path: object) -> int:
    if isinstance(value, bool) or not _is_whole(value):
        raise DataError(f"{path}: the value of {name!r} is {str(value)!r}; expected an integer")
    return int(float(str(value)))
