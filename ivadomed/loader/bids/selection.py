"""The part of ``loader_parameters`` that says which files of a data set are wanted."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ivadomed.loader.bids.index import DEFAULT_EXTENSIONS


@dataclass(frozen=True)
class Selection:
    """What is asked of a data set.

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
    def of(cls, params: Mapping[str, Any]) -> Selection:
        """Read the documented dictionary ``loader_parameters``."""
        paths = params["path_data"]
        contrast_params = params.get("contrast_params") or {}
        contrasts = contrast_params.get("contrast_lst") or [
            *(contrast_params.get("training_validation") or ()),
            *(contrast_params.get("testing") or ()),
        ]
        suffixes: list[str] = []
        for suffix in params.get("target_suffix") or ():
            suffixes += [suffix] if isinstance(suffix, str) else suffix
        return cls(
            paths=(os.fspath(paths),)
            if isinstance(paths, (str, os.PathLike))
            else tuple(map(os.fspath, paths)),
            extensions=tuple(params.get("extensions") or DEFAULT_EXTENSIONS),
            contrasts=tuple(dict.fromkeys(contrasts)),
            target_suffixes=tuple(dict.fromkeys(suffixes)),
            roi_suffix=(params.get("roi_params") or {}).get("suffix"),
            sessions=tuple(str(name).removeprefix("ses-") for name in params.get("target_sessions") or ()),
            bids_config=params.get("bids_config"),
            validate=params.get("bids_validate", True),
        )

    @property
    def label_suffixes(self) -> tuple[str, ...]:
        """Suffixes of the labels and of the region of interest."""
        roi = (self.roi_suffix,) if self.roi_suffix else ()
        return tuple(dict.fromkeys((*self.target_suffixes, *roi)))

    def describe(self) -> str:
        """One line for messages."""
        sessions = f" of sessions {list(self.sessions)}" if self.sessions else ""
        contrasts = list(self.contrasts) or "all"
        return f"images {list(self.extensions)} of contrasts {contrasts}{sessions} in {', '.join(self.paths)}"
