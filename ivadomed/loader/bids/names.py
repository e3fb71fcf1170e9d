"""BIDS naming rules: ``sub-01_acq-MTon_run-1_T1w.nii.gz`` <-> entities, suffix, extension.

A name consists of ``key-value`` entities joined with ``_``, then the suffix, then the extension from the first
dot (BIDS 1.9, "File name structure"). Long names of entities ("acquisition") are those of pybids. Unlike in
BIDS, the suffix may contain ``_``: it is everything after the entities, such as ``T1w_reg`` and ``T2w_mid`` of
processed images.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

from ivadomed.config import CONFIG_DIR
from ivadomed.errors import ConfigError
from ivadomed.images.files import parse_json
from ivadomed.registry import nearest

_LONG_NAMES = {
    **{"sub": "subject", "ses": "session", "acq": "acquisition", "nuc": "nucleus", "voi": "volume"},
    **{"ce": "ceagent", "stain": "staining", "trc": "tracer", "rec": "reconstruction", "dir": "direction"},
    **{"mod": "modality", "seg": "segmentation"},
}
_OTHERS = "sample task tracksys run proc echo flip inv mt part recording space chunk atlas roi label desc hemi res den"
ENTITY_NAMES: Mapping[str, str] = _LONG_NAMES | {key: key for key in _OTHERS.split()}
"""Key in a file name -> name of the entity."""

DATATYPES = frozenset(
    {"anat", "beh", "ct", "dwi", "eeg", "fmap", "func", "ieeg", "meg", "micr", "microscopy", "motion"}
    | {"mrs", "nirs", "perf", "pet"}
)
"""Folders for images: those of BIDS, and ``ct`` and ``microscopy``, added by ivadomed."""

_OWN_LAYOUT = "config_bids.json"
_LABEL = re.compile(r"[A-Za-z0-9+]+")
_INDEX = re.compile(r"[0-9]+")
INDICES = ("run", "echo", "flip", "inv", "chunk")
"""Entities with numeric values: ``run-1`` and ``run-01`` are the same run."""
_PADDED = re.compile(rf"((?:^|_)(?:{'|'.join(INDICES)})-)0+(?=[0-9]+(?:_|\.|$))")
_VALUES = {
    **dict.fromkeys(INDICES, _INDEX),
    "mt": re.compile("on|off"),
    "part": re.compile("imag|mag|phase|real"),
    "hemi": re.compile("L|R"),
}
_PATH_ENTITIES = frozenset({"suffix", "datatype", "extension", "scans", "fmap"})


class NameFault(ValueError):
    """A file name violates the rules; the message explains how."""


@dataclass(frozen=True)
class ParsedName:
    """Content of a file name: entities by long name, suffix ("T1w"), extension (".nii.gz")."""

    entities: dict[str, str]
    suffix: str
    extension: str


def without_padding(name: str) -> str:
    """A name with its indices as numbers, for comparison: ``sub-01_run-1_T1w`` for ``sub-01_run-01_T1w``."""
    behind_subject = name.find("_") if name.startswith("sub-") else 0
    return name if name.find("-0", behind_subject) < 0 else _PADDED.sub(r"\1", name)


def comparable(entities: Mapping[str, str]) -> Mapping[str, str]:
    """Entities by long name with their indices as numbers: {"run": "1"} for {"run": "01"}."""
    there = [key for key in INDICES if key in entities]
    return {**entities, **{key: _number(entities[key]) for key in there}} if there else entities


def _number(index: str) -> str:
    return index.lstrip("0") or "0" if _INDEX.fullmatch(index) else index


@dataclass(frozen=True)
class NameRules:
    """Rules for accepted names.

    Args:
        strict: Refuse names that violate the rules, and entities unknown to both BIDS and the custom layout.
            Otherwise, every name can be parsed: what does not begin with ``key-value`` is the suffix.
        extra: Additional entities of a custom layout: (name, pattern with one group).
        suffix: Pattern of the suffix in a custom layout, searched in the path; None for the rule of BIDS.
        datatype: Pattern of the data type folder in a custom layout, in addition to ``DATATYPES``.
    """

    strict: bool = True
    extra: tuple[tuple[str, re.Pattern[str]], ...] = ()
    suffix: re.Pattern[str] | None = None
    datatype: re.Pattern[str] | None = None

    def parse(self, name: str, extension: str | None = None) -> ParsedName:
        """Parse the entities, the suffix and the extension of a file name.

        Args:
            name: File name.
            extension: End of the name; None for everything from the first dot.

        Raises:
            NameFault: The name violates the rules; never raised if they are not strict.
        """
        if extension is None:
            stem, dot, rest = name.partition(".")
            extension = dot + rest
        else:
            stem = name.removesuffix(extension)
        last = self._last_part(name, stem)
        before = stem.removesuffix(last).removesuffix("_")
        entities: dict[str, str] = {}
        behind: list[str] = []
        for part in before.split("_") if before or last != stem else ():
            if behind or not self._read_pair(part, entities):
                behind.append(part)
        if self.strict:
            _refuse_behind(behind)
        return ParsedName(entities, "_".join([*behind, last]), extension)

    def knows_datatype(self, folder: str) -> bool:
        """Return whether this folder of a subject may contain images."""
        return folder in DATATYPES or (
            self.datatype is not None and self.datatype.search(f"/{folder}/") is not None
        )

    def _last_part(self, name: str, stem: str) -> str:
        """The part after the last "_", or the match of a custom layout's pattern, which may contain "_" or "-"."""
        if self.suffix is not None and (found := self.suffix.search(f"/{name}")):
            return found.group(1)
        last = stem.rpartition("_")[2]
        if self.strict and not _LABEL.fullmatch(last):
            raise NameFault(f'"{last}" is not a suffix such as T1w; put it last, without "-"')
        return last

    def _read_pair(self, pair: str, entities: dict[str, str]) -> bool:
        """Add an entity; False if the part is not one."""
        key, dash, value = pair.partition("-")
        if not self.strict:
            if key and value:
                extra = None if key in ENTITY_NAMES else self._extra_pair(pair)
                entities.setdefault(*extra or (ENTITY_NAMES.get(key, key), value))
            return bool(key and value)
        if not dash and pair:
            return False
        if not dash or not value:
            raise NameFault(f'"{pair}" is not of the form key-value')
        entity = ENTITY_NAMES.get(key)
        if entity is None:
            extra = self._extra_pair(pair)
            if extra is None:
                near = nearest(key, ENTITY_NAMES)
                hint = f'; did you mean "{near}"?' if near else ""
                raise NameFault(f'"{key}" is not an entity of BIDS (bids_config can add it){hint}')
            entities[extra[0]] = extra[1]
            return True
        if entity in entities:
            raise NameFault(f'the entity "{key}" is given twice')
        if not _VALUES.get(key, _LABEL).fullmatch(value):
            raise NameFault(f'"{value}" is not a value of the entity "{key}"')
        entities[entity] = value
        return True

    def _extra_pair(self, pair: str) -> tuple[str, str] | None:
        """Name and value of an entity known only to the custom layout."""
        for name, pattern in self.extra:
            if found := pattern.search(f"_{pair}"):
                return name, found.group(1)
        return None


def _refuse_behind(parts: Sequence[str]) -> None:
    """Refuse parts that are not allowed between the entities and the end of the suffix."""
    for part in parts:
        if "-" in part:
            raise NameFault(
                f'the entity "{part}" comes after "{parts[0]}"; entities come before the contrast'
            )
        if not _LABEL.fullmatch(part):
            raise NameFault(
                f'"{part}" is not of the form key-value, and is not part of a suffix such as T1w_reg'
            )


def load_rules(bids_config: str | PathLike[str] | None, strict: bool = True) -> NameRules:
    """Rules of BIDS, extended by a custom layout in pybids' JSON format.

    Args:
        bids_config: File with {"entities": [{"name": ..., "pattern": ...}]}; None for BIDS alone. The path of
            the packaged layout in earlier versions refers to that layout, regardless of the current folder.
        strict: See ``NameRules``.

    Raises:
        ConfigError: The file is missing or is not a layout.
    """
    if bids_config is None:
        return NameRules(strict)
    path = Path(bids_config)
    if path.parts[-3:] == ("ivadomed", "config", _OWN_LAYOUT) and not path.exists():
        path = CONFIG_DIR / _OWN_LAYOUT
    where = f"loader_parameters.bids_config: {path}"
    try:
        entries = parse_json(path.read_text(encoding="utf-8"))["entities"]
        patterns = {str(entry["name"]): re.compile(entry["pattern"]) for entry in entries}
    except OSError as error:
        raise ConfigError(f"{where} cannot be read ({error.strerror})") from error
    except (ValueError, KeyError, TypeError, re.error) as error:
        raise ConfigError(
            f"{where} is not a pybids layout ({error}); "
            'expected {"entities": [{"name": ..., "pattern": ...}]}'
        ) from error
    for name, pattern in patterns.items():
        if pattern.groups < 1:
            raise ConfigError(f'{where}: the pattern of "{name}" has no group; put the value in parentheses')
    known = _PATH_ENTITIES | set(ENTITY_NAMES.values())
    extra = tuple((name, pattern) for name, pattern in patterns.items() if name not in known)
    return NameRules(strict, extra, patterns.get("suffix"), patterns.get("datatype"))
