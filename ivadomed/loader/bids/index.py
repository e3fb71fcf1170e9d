"""Fast index of a BIDS data set: one pass of ``os.scandir``, without opening files.

pybids remains the reference for names and entities (tests compare with it), but its database takes minutes
for a thousand subjects. Only what ivadomed uses is indexed: images of subjects, label files below
``derivatives``, sidecars, and the tables of subjects. Nothing is written.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ivadomed.errors import DataError
from ivadomed.images.files import data_path
from ivadomed.images.label_suffix import LabelTable
from ivadomed.images.pointers import FETCH
from ivadomed.loader.bids.files import DEFAULT_EXTENSIONS, BidsFile, Dropped
from ivadomed.loader.bids.label_tables import LabelTables
from ivadomed.loader.bids.names import NameFault, NameRules, ParsedName, comparable, load_rules
from ivadomed.loader.bids.text import read_json
from ivadomed.runtime.failures import is_utf8, printable, utf8_remedy

IMAGE_EXTENSIONS = (*DEFAULT_EXTENSIONS, ".png", ".tif", ".tiff", ".ome.tif", ".ome.tiff", ".jpg", ".jpeg")

_DERIVATIVES = "derivatives"
_NO_SUBJECTS = frozenset({_DERIVATIVES, "code", "models", "sourcedata", "stimuli"})
"""Folders below the root without images of subjects."""
_NOT_SCANNED = frozenset({"sourcedata"})
"""Folders of a derivative data set with its source data."""
_SIDECAR = ".json"
_BREAKS_RULES = "a name or place that breaks the rules"


class Sidecars:
    """JSON files of a data set, read on demand and cached, with the inheritance principle of BIDS.

    A sidecar applies to every image below its folder that has the sidecar's suffix and all of its entities;
    files nearer to the image, then those with more entities, take precedence (BIDS 1.9, "The Inheritance
    Principle").
    """

    def __init__(self) -> None:
        self._rules = NameRules(strict=False)
        self._files: dict[tuple[str, str], list[tuple[frozenset[tuple[str, str]], str]]] = defaultdict(list)
        self._contents: dict[str, dict[str, Any]] = {}

    def add(self, folder: str, name: str) -> None:
        """Register the JSON file ``name`` in ``folder``; other JSON files (participants.json) do no harm."""
        parsed = self._rules.parse(name, name[-len(_SIDECAR) :])
        entry = frozenset(comparable(parsed.entities).items()), f"{folder}/{name}"
        self._files[folder, parsed.suffix].append(entry)

    def metadata(self, folders: Iterable[str], entities: Mapping[str, str], suffix: str) -> dict[str, Any]:
        """Metadata of an image.

        Args:
            folders: Folders from the root of the data set down to the image.
            entities: Entities of the image.
            suffix: Suffix of the image.

        Raises:
            DataError: A sidecar is not a JSON object.
        """
        own = comparable(entities).items()
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
    """Read a JSON file with an object at the top level.

    Raises:
        DataError: The file cannot be read or holds another type.
    """
    content = read_json(path)
    if not isinstance(content, dict):
        raise DataError(f'{path}: expected a JSON object {{"key": value}}, found {type(content).__name__}')
    return content


@dataclass(frozen=True)
class BidsIndex(Sequence[BidsFile]):
    """Files sorted by path.

    Args:
        files: Images and derivatives.
        skipped: Files with a requested extension that violate the naming rules.
        tables: ``*_sessions.tsv`` and ``*_scans.tsv`` of subjects.
        sidecars: JSON files.
        label_tables: Tables of the classes in label maps.
    """

    files: tuple[BidsFile, ...]
    skipped: tuple[Dropped, ...]
    tables: tuple[Path, ...]
    sidecars: Sidecars
    label_tables: LabelTables = field(default_factory=LabelTables)

    def __getitem__(self, index: Any) -> Any:
        return self.files[index]

    def __len__(self) -> int:
        return len(self.files)

    def metadata(self, file: BidsFile) -> dict[str, Any]:
        """Content of the sidecars that apply to an image; see ``Sidecars``."""
        folders = [os.fspath(file.root)]
        for part in file.relative.split("/")[:-1]:
            folders.append(f"{folders[-1]}/{part}")
        return self.sidecars.metadata(folders, file.entities, file.suffix)

    def label_values(self, file: BidsFile) -> LabelTable:
        """Values of each class in a label map, by class name; empty if undefined, see ``LabelTables``."""
        return self.label_tables.of(file)


def scan(
    path_data: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
    extensions: Iterable[str] = DEFAULT_EXTENSIONS,
    bids_config: str | os.PathLike[str] | None = None,
    validate: bool = True,
) -> BidsIndex:
    """Index one or several BIDS data sets.

    Args:
        path_data: Folder or folders of data sets.
        extensions: Extensions of images and labels, compared with everything from the first dot of a name,
            ignoring case.
        bids_config: Custom layout, see ``load_rules``.
        validate: Skip files whose name, entities or folder is not valid in BIDS. Otherwise, all images are
            used, in folders of any name and depth: the subject is the folder ``sub-...``, or the one directly
            below the root.

    Raises:
        DataError: A data set does not exist, or is listed twice.
        ConfigError: ``bids_config`` is not a layout.
    """
    paths = [path_data] if isinstance(path_data, (str, os.PathLike)) else list(path_data)
    scanner = (_Scanner if validate else _LooseScanner)(
        load_rules(bids_config, validate), frozenset(extension.lower() for extension in extensions)
    )
    roots = [data_path(path) for path in paths]
    for number, root in enumerate(roots):
        if root.resolve() in [other.resolve() for other in roots[:number]]:
            raise DataError(f"loader_parameters.path_data: {root} is named twice; name each data set once")
        scanner.scan(root)
    return BidsIndex(tuple(scanner.files), tuple(scanner.skipped), tuple(scanner.tables), scanner.sidecars)


class _Scanner:
    """Walks the few levels of BIDS; entries are sorted, so their order on disk does not matter."""

    def __init__(self, rules: NameRules, extensions: frozenset[str]) -> None:
        self.rules = rules
        self.extensions = extensions
        self.endings = tuple(sorted(extensions, key=len, reverse=True))
        self.files: list[BidsFile] = []
        self.skipped: list[Dropped] = []
        self.tables: list[Path] = []
        self.sidecars = Sidecars()
        self.root = Path()

    def scan(self, root: Path) -> None:
        """Add a data set."""
        self.root = root
        for entry in entries_of(root):
            if entry.name.startswith("sub-") and is_folder(entry):
                self._subject(entry, "", derivative=False)
            elif entry.name == _DERIVATIVES and is_folder(entry):
                self._derivatives(entry, "derivatives/")
            else:
                self._other(entry, str(root))

    def _derivatives(self, folder: os.DirEntry[str], prefix: str) -> None:
        """Subjects of the derivative data sets in a folder, including those in nested folders."""
        for entry in entries_of(folder.path):
            if not is_folder(entry):
                continue
            if entry.name.startswith("sub-"):
                self._subject(entry, prefix, derivative=True)
            elif entry.name not in _NOT_SCANNED and not leads_back(entry.path):
                self._derivatives(entry, f"{prefix}{entry.name}/")

    def _subject(self, subject: os.DirEntry[str], prefix: str, derivative: bool) -> None:
        base = f"{prefix}{subject.name}/"
        for entry in entries_of(subject.path):
            if entry.name.startswith("ses-") and is_folder(entry):
                for inner in entries_of(entry.path):
                    self._level(inner, f"{base}{entry.name}/", (subject.name, entry.name), derivative)
            else:
                self._level(entry, base, (subject.name, ""), derivative)

    def _level(self, entry: os.DirEntry[str], base: str, folders: tuple[str, str], derivative: bool) -> None:
        """Process an entry of a subject or session folder: data type folder, table, sidecar, or misplaced image."""
        if not is_folder(entry):
            self._file(entry, base, folders, "", derivative)
            return
        for file in entries_of(entry.path):
            self._file(file, f"{base}{entry.name}/", folders, entry.name, derivative)

    def _file(
        self, entry: os.DirEntry[str], base: str, folders: tuple[str, str], datatype: str, derivative: bool
    ) -> None:
        name, relative = entry.name, base + entry.name
        if not name.lower().endswith(self.endings):
            if not derivative:
                self._other(entry, f"{self.root}/{base}".removesuffix("/"))
            return
        fault, lacks = "", ""
        if not is_utf8(relative):
            fault = f"its name is not UTF-8, and tables name it; {utf8_remedy()}"
        elif _is_file(entry):
            try:
                unread = ParsedName({}, "", self._ending(name))
                parsed = unread if derivative else self._parsed(name, folders, datatype)
                self._add(relative, folders, parsed, datatype, derivative)
            except NameFault as error:
                fault, lacks = str(error), _BREAKS_RULES
        elif entry.is_symlink():
            fault = f"a link without content; {FETCH}"
        else:
            fault = "a folder, not a file"
        if fault:
            self.skipped.append(Dropped(printable(str(self.root / relative)), fault, lacks))

    def _ending(self, name: str) -> str:
        """The longest requested extension of a name, as written; empty if none matches."""
        lower = name.lower()
        for ending in self.endings:
            if lower.endswith(ending):
                return name[-len(ending) :]
        return ""

    def _parsed(self, name: str, folders: tuple[str, str], datatype: str) -> ParsedName:
        """Parse the name of an image and compare it with the image's location."""
        parsed = self.rules.parse(name)
        if parsed.extension.lower() not in self.extensions:
            raise NameFault(
                f'the extension, from the first dot on, is "{parsed.extension}", which was not requested'
            )
        subject, session = folders
        if subject != f"sub-{parsed.entities.get('subject')}":
            raise NameFault(f"the name does not begin with the subject of its folder, {subject}")
        named = f"ses-{parsed.entities['session']}" if "session" in parsed.entities else ""
        if named != session:
            raise NameFault(f'the session in the name differs from that of its folder, "{session or "none"}"')
        if not self.rules.knows_datatype(datatype):
            where = (
                f'"{datatype}" is not a data type folder' if datatype else "it is not in a data type folder"
            )
            raise NameFault(f"{where} such as anat (bids_validate: false accepts it)")
        return parsed

    def _add(
        self, relative: str, folders: tuple[str, str], parsed: ParsedName, datatype: str, derivative: bool
    ) -> None:
        if not derivative:
            for key, pattern in self.rules.extra:  # entities of the custom layout found in the path
                if key not in parsed.entities and (found := pattern.search(f"/{relative}")):
                    parsed.entities[key] = found.group(1)
        file = BidsFile(
            self.root / relative,
            self.root,
            relative,
            folders,
            parsed.entities,
            parsed.suffix,
            parsed.extension,
            datatype,
            derivative,
            loose=not self.rules.strict,
        )
        self.files.append(file)

    def _other(self, entry: os.DirEntry[str], folder: str) -> None:
        if entry.name.lower().endswith(_SIDECAR):
            self.sidecars.add(folder, entry.name)
        elif entry.name.endswith(("_scans.tsv", "_sessions.tsv")):
            self.tables.append(Path(entry.path))


class _LooseScanner(_Scanner):
    """Walks all folders of a data set that need not follow BIDS (``bids_validate: false``).

    Follows pybids without validation. The files of a subject are those in its folder: ``sub-...`` at any depth,
    otherwise the folder directly below the root; names of files outside such folders must begin with ``sub-``.
    """

    def scan(self, root: Path) -> None:
        self.root = root
        first = len(self.files)
        self._walk(str(root), (), derivative=False)
        self._subjects = {file.participant for file in self.files[first:]}
        derivatives = root / _DERIVATIVES
        if derivatives.is_dir():
            self._walk(str(derivatives), (_DERIVATIVES,), derivative=True)
        self.files[first:] = sorted(self.files[first:], key=lambda file: file.relative.split("/"))

    def _walk(self, folder: str, parts: tuple[str, ...], derivative: bool) -> None:
        base, datatype = "".join(f"{part}/" for part in parts), parts[-1] if parts else ""
        skipped = _NOT_SCANNED if derivative else frozenset() if parts else _NO_SUBJECTS
        for entry in entries_of(folder):
            if not is_folder(entry):
                self._file(entry, base, self._folders(entry.name, parts, derivative), datatype, derivative)
            elif entry.name not in skipped and not leads_back(entry.path):
                self._walk(entry.path, (*parts, entry.name), derivative)

    def _folders(self, name: str, parts: tuple[str, ...], derivative: bool) -> tuple[str, str]:
        session = next((part for part in parts if part.startswith("ses-")), "")
        named = [part for part in (*parts, name.split("_")[0]) if part.startswith("sub-")]
        if derivative:
            named += [part for part in parts if part in self._subjects]
        else:
            named += parts
        return (named[0].removesuffix(self._ending(name)) if named else "", session)

    def _parsed(self, name: str, folders: tuple[str, str], datatype: str) -> ParsedName:
        parsed = self.rules.parse(name, self._ending(name))
        subject, session = folders
        if not subject:
            raise NameFault("it is not in a subject folder, and its name does not begin with sub-")
        parsed.entities["subject"] = subject.removeprefix("sub-")
        if session:
            parsed.entities.setdefault("session", session.removeprefix("ses-"))
        return parsed


def is_folder(entry: os.DirEntry[str]) -> bool:
    """Return whether an entry is a folder or a link to one; circular links are not."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def _is_file(entry: os.DirEntry[str]) -> bool:
    """Return whether an entry is a file or a link to one."""
    try:
        return entry.is_file()
    except OSError:
        return False


def leads_back(folder: str | os.PathLike[str]) -> bool:
    """Return whether a path is a link to a folder that contains it, which would be walked endlessly."""
    if not os.path.islink(folder) or not os.path.isdir(folder):
        return False
    path, target = Path(folder), os.stat(folder)
    if path.parent.resolve().is_relative_to(path.resolve()):
        return True
    # Mutual links: the walked path has already been there.
    return any(os.path.samestat(target, os.stat(around)) for around in path.parents)


def entries_of(folder: str | Path) -> list[os.DirEntry[str]]:
    """Visible entries of a folder, sorted by name."""
    try:
        with os.scandir(folder) as entries:
            return sorted(
                (entry for entry in entries if not entry.name.startswith(".")), key=lambda e: e.name
            )
    except OSError as error:
        raise DataError(f"{folder}: cannot be listed ({error.strerror}); check its permissions") from error
