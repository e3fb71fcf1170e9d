"""The part of ``loader_parameters`` that says which files of a data set are wanted."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ivadomed.loader.bids.index import DEFAULT_EXTENSIONS

if TYPE_CHECKING:
    from ivadomed.config.schema.loader import LoaderParameters


@dataclass(frozen=True)
class Selection:
    """Files that are wanted of a data set.

    Args:
        paths: Folders of the data sets.
        extensions: Extensions of images and labels.
        contrasts: Wanted contrasts, see ``contrast_of``; empty for all.
        target_suffixes: Suffixes of the labels, those of several raters side by side.
        roi_suffix: Suffix of the region of interest, or None.
        sessions: Wanted sessions without "ses-"; empty for all.
        bids_config: Custom layout, or None.
        validate: See ``scan``.
    """

    paths: tuple[str, ...]
    extensions: tuple[str, ...]
    contrasts: tuple[str, ...]
    target_suffixes: tuple[str, ...]
    roi_suffix: str | None
    sessions: tuple[str, ...]
    bids_config: str | None
    validate: bool

    @classmethod
    def of_section(cls, loader: LoaderParameters) -> Selection:
        """Take what is wanted from ``loader_parameters``."""
        contrasts = loader.contrast_params
        return cls(
            paths=loader.path_data,
            extensions=loader.extensions,
            contrasts=_unique((*contrasts.training_validation, *contrasts.testing)),
            target_suffixes=_flat(loader.target_suffix),
            roi_suffix=loader.roi_params.suffix,
            sessions=_sessions(loader.target_sessions),
            bids_config=loader.bids_config,
            validate=loader.bids_validate,
        )

    @classmethod
    def of(cls, params: Mapping[str, Any]) -> Selection:
        """Take what is wanted from the documented dictionary ``loader_parameters``."""
        paths, contrasts = params["path_data"], params.get("contrast_params") or {}
        both = (*(contrasts.get("training_validation") or ()), *(contrasts.get("testing") or ()))
        return cls(
            paths=tuple(map(os.fspath, [paths] if isinstance(paths, (str, os.PathLike)) else paths)),
            extensions=tuple(params.get("extensions") or DEFAULT_EXTENSIONS),
            contrasts=_unique(contrasts.get("contrast_lst") or both),
            target_suffixes=_flat(params.get("target_suffix") or ()),
            roi_suffix=(params.get("roi_params") or {}).get("suffix"),
            sessions=_sessions(params.get("target_sessions") or ()),
            bids_config=params.get("bids_config"),
            validate=params.get("bids_validate", True),
        )

    @property
    def label_suffixes(self) -> tuple[str, ...]:
        """Suffixes of the labels and of the region of interest."""
        roi = (self.roi_suffix,) if self.roi_suffix else ()
        return _unique((*self.target_suffixes, *roi))

    def describe(self) -> str:
        """One line for messages."""
        sessions = f" of sessions {list(self.sessions)}" if self.sessions else ""
        contrasts = list(self.contrasts) or "all"
        return f"images {list(self.extensions)} of contrasts {contrasts}{sessions} in {', '.join(self.paths)}"


def _unique(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names))


def _flat(suffixes: Iterable[str | Iterable[str]]) -> tuple[str, ...]:
    """Suffixes of all raters of all classes."""
    return _unique(name for entry in suffixes for name in ([entry] if isinstance(entry, str) else entry))


def _sessions(names: Iterable[Any]) -> tuple[str, ...]:
    return tuple(str(name).removeprefix("ses-") for name in names)
