"""Classes available in the labels of a data set: files of one class, and the classes of label maps."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from ivadomed.errors import ConfigError, DataError
from ivadomed.images.label_suffix import LabelSuffix, LabelTable
from ivadomed.images.labels import LabelFile, LabelReader, open_label
from ivadomed.loader.bids.files import BidsFile

TableOf = Callable[[BidsFile], LabelTable]
_MOST_CLASSES = 256  # a file with more integer values is an image
_IGNORE = "ignore"  # nnU-Net's name


@dataclass(frozen=True)
class Offer:
    """Labels available for training, by their names in ``target_suffix``.

    Args:
        classes: Classes by text: "_seg-manual", or "_dseg:anterior" or "_dseg:1" for a label map.
        wanted: Requested classes, in order; empty if none are requested.
        ignore: Ignored voxels, called "ignore" in a table; None if there are none.
    """

    classes: Mapping[str, LabelSuffix]
    wanted: tuple[str, ...] = ()
    ignore: str | None = None

    def files(self, labels: Mapping[str, BidsFile], table_of: TableOf) -> dict[str, LabelFile]:
        """Labels of one image by class.

        Args:
            labels: Label files of the image, by suffix.
            table_of: Names of the classes in a file.

        Raises:
            DataError: A class has a name that is in no table.
        """
        found = {}
        for text, suffix in self.classes.items():
            if (label := labels.get(suffix.file)) is not None:
                table = table_of(label) if suffix.needs_table else {}
                found[text] = LabelFile(label.path, suffix.values(table, label.path))
        return found


def offer_classes(
    labels: Sequence[Mapping[str, BidsFile]],
    table_of: TableOf,
    wanted: Sequence[str] = (),
    opened: LabelReader = open_label,
) -> Offer:
    """List the classes of the labels of some images.

    Args:
        labels: Label files by suffix, per image.
        table_of: Names of the classes in a file.
        wanted: Requested labels; "_dseg" of a label map means all of its classes.
        opened: Function that opens a file.

    Raises:
        ConfigError: A requested label cannot be parsed.
    """
    files: dict[str, list[BidsFile]] = defaultdict(list)
    for of_image in labels:
        for suffix, label in of_image.items():
            files[suffix].append(label)
    offered: dict[str, list[LabelSuffix]] = {}
    ignore = None
    for suffix, of_suffix in sorted(files.items()):
        table = _common(map(table_of, of_suffix))
        named = {name: values for name, values in table.items() if values != (0,)}
        ignored = next((name for name in named if name.lower() == _IGNORE), None)
        if values := _classes_of(of_suffix, opened):
            offered[suffix] = _parts(suffix, values, named, ignored)
            ignore = ignore or (f"{suffix}:{ignored}" if ignored else None)
        else:
            offered[suffix] = [LabelSuffix(suffix)]
    asked = [one for text in wanted for one in _asked(text, offered)]
    listed = [*(one for parts in offered.values() for one in parts), *asked]
    texts = {str(one): one for one in listed}
    return Offer(texts, tuple(dict.fromkeys(map(str, asked))), ignore)


def _asked(text: str, offered: Mapping[str, Sequence[LabelSuffix]]) -> Sequence[LabelSuffix]:
    try:
        suffix = LabelSuffix.parse(text)
    except ValueError as error:
        raise ConfigError(f"--target-suffix: {error}") from error
    return [suffix] if suffix.selection else offered.get(suffix.file, [suffix])


def _common(tables: Iterable[LabelTable]) -> LabelTable:
    """Names with the same meaning in all tables."""
    first, *others = tables
    return {
        name: values for name, values in first.items() if all(table.get(name) == values for table in others)
    }


def _parts(suffix: str, values: Sequence[int], named: LabelTable, ignored: str | None) -> list[LabelSuffix]:
    """Classes of a label map: names that occur in it, and values without a name."""
    there = set(values)
    covered = {value for of_name in named.values() for value in of_name}
    names = [name for name, of_name in named.items() if name != ignored and there & set(of_name)]
    texts = [*names, *(str(value) for value in values if value not in covered)]
    return [LabelSuffix(suffix, text) for text in texts]


def _classes_of(files: Sequence[BidsFile], opened: LabelReader) -> list[int]:
    """Nonzero values of a label map in increasing order; empty if the files hold one class each."""
    found: set[int] = set()
    for file in files:
        try:
            found.update(opened(file.path, None).classes)
        except DataError:  # reported with more detail when the label is inspected
            return []
    return sorted(found) if 1 < len(found) <= _MOST_CLASSES else []
