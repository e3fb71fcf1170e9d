"""Files of a BIDS data set: selection and contrasts.

A contrast is a suffix, "T2w", or a suffix with entities, "acq-MTon_MTS".
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ivadomed.images.label_suffix import file_suffix
from ivadomed.images.volume_of import ImagePath, VolumeOf
from ivadomed.loader.bids.names import NameRules, ParsedName, comparable, without_padding

if TYPE_CHECKING:
    from ivadomed.config.schema.loader import LoaderParameters

DEFAULT_EXTENSIONS = (".nii", ".nii.gz")


@dataclass(frozen=True)
class Dropped:
    """An excluded file or subject, and the reason.

    Args:
        file: Path or name of the file, or name of the subject or case.
        reason: One sentence about this file or subject.
        lacks: Generic form of the reason, for summaries; empty: use the reason itself.
        chosen: Excluded by the configuration, hence expected.
    """

    file: str
    reason: str
    lacks: str = ""
    chosen: bool = False


@dataclass(frozen=True, slots=True)
class BidsFile:
    """One file of a data set.

    Args:
        path: Absolute path.
        root: Folder of the data set, or its table.
        relative: Path below ``root``, with "/". For data sets in other formats, the equivalent BIDS path, which
            is used to find the file and to name results.
        folders: Subject folder and session folder ("" if none) of the file, e.g. ("sub-01", "ses-02"). For a
            file outside subject folders, the first is the beginning of its name.
        entities: Entities by long name, without the prefix: {"subject": "01", "run": "1"}; empty for
            derivatives, whose names ("sub-01_T1w_seg-manual") do not follow the rules of raw files.
        suffix: Contrast or modality, everything after the entities, e.g. "T1w" or "T2w_mid"; "" for
            derivatives.
        extension: From the first dot, as written, e.g. ".nii.gz" or ".TIF".
        datatype: Folder of the file, e.g. "anat".
        is_derivative: The file is below ``derivatives``.
        loose: The name need not follow BIDS, see `matches`.
        volume: Index of the volume in the file; None for a file with a single volume.
    """

    path: Path
    root: Path
    relative: str
    folders: tuple[str, str]
    entities: Mapping[str, str]
    suffix: str
    extension: str
    datatype: str
    is_derivative: bool
    loose: bool = False
    volume: VolumeOf | None = None

    @property
    def image(self) -> ImagePath:
        """What to read as the image: the file, or a volume of it."""
        return self.volume or self.path

    @property
    def participant(self) -> str:
        """Subject as named in ``participants.tsv``, e.g. "sub-01"."""
        return self.folders[0]

    @property
    def name(self) -> str:
        """File name with extension."""
        return self.relative.rpartition("/")[2]

    @property
    def stem(self) -> str:
        """File name without extension."""
        return self.name.removesuffix(self.extension)


def contrast_entities(contrast: str) -> Mapping[str, str]:
    """Entities required by a contrast: {"acquisition": "MTon"} for "acq-MTon_MTS"."""
    return _parsed(contrast).entities


def matches(file: BidsFile, contrast: str) -> bool:
    """Return whether an image has the suffix and the entities of a contrast.

    The suffix is everything after the entities, so "T2w" is not the contrast of "sub-01_T2w_reg".
    Indices are numbers: "run-1_T2w" is the contrast of "sub-01_run-01_T2w".
    Where names need not follow BIDS, more may precede it: "sub-01_a_T2w" is then a "T2w", as in pybids.
    """
    wanted = _parsed(contrast)
    if wanted.suffix == file.suffix or (file.loose and file.suffix.endswith(f"_{wanted.suffix}")):
        entities = comparable(wanted.entities).items()
        return entities <= comparable(file.entities).items() or _ends_with(file, contrast)
    return _ends_with(file, contrast)


def contrast_of(file: BidsFile, contrasts: Sequence[str]) -> str | None:
    """Most specific of ``contrasts`` that an image belongs to, or None.

    With "T2star" and "acq-sup_T2star", the latter gets its images, regardless of the order.
    """
    fitting = [contrast for contrast in contrasts if matches(file, contrast)]
    return max(fitting, key=lambda contrast: (contrast.count("_"), len(contrast)), default=None)


def suffix_of(file: BidsFile, contrasts: Sequence[str]) -> str:
    """Suffix of an image; if names need not follow BIDS, only the part that is its contrast."""
    contrast = contrast_of(file, contrasts) if file.loose else None
    return file.suffix if contrast is None else _parsed(contrast).suffix


def _ends_with(file: BidsFile, contrast: str) -> bool:
    return file.loose and f"_{without_padding(file.stem)}".endswith(f"_{without_padding(contrast)}")


@lru_cache(maxsize=256)
def _parsed(contrast: str) -> ParsedName:
    return NameRules(strict=False).parse(contrast, "")


@dataclass(frozen=True)
class Selection:
    """Files requested from data sets.

    Args:
        paths: Folders of the data sets.
        extensions: Extensions of images and labels.
        contrasts: Requested contrasts, see ``contrast_of``; empty for all.
        target_suffixes: File suffixes of labels, with those of several raters listed individually.
        roi_suffix: File suffix of the region of interest, or None.
        sessions: Requested sessions without "ses-"; empty for all.
        bids_config: Custom layout, or None.
        validate: See ``scan``.
        ignore_label: Label of ignored voxels, see ``LabelSuffix``, or None.
    """

    paths: tuple[str, ...]
    extensions: tuple[str, ...]
    contrasts: tuple[str, ...]
    target_suffixes: tuple[str, ...]
    roi_suffix: str | None
    sessions: tuple[str, ...]
    bids_config: str | None
    validate: bool
    ignore_label: str | None = None

    @classmethod
    def of_section(cls, loader: LoaderParameters) -> Selection:
        """Build the selection from ``loader_parameters``."""
        contrasts = loader.contrast_params
        return cls(
            paths=loader.path_data,
            extensions=loader.extensions,
            contrasts=_unique((*contrasts.training_validation, *contrasts.testing)),
            target_suffixes=_flat(loader.target_suffix),
            roi_suffix=_file_suffix(loader.roi_params.suffix),
            sessions=_sessions(loader.target_sessions),
            bids_config=loader.bids_config,
            validate=loader.bids_validate,
            ignore_label=loader.ignore_label,
        )

    @classmethod
    def of(cls, params: Mapping[str, Any]) -> Selection:
        """Build the selection from the documented dictionary ``loader_parameters``."""
        paths, contrasts = params["path_data"], params.get("contrast_params") or {}
        both = (*(contrasts.get("training_validation") or ()), *(contrasts.get("testing") or ()))
        return cls(
            paths=tuple(map(os.fspath, [paths] if isinstance(paths, (str, os.PathLike)) else paths)),
            extensions=tuple(params.get("extensions") or DEFAULT_EXTENSIONS),
            contrasts=_unique(contrasts.get("contrast_lst") or both),
            target_suffixes=_flat(params.get("target_suffix") or ()),
            roi_suffix=_file_suffix((params.get("roi_params") or {}).get("suffix")),
            sessions=_sessions(params.get("target_sessions") or ()),
            bids_config=params.get("bids_config"),
            validate=params.get("bids_validate", True),
            ignore_label=params.get("ignore_label"),
        )

    @property
    def label_suffixes(self) -> tuple[str, ...]:
        """File suffixes of labels, the region of interest and ignored voxels."""
        return _unique(
            filter(None, (*self.target_suffixes, self.roi_suffix, _file_suffix(self.ignore_label)))
        )

    def describe(self) -> str:
        """One line for messages."""
        sessions = f" of sessions {list(self.sessions)}" if self.sessions else ""
        contrasts = list(self.contrasts) or "all"
        return f"images {list(self.extensions)} of contrasts {contrasts}{sessions} in {', '.join(self.paths)}"


def _unique(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names))


def _flat(suffixes: Iterable[str | Iterable[str]]) -> tuple[str, ...]:
    """File suffixes of all raters of all classes."""
    names = (name for entry in suffixes for name in ([entry] if isinstance(entry, str) else entry))
    return _unique(map(file_suffix, names))


def _file_suffix(label: str | None) -> str | None:
    return file_suffix(label) if label else None


def _sessions(names: Iterable[Any]) -> tuple[str, ...]:
    return tuple(str(name).removeprefix("ses-") for name in names)
