"""Name rules of BIDS: ``sub-01_acq-MTon_run-1_T1w.nii.gz`` <-> entities, suffix, extension.

A name is a row of ``key-value`` entities joined with ``_``, then the suffix, then the extension from the
first dot on (BIDS 1.9, "File name structure"). Long names of entities ("acquisition") are those of pybids.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

from ivadomed.config import CONFIG_DIR
from ivadomed.errors import ConfigError

ENTITY_NAMES: Mapping[str, str] = {
    "sub": "subject",
    "ses": "session",
    "sample": "sample",
    "task": "task",
    "tracksys": "tracksys",
    "acq": "acquisition",
    "nuc": "nucleus",
    "voi": "volume",
    "ce": "ceagent",
    "stain": "staining",
    "trc": "tracer",
    "rec": "reconstruction",
    "dir": "direction",
    "run": "run",
    "proc": "proc",
    "mod": "modality",
    "echo": "echo",
    "flip": "flip",
    "inv": "inv",
    "mt": "mt",
    "part": "part",
    "recording": "recording",
    "space": "space",
    "chunk": "chunk",
    "atlas": "atlas",
    "roi": "roi",
    "label": "label",
    "desc": "desc",
    "hemi": "hemi",
    "seg": "segmentation",
    "res": "res",
    "den": "den",
}
"""Key in a file name -> name of the entity."""

DATATYPES = frozenset(
    {"anat", "beh", "ct", "dwi", "eeg", "fmap", "func", "ieeg", "meg", "micr", "microscopy", "motion"}
    | {"mrs", "nirs", "perf", "pet"}
)
"""Folders that hold images: those of BIDS, and ``ct`` and ``microscopy``, which ivadomed adds."""

_OWN_LAYOUT = "config_bids.json"
_LABEL = re.compile(r"[A-Za-z0-9+]+")
_INDEX = re.compile(r"[0-9]+")
_VALUES = {
    **dict.fromkeys(("run", "echo", "flip", "inv", "chunk"), _INDEX),
    "mt": re.compile("on|off"),
    "part": re.compile("imag|mag|phase|real"),
    "hemi": re.compile("L|R"),
}
_PATH_ENTITIES = frozenset({"suffix", "datatype", "extension", "scans", "fmap"})


class NameFault(ValueError):
    """A file name breaks the rules; the message says how."""


@dataclass(frozen=True)
class ParsedName:
    """What a file name says: entities by long name, suffix ("T1w"), extension (".nii.gz")."""

    entities: dict[str, str]
    suffix: str
    extension: str


@dataclass(frozen=True)
class NameRules:
    """Which names are accepted.

    Args:
        strict: Refuse entities that neither BIDS nor the custom layout knows.
        extra: Entities of a custom layout that BIDS does not have: (name, pattern with one group).
        suffix: Pattern of the suffix in a custom layout, searched in the path; None for the rule of BIDS.
        datatype: Pattern of the data type folder in a custom layout, besides ``DATATYPES``.
    """

    strict: bool = True
    extra: tuple[tuple[str, re.Pattern[str]], ...] = ()
    suffix: re.Pattern[str] | None = None
    datatype: re.Pattern[str] | None = None

    def parse(self, name: str) -> ParsedName:
        """Read the entities, the suffix and the extension of a file name.

        Raises:
            NameFault: The name breaks the rules.
        """
        stem, dot, extension = name.partition(".")
        *pairs, suffix = stem.split("_")
        if self.suffix is not None and (found := self.suffix.search(f"/{name}")):
            # A custom suffix may itself hold "_" or "-": what stands before it are the entities.
            suffix = found.group(1)
            pairs = [part for part in stem.removesuffix(suffix).split("_") if part]
        elif not _LABEL.fullmatch(suffix):
            raise NameFault(f'"{suffix}" is no suffix such as T1w; put it last, without "-"')
        entities: dict[str, str] = {}
        for pair in pairs:
            self._read_pair(pair, entities)
        return ParsedName(entities, suffix, dot + extension)

    def knows_datatype(self, folder: str) -> bool:
        """Whether images may lie in this folder of a subject."""
        return (
            not self.strict
            or folder in DATATYPES
            or (self.datatype is not None and self.datatype.search(f"/{folder}/") is not None)
        )

    def _read_pair(self, pair: str, entities: dict[str, str]) -> None:
        key, dash, value = pair.partition("-")
        if not dash or not value:
            raise NameFault(f'"{pair}" is not written key-value')
        entity = ENTITY_NAMES.get(key)
        if entity is None:
            self._read_extra(pair, entities)
            return
        if entity in entities:
            raise NameFault(f'the entity "{key}" is given twice')
        if not _VALUES.get(key, _LABEL).fullmatch(value):
            raise NameFault(f'"{value}" is no value of the entity "{key}"')
        entities[entity] = value

    def _read_extra(self, pair: str, entities: dict[str, str]) -> None:
        for name, pattern in self.extra:
            if found := pattern.search(f"_{pair}"):
                entities[name] = found.group(1)
                return
        key, _, value = pair.partition("-")
        if self.strict:
            near = difflib.get_close_matches(key, ENTITY_NAMES, 1)
            hint = f'; did you mean "{near[0]}"?' if near else ""
            raise NameFault(f'"{key}" is no entity of BIDS (bids_config can add it){hint}')
        entities[key] = value


def load_rules(bids_config: str | PathLike[str] | None, strict: bool = True) -> NameRules:
    """Rules of BIDS, extended by a custom layout in pybids' JSON format.

    Args:
        bids_config: File with {"entities": [{"name": ..., "pattern": ...}]}; None for BIDS alone. The path that
            earlier versions had for the layout of the package is that layout, whatever folder is the current one.
        strict: See ``NameRules``.

    Raises:
        ConfigError: The file is missing or is no layout.
    """
    if bids_config is None:
        return NameRules(strict)
    path = Path(bids_config)
    if path.parts[-3:] == ("ivadomed", "config", _OWN_LAYOUT) and not path.exists():
        path = CONFIG_DIR / _OWN_LAYOUT
    where = f"loader_parameters.bids_config: {path}"
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))["entities"]
        patterns = {str(entry["name"]): re.compile(entry["pattern"]) for entry in entries}
    except OSError as error:
        raise ConfigError(f"{where} cannot be read ({error.strerror})") from error
    except (ValueError, KeyError, TypeError, RecursionError, re.error) as error:
        raise ConfigError(
            f"{where} is no pybids layout ({error}); "
            'expected {"entities": [{"name": ..., "pattern": ...}]}'
        ) from error
    for name, pattern in patterns.items():
        if pattern.groups < 1:
            raise ConfigError(f'{where}: the pattern of "{name}" has no group; put the value in parentheses')
    known = _PATH_ENTITIES | set(ENTITY_NAMES.values())
    extra = tuple((name, pattern) for name, pattern in patterns.items() if name not in known)
    return NameRules(strict, extra, patterns.get("suffix"), patterns.get("datatype"))
