"""Labels as specified in a configuration: the suffix of a file, and the values of a class in a label map.

``"_seg-manual"`` is a file with one class. For a label map, a file with an integer per class, ``"_dseg:1"`` is
the class with this value, ``"_dseg:anterior"`` the class with this name in a table, and ``"_dseg:1+2"`` or
``"_dseg:anterior+posterior"`` the union of several.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ivadomed.errors import DataError, some
from ivadomed.registry.registry import did_you_mean

LabelTable = Mapping[str, tuple[int, ...]]
"""Name of a class -> its values in a label map; several values form a union."""

EXPECTED = (
    'expected the suffix of a file ("_seg-manual"), or of a label map with values or names ("_dseg:1", "_dseg:1+2", '
    '"_dseg:anterior")'
)
_VALUE = re.compile(r"-?\d+")
_ONLY_VALUES = re.compile(r"[-+\d]*")
_UNSAFE = re.compile(r"[^\w.-]+")
_NAMES = 20
_LESIONS = re.compile(
    r"lesion|tumou?r|cancer|carcinom|metasta|glioma|plaque|o?edema|necro|wmh|hyperintens|stroke|infarct|"
    r"ha?emorrh|bleed|nodul|cyst|polyp|(?<![a-z])les(?![a-z])",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class LabelSuffix:
    """Label of one class and rater.

    Args:
        file: Suffix of the file, such as "_dseg".
        selection: Values or names after the colon, as written; empty: the file holds one class.
    """

    file: str
    selection: str = ""

    @classmethod
    def parse(cls, text: str) -> LabelSuffix:
        """Parse an entry of ``target_suffix``, ``roi_params.suffix`` or ``ignore_label``.

        Raises:
            ValueError: It has no suffix, or an empty part next to a colon or plus.
        """
        file, colon, selection = text.partition(":")
        parts = selection.split("+") if colon else ["1"]
        if not file or not all(part.strip() for part in parts):
            raise ValueError(f"{text!r}; {EXPECTED}")
        return cls(file, selection)

    def __str__(self) -> str:
        return f"{self.file}:{self.selection}" if self.selection else self.file

    @property
    def parts(self) -> tuple[str, ...]:
        """Values and names of the union."""
        return tuple(part.strip() for part in self.selection.split("+")) if self.selection else ()

    @property
    def needs_table(self) -> bool:
        """True if the class is specified by name rather than by value."""
        return not all(map(_VALUE.fullmatch, self.parts))

    def values(self, table: LabelTable, path: object) -> tuple[int, ...]:
        """Values of the class in a label map, ascending; empty if the file holds one class.

        Args:
            table: Names of the classes in this file; empty if undefined.
            path: The file, for error messages.

        Raises:
            DataError: The table does not contain the name.
        """
        found: set[int] = set()
        left = self.parts
        while left:
            # Names may contain a plus: the longest match counts.
            joined = (count for count in range(len(left), 0, -1) if "+".join(left[:count]) in table)
            count = 1 if _VALUE.fullmatch(left[0]) else next(joined, 0)
            if not count:
                raise DataError(self._unknown(left[0], table, path))
            found.update([int(left[0])] if _VALUE.fullmatch(left[0]) else table["+".join(left[:count])])
            left = left[count:]
        return tuple(sorted(found))

    def _unknown(self, name: str, table: LabelTable, path: object) -> str:
        label = f'{path}: the label "{self}" names {name!r}'
        if not table:
            return (
                f"{label}, but no table defines its values; put a {self.file.split('_')[-1]}.tsv with the columns "
                f'index and name next to it or in a parent folder, or give the value, such as "{self.file}:1"'
            )
        return f"{label}, which is not in its table{did_you_mean(name, table)}; available: {some(list(table), _NAMES)}"


def file_suffix(text: str) -> str:
    """Suffix of the file that contains a label: "_dseg" for "_dseg:anterior"."""
    return text.partition(":")[0]


def names_for_files(suffixes: Sequence[str]) -> list[str]:
    """Suffixes for file names: "_dseg-anterior" for "_dseg:anterior"; all differ, even ignoring case."""
    safe: list[str] = []
    for text in suffixes:
        file, colon, selection = text.partition(":")
        name = f"{file}-{_UNSAFE.sub('-', selection).strip('-')}" if colon else text
        taken = {other.lower() for other in safe}
        count, unique = 1, name
        while colon and unique.lower() in taken:
            count += 1
            unique = f"{name}-{count}"
        safe.append(unique)
    return safe


def class_labels(suffixes: Iterable[str]) -> list[str]:
    """Display names of classes, also used in tables of label maps; all differ.

    "_seg-manual" becomes "seg-manual" and "_dseg:anterior" becomes "anterior". A class specified by its value in a
    label map is named as in file names: "_dseg:1" becomes "dseg-1".
    """
    suffixes = list(suffixes)
    short = []
    for text, of_file in zip(suffixes, names_for_files(suffixes), strict=True):
        selection = text.partition(":")[2]
        short.append(of_file.lstrip("_") if _ONLY_VALUES.fullmatch(selection) else selection)
    unusable = ("background", "ignore", "")
    return [
        f"{name}{i}" if short.count(name) > 1 or name in unusable else name for i, name in enumerate(short)
    ]


def names_lesions(suffix: str) -> bool:
    """True if a suffix indicates that its label marks lesions, of which an image may have many or none."""
    return _LESIONS.search(suffix) is not None
