"""Open data sets of any kind: detect the kind of each path and index all of them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ivadomed.errors import DataError, some
from ivadomed.images.files import data_path, parse_json
from ivadomed.loader.bids.files import Selection
from ivadomed.loader.bids.index import entries_of, read_json_object
from ivadomed.loader.layouts.bids import BidsLayout, bids_identity
from ivadomed.loader.layouts.decathlon import DecathlonLayout, is_decathlon
from ivadomed.loader.layouts.description import DESCRIPTION
from ivadomed.loader.layouts.layout import DataIndex, Layout
from ivadomed.loader.layouts.nnunet import NnunetLayout, is_nnunet
from ivadomed.loader.layouts.table import EXTENSIONS as TABLES
from ivadomed.loader.layouts.table import TableLayout

_KINDS = """\
  BIDS       a folder with sub-XX/anat/sub-XX_T1w.nii.gz and derivatives/labels/sub-XX/anat/sub-XX_T1w_SUFFIX.nii.gz
  nnU-Net    a folder with dataset.json (channel_names, labels), imagesTr/X_0000.nii.gz and labelsTr/X.nii.gz
  Decathlon  a folder with dataset.json (modality, labels, training), imagesTr/X.nii.gz and labelsTr/X.nii.gz
  a table    a .tsv or .csv file with the column participant_id and columns with paths of images and labels"""
_SHOWN = 8


def open_index(selection: Selection) -> DataIndex:
    """Index the data sets named in a selection.

    Raises:
        DataError: A path does not exist, is repeated or is not a data set of a known kind, or a data set is corrupt.
        ConfigError: ``bids_config`` is not a layout.
    """
    roots = [data_path(path) for path in selection.paths]
    for number, root in enumerate(roots):
        if root.resolve() in [other.resolve() for other in roots[:number]]:
            raise DataError(f"loader_parameters.path_data: {root} is named twice; name each data set once")
    return DataIndex([open_layout(root, selection) for root in roots])


def open_layout(root: Path, selection: Selection) -> Layout:
    """Index one data set according to its kind.

    Raises:
        DataError: See ``open_index``.
    """
    if root.is_file():
        if root.suffix.lower() in TABLES:
            return TableLayout(root, selection)
        folder = f" (its folder {root.parent} may be meant)" if root.name == DESCRIPTION else ""
        raise DataError(f"{root}: is a file, but not a table{folder}; path_data names one of\n{_KINDS}")
    description = root / DESCRIPTION
    if description.is_file() and not _has_subjects(root):
        content = read_json_object(description)
        if is_nnunet(root, content):
            return NnunetLayout(root, selection)
        if is_decathlon(content):
            return DecathlonLayout(root, selection)
    if not selection.validate or _is_bids(root):
        return BidsLayout(root, selection)
    raise DataError(f"{root}: {_found_in(root)}; path_data names one of\n{_KINDS}")


def is_data_set(path: Path) -> bool:
    """Return whether a path is a data set, rather than an image or a folder of images."""
    if path.is_file():
        return path.suffix.lower() in TABLES
    return path.is_dir() and ((path / DESCRIPTION).is_file() or _has_subjects(path))


def identity(path: Path) -> dict[str, Any]:
    """Identity of a data set for the record of a run, from its description only; images are not searched."""
    try:
        content = parse_json((path / DESCRIPTION).read_text(encoding="utf-8-sig"))
    except (OSError, ValueError):
        return {"layout": "table"} if path.is_file() else bids_identity(path)
    if not isinstance(content, Mapping) or not {"channel_names", "modality"} & content.keys():
        return bids_identity(path)
    kind = "nnU-Net" if "channel_names" in content or not is_decathlon(content) else "Decathlon"
    return {"layout": kind} | {
        key: content[key] for key in ("name", "release", "reference") if key in content
    }


def _has_subjects(root: Path) -> bool:
    """Return whether a folder has BIDS subject folders; a ``dataset.json`` there is from another program."""
    return any(entry.name.startswith("sub-") and entry.is_dir() for entry in entries_of(root))


def _is_bids(root: Path) -> bool:
    """Return whether a folder has a subject or another top-level entry of BIDS."""
    names = [entry.name for entry in entries_of(root)]
    known = {"dataset_description.json", "participants.tsv", "derivatives"}
    return any(name.startswith("sub-") or name in known for name in names)


def _found_in(root: Path) -> str:
    """One line about the content of a folder that is not a data set."""
    names = [entry.name + ("/" if entry.is_dir() else "") for entry in entries_of(root)]
    inner = [
        name.rstrip("/") for name in names if name.endswith("/") and (root / name / DESCRIPTION).is_file()
    ]
    if inner:
        return f"contains data sets but is not one itself ({some(inner, _SHOWN)}); name one of them"
    tables = [name for name in names if name.lower().endswith(TABLES)]
    if DESCRIPTION in names:
        return f"its {DESCRIPTION} has neither channel_names nor modality and training"
    if "imagesTr/" in names:
        return f"has imagesTr, but no {DESCRIPTION} that names channels and labels"
    if tables:
        return f"is not a data set, but has {some(tables, _SHOWN)}: name the table itself"
    return f"is not a data set of a known kind: it has {some(names, _SHOWN) or 'nothing in it'}"
