"""Writing a BIDS data set to a folder that appears once complete and replaces only an earlier phantom."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from joblib import Parallel, delayed

from ivadomed import __version__
from ivadomed.errors import OutputError
from ivadomed.images.files import atomic_folder, parse_json, write_json, write_text

GENERATOR = "ivadomed_create_phantom"
_OURS = re.compile(
    r"sub-\w+|derivatives|participants\.(tsv|json)|samples\.(tsv|json)|dataset_description\.json|README"
)
_OURS_IN_DERIVATIVES = ("labels", "dataset_description.json")


@contextmanager
def staged(target: Path, overwrite: bool) -> Iterator[Path]:
    """Yield a temporary folder that becomes `target` if the block ends without an error.

    Args:
        target: Folder to create; parents are created.
        overwrite: Replace an existing phantom; other content is never replaced.

    Raises:
        OutputError: `target` has content that must not be replaced.
    """
    target = target.expanduser().resolve()
    _check_replaceable(target, overwrite)
    with atomic_folder(target, replace=overwrite) as partial:
        yield partial
        _check_replaceable(target, overwrite)


def _check_replaceable(target: Path, overwrite: bool) -> None:
    if not (names := _names_in(target)):
        return
    if not overwrite:
        raise OutputError(
            f"{target}: the folder is not empty; choose another, or --overwrite an earlier phantom"
        )
    if not is_phantom(target):
        raise OutputError(
            f"{target}: was not written by {GENERATOR} and is not overwritten; choose another folder"
        )
    foreign = [name for name in names if not _OURS.fullmatch(name)]
    inner = _names_in(target / "derivatives")
    foreign += [f"derivatives/{name}" for name in inner if name not in _OURS_IN_DERIVATIVES]
    if foreign:
        raise OutputError(
            f"{target}: holds {', '.join(foreign)}, not part of the phantom; move it before --overwrite"
        )


def _names_in(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir()) if folder.is_dir() else []


def is_phantom(folder: Path) -> bool:
    """Return whether `dataset_description.json` names this generator."""
    try:
        description = parse_json((folder / "dataset_description.json").read_text(encoding="utf-8"))
        return any(entry.get("Name") == GENERATOR for entry in description["GeneratedBy"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False


def write_each(write: Callable[[int], None], n: int, jobs: int) -> None:
    """Call `write` with 0 to n - 1, in `jobs` processes as in joblib's `n_jobs`."""
    Parallel(n_jobs=min(jobs, n))(delayed(write)(number) for number in range(n))


def write_tsv(path: Path, header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Write a table in BIDS format: tab-separated, `n/a` for None."""
    lines = ["\t".join("n/a" if cell is None else str(cell) for cell in row) for row in (header, *rows)]
    write_text(path, "\n".join(lines) + "\n")


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
    write_text(root / "README", readme)
