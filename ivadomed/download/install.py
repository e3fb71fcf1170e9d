"""Installation of an archive into a folder, with a record of the files that came from it.

The record has the names and checksums of these files. When an archive is installed again, it distinguishes them from
files that the user has added or changed, which are never replaced or removed.
"""

from __future__ import annotations

import hashlib
import logging
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from ivadomed.download.archives import unpack
from ivadomed.download.http import Download, download_of, fetch, sha256_of
from ivadomed.errors import OutputError
from ivadomed.images.files import atomic_folder, move, parse_json, write_json

log = logging.getLogger(__name__)

RECORD = ".ivadomed_download.json"

_BESIDE = frozenset({"__MACOSX", "pax_global_header"})  # added by archivers to the packed folder
_MOST_NAMES = 3


def download_data(urls: str | Sequence[str] | Download) -> str:
    """Download a file to the user's cache folder (``~/.cache/ivadomed``, or in ``XDG_CACHE_HOME``).

    Args:
        urls: One URL, or several for the same file.

    Returns:
        The file, to be removed by the caller.

    Raises:
        DownloadError: No server provided the file.
        OutputError: The file cannot be written.
    """
    source = urls if isinstance(urls, Download) else download_of(urls)
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ivadomed"
    url = source.urls[0]
    key = hashlib.sha256(url.encode()).hexdigest()[:8]
    return str(fetch(source, cache / f"{key}-{Path(urlsplit(url).path).name or 'download'}"))


def install_data(
    url: str | Sequence[str] | Download, dest_folder: str | os.PathLike[str], keep: bool = False
) -> Path:
    """Download an archive and unpack it; a single top-level folder becomes ``dest_folder``.

    Args:
        url: One URL, or several for the same file.
        dest_folder: Folder to create. Files from an earlier call are replaced, other files never are.
        keep: Add to an existing folder; its files are kept, even if the archive has others of the same name.

    Returns:
        The folder.

    Raises:
        DownloadError: No server provided the file.
        DataError: The archive is damaged or harmful, see ``ivadomed.download.archives``.
        OutputError: The folder holds files and ``keep`` is not set, or it cannot be written.
    """
    dest = Path(dest_folder).expanduser().resolve()
    check_free(dest, keep)
    archive = Path(download_data(url))
    try:
        install(archive, dest, keep)
    finally:
        archive.unlink()
    return dest


def unzip(compressed: str | os.PathLike[str], dest_folder: str | os.PathLike[str]) -> Path:
    """Unpack a zip or tar archive.

    Args:
        compressed: The archive.
        dest_folder: Folder to create; if it exists, files are added and none is replaced.

    Returns:
        The folder.

    Raises:
        DataError: The archive is damaged or harmful, see ``ivadomed.download.archives``.
        OutputError: The folder cannot be written.
    """
    dest = Path(dest_folder).expanduser().resolve()
    if not holds_files(dest):
        return unpack(compressed, dest)
    add_missing(Path(compressed), dest)
    return dest


def check_free(dest: Path, keep: bool) -> None:
    """Raise OutputError if an archive cannot be installed: in a file, or in a user's folder without ``keep``."""
    if dest.exists() and not dest.is_dir():
        raise OutputError(f"{dest}: is a file; give a folder with -o")
    if holds_files(dest) and not keep and _read_record(dest) is None:
        raise OutputError(
            f"{dest}: holds files that were not downloaded by this tool; choose another folder with -o, "
            "or add to it with -k"
        )


def install(archive: Path, dest: Path, keep: bool = False) -> None:
    """Unpack an archive into a folder; a single top-level folder becomes ``dest``.

    Files from an earlier call are replaced, or removed if no longer in the archive; those changed since are first
    moved to a folder next to ``dest``. All other files are kept, even if the archive has one of the same name.

    Args:
        archive: zip or tar archive.
        dest: The folder; created if missing.
        keep: Add to a folder of any origin: no file is replaced, moved or removed, and a folder that was not
            downloaded remains the user's.

    Raises:
        DataError: The archive is damaged or harmful, see ``ivadomed.download.archives``.
        OutputError: See ``check_free``, or the folder cannot be written.
    """
    check_free(dest, keep)
    with _scratch(dest) as scratch:
        root = unpack(archive, scratch / "content")
        entries = [entry for entry in root.iterdir() if entry.name not in _BESIDE]
        if len(entries) == 1 and entries[0].is_dir():  # as in GitHub archives
            root = entries[0]
        if holds_files(dest):
            with _writing(dest):
                _merge(root, dest, keep, archive.name)
            return
        files = {name: sha256_of(root / name) for name in _files_of(root)}
        with atomic_folder(dest) as place:
            for entry in sorted(root.iterdir()):
                if entry.name != RECORD:
                    entry.rename(place / entry.name)
            _write_record(place, archive.name, files)


def add_missing(archive: Path, dest: Path) -> None:
    """Unpack an archive unchanged into a folder, without replacing its files."""
    with _scratch(dest) as scratch:
        source = unpack(archive, scratch / "content")
        with _writing(dest):
            for name in _files_of(source):
                if _is_free(dest / name, dest):
                    _move(source / name, dest / name)


def holds_files(folder: Path) -> bool:
    """True for a folder with content."""
    return folder.is_dir() and any(folder.iterdir())


def _merge(root: Path, dest: Path, keep: bool, archive: str) -> None:
    before = _read_record(dest)
    known = before or {}
    brought: dict[str, str] = {}
    kept: list[str] = []
    changed: list[str] = []
    aside = _unused(dest.with_name(f"{dest.name}_changed"))
    for name in _files_of(root):
        new, place = root / name, dest / name
        digest = sha256_of(new)
        found = _digest(place, dest)
        if found != digest and not _is_free(place, dest):
            if keep or found is None or name not in known:
                kept.append(name)
                continue
            if found != known[name]:
                changed.append(name)
                _move(place, aside / name)
        if found != digest:
            _move(new, place)
        brought[name] = digest
    gone = {name: digest for name, digest in known.items() if name not in brought}
    if not keep:
        for name in [name for name, digest in gone.items() if _digest(dest / name, dest) == digest]:
            _remove(dest / name, dest)
        gone = {}
    if before is not None:
        _write_record(dest, archive, brought | gone)
    if kept and not keep:
        log.warning(
            "%s: your files are kept, although the archive has others: %s.",
            dest,
            _some(kept),
        )
    if changed:
        log.warning("%s: files changed after the download are now in %s: %s.", dest, aside, _some(changed))


def _read_record(folder: Path) -> dict[str, str] | None:
    """Checksums of downloaded files, by name; None for a folder that was not downloaded."""
    file = folder / RECORD
    if not file.is_file():
        return None
    try:
        files = parse_json(file.read_text(encoding="utf-8"))["files"]
    except (OSError, ValueError, KeyError, TypeError):
        return {}  # made by this tool, but the list of files is lost
    return {str(k): str(v) for k, v in files.items()} if isinstance(files, dict) else {}


def _write_record(folder: Path, archive: str, files: Mapping[str, str]) -> None:
    write_json(folder / RECORD, {"archive": archive, "files": dict(sorted(files.items()))})


def _files_of(root: Path) -> list[str]:
    """Names of all files in an unpacked archive, except a record in it."""
    names = sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())
    return [name for name in names if name.partition("/")[0] != RECORD]


def _is_free(place: Path, dest: Path) -> bool:
    """True if a path is free and its parents are folders of ``dest``: no file, no link to elsewhere."""
    above = place.parents[: len(place.relative_to(dest).parts) - 1]
    return not os.path.lexists(place) and all(
        not os.path.lexists(folder) or (folder.is_dir() and not folder.is_symlink()) for folder in above
    )


def _digest(place: Path, dest: Path) -> str | None:
    """Checksum of a plain file of ``dest``; None if there is none, or if links lead elsewhere."""
    if ".." in place.parts or place.is_symlink() or not place.is_file():
        return None
    return sha256_of(place) if place.resolve() == dest.resolve() / place.relative_to(dest) else None


def _move(source: Path, place: Path) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    move(source, place)


def _remove(place: Path, dest: Path) -> None:
    """Remove a file, and folders left empty by this."""
    place.unlink()
    for folder in place.parents[: len(place.relative_to(dest).parts) - 1]:
        if any(folder.iterdir()):
            return
        folder.rmdir()


def _unused(path: Path) -> Path:
    number = 1
    while os.path.lexists(free := path if number == 1 else path.with_name(f"{path.name}_{number}")):
        number += 1
    return free


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    return ", ".join(names[:_MOST_NAMES]) + more


@contextmanager
def _scratch(dest: Path) -> Iterator[Path]:
    """Temporary folder next to ``dest``, on the same file system."""
    try:
        dest.parent.mkdir(parents=True, exist_ok=True)
        place = tempfile.TemporaryDirectory(prefix=f".{dest.name}-", dir=dest.parent)
    except OSError as error:
        raise OutputError(f"{dest}: cannot be written ({error.strerror}); choose another -o") from error
    with place as folder:
        yield Path(folder)


@contextmanager
def _writing(dest: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OutputError(f"{error.filename or dest}: cannot be written ({error.strerror})") from error
