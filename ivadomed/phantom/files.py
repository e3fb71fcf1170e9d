"""Write a data set into a folder next to its place and move it there when it is complete."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ivadomed import __version__
from ivadomed.errors import OutputError
from ivadomed.images.files import atomic_folder, parse_json

GENERATOR = "ivadomed_create_phantom"
_OURS = re.compile(
    r"sub-\w+|derivatives|participants\.(tsv|json)|samples\.(tsv|json)|dataset_description\.json|README"
)


@contextmanager
def staged(target: Path, overwrite: bool) -> Iterator[Path]:
    """Yield a temporary folder that becomes `target` when the block ends without an error.

    Args:
        target: Folder to create; parents are made.
        overwrite: Replace a phantom that is already there. Anything else is never replaced.

    Raises:
        OutputError: `target` holds something that must not be replaced.
    """
    target = target.expanduser().resolve()
    _check_replaceable(target, overwrite)
    with atomic_folder(target, replace=overwrite) as partial:
        yield partial
        _check_replaceable(target, overwrite)


def _check_replaceable(target: Path, overwrite: bool) -> None:
    if not target.is_dir():
        return
    entries = sorted(entry.name for entry in target.iterdir())
    if not entries:
        return
    if not overwrite:
        raise OutputError(
            f"{target}: the folder is not empty; choose another, or --overwrite an earlier phantom"
        )
    if not is_phantom(target):
        raise OutputError(
            f"{target}: was not written by {GENERATOR} and is not overwritten; choose another folder"
        )
    foreign = [name for name in entries if not _OURS.fullmatch(name)]
    derivatives = target / "derivatives"
    if derivatives.is_dir():
        inner = sorted(entry.name for entry in derivatives.iterdir())
        foreign += [
            f"derivatives/{name}" for name in inner if name not in ("labels", "dataset_description.json")
        ]
    if foreign:
        raise OutputError(
            f"{target}: holds {', '.join(foreign)}, not part of the phantom; move it before --overwrite"
        )


def is_phantom(folder: Path) -> bool:
    """Whether `dataset_description.json` names this generator."""
    try:
        description = parse_json((folder / "dataset_description.json").read_text(encoding="utf-8"))
        return any(entry.get("Name") == GENERATOR for entry in description["GeneratedBy"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON file, creating its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def write_tsv(path: Path, header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Write a table as BIDS wants it: tabs, and `n/a` for None."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = ["\t".join("n/a" if cell is None else str(cell) for cell in row) for row in (header, *rows)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def write_descriptions(root: Path, name: str, bids_version: str, readme: str) -> None:
    """Write `dataset_description.json` of the data set and of its labels, and the README."""
    common = {
        "BIDSVersion": bids_version,
        "License": "CC0",
        "GeneratedBy": [{"Name": GENERATOR, "Version": __version__}],
    }
    write_json(root / "dataset_description.json", {"Name": name, "DatasetType": "raw", **common})
    labels = {"Name": f"{name}: labels", "DatasetType": "derivative", **common}
    write_json(root / "derivatives" / "dataset_description.json", labels)
    (root / "README").write_text(readme, encoding="utf-8")
