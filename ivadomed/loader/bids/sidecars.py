"""JSON sidecars of images, with the inheritance principle of BIDS.

A sidecar applies to every image below its folder that has the sidecar's suffix and all of its entities; a
file nearer to the image, then one with more entities, overrides the others (BIDS 1.9, "The Inheritance
Principle").
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ivadomed.errors import DataError
from ivadomed.images.files import parse_json
from ivadomed.loader.bids.names import NameRules


class Sidecars:
    """The JSON files of a data set, read when they are asked for and kept."""

    def __init__(self) -> None:
        self._rules = NameRules(strict=False)
        self._files: dict[tuple[str, str], list[tuple[frozenset[tuple[str, str]], str]]] = defaultdict(list)
        self._contents: dict[str, dict[str, Any]] = {}

    def add(self, folder: str, name: str) -> None:
        """Register the JSON file ``name`` of ``folder``; other JSON files (participants.json) do no harm."""
        parsed = self._rules.parse(name, ".json")
        entry = frozenset(parsed.entities.items()), f"{folder}/{name}"
        self._files[folder, parsed.suffix].append(entry)

    def metadata(self, folders: Iterable[str], entities: Mapping[str, str], suffix: str) -> dict[str, Any]:
        """Metadata of an image.

        Args:
            folders: Folders from the root of the data set down to that of the image.
            entities: Entities of the image.
            suffix: Suffix of the image.

        Raises:
            DataError: A sidecar is no JSON object.
        """
        own = entities.items()
        merged: dict[str, Any] = {}
        for folder in folders:
            fitting = [entry for entry in self._files.get((folder, suffix), ()) if entry[0] <= own]
            for _, path in sorted(fitting, key=lambda entry: (len(entry[0]), entry[1])):
                merged.update(self._read(path))
        return merged

    def _read(self, path: str) -> dict[str, Any]:
        if path not in self._contents:
            self._contents[path] = read_json_object(Path(path))
        return self._contents[path]


def read_json_object(path: Path) -> dict[str, Any]:
    """Read a JSON file that holds an object.

    Raises:
        DataError: The file cannot be read or holds something else.
    """
    try:
        content = parse_json(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise DataError(f"{path}: is not valid JSON ({error}); mend or remove the file") from error
    if not isinstance(content, dict):
        raise DataError(f'{path}: expected a JSON object {{"key": value}}, found {type(content).__name__}')
    return content
