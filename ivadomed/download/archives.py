"""Safe unpacking of untrusted zip and tar archives.

An archive may try to write outside its folder ("../x", absolute names, links), to fill the disk or the memory (a few
kilobytes that unpack to terabytes), or to hide one file behind another of the same name. Only folders and plain files
are created; anything else is an error that leaves nothing behind.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any, cast

from ivadomed.errors import DataError, OutputError
from ivadomed.images.files import atomic_folder

_CHUNK = 1 << 20
_READ_AT_ONCE = 1 << 24  # tarfile reads extended headers into memory, regardless of their declared size
_TAR_OPENERS = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ": lzma.open}
_DAMAGE = (
    zipfile.BadZipFile,
    tarfile.TarError,
    lzma.LZMAError,
    zlib.error,
    EOFError,
    RuntimeError,  # raised by zipfile for an encrypted member
    NotImplementedError,
    UnicodeError,
    ValueError,
)


@dataclass(frozen=True)
class ArchiveLimits:
    """Limits on the unpacked size of an archive.

    Args:
        ratio: Bytes per byte of the archive. As masks of zeros compress to a thousandth, this limits only large
            archives.
        least: Bytes allowed for any archive.
        members: Number of files and folders.
    """

    ratio: float = 100.0
    least: int = 2 << 30
    members: int = 1_000_000

    def bytes_of(self, archive: Path) -> int:
        """Maximum number of bytes that an archive may unpack to."""
        return max(self.least, int(self.ratio * archive.stat().st_size))


_DEFAULT = ArchiveLimits()


@dataclass(frozen=True)
class _Member:
    """A folder, or a file to read from ``content``."""

    name: str
    is_folder: bool
    content: IO[bytes] | None = None


def unpack(
    archive: str | os.PathLike[str],
    folder: str | os.PathLike[str],
    replace: bool = False,
    limits: ArchiveLimits = _DEFAULT,
) -> Path:
    """Unpack an archive into a folder that appears only when complete.

    Args:
        archive: zip or tar, plain or compressed with gzip, bzip2 or xz; recognized by content, not by name.
        folder: Folder to create; must not have any content.
        replace: Replace a folder with content.
        limits: Limits beyond which an archive counts as a bomb.

    Returns:
        The folder.

    Raises:
        DataError: The archive is damaged, or has members that are not unpacked, see the module.
        OutputError: The folder is in use or cannot be written.
    """
    archive, folder = Path(archive), Path(folder)
    if not archive.is_file():
        raise DataError(f"{archive}: no such archive")
    with atomic_folder(folder, replace) as place:
        try:
            members = _zip_members if zipfile.is_zipfile(archive) else _tar_members
            _write(members(archive, limits), place, archive, limits)
        except _DAMAGE as error:
            raise _damaged(archive, error) from error
        except OSError as error:
            if error.errno is None:  # from a decompression library, not the system
                raise _damaged(archive, error) from error
            raise OutputError(f"{folder}: cannot be written ({error.strerror}); make room") from error
    return folder


def _write(members: Iterator[_Member], place: Path, archive: Path, limits: ArchiveLimits) -> None:
    most = limits.bytes_of(archive)
    written = 0
    for number, member in enumerate(members, 1):
        if number > limits.members:
            raise DataError(f"{archive}: has more than {limits.members} members; not unpacked")
        path = place / _safe_name(member.name, archive)
        try:
            if member.is_folder:
                path.mkdir(parents=True, exist_ok=True)
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            file = path.open("xb")
        except (FileExistsError, NotADirectoryError):
            raise DataError(f"{archive}: holds {member.name!r} twice; not unpacked") from None
        with file:
            content = cast(IO[bytes], member.content)
            while chunk := content.read(_CHUNK):
                written += len(chunk)
                if written > most:
                    raise _bomb(archive, most)
                file.write(chunk)


def _safe_name(name: str, archive: Path) -> PurePosixPath:
    """Name of a member, relative and without "..".

    Windows names (drives, backslashes) are refused too, as their meaning depends on the system.
    """
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\\" in name or "\0" in name or ":" in name:
        raise DataError(f"{archive}: holds {name!r}, which would lie outside of its folder; not unpacked")
    return path


def _damaged(archive: Path, error: Exception) -> DataError:
    return DataError(f"{archive}: damaged or no zip or tar archive ({error}); download it again")


def _bomb(archive: Path, most: int) -> DataError:
    return DataError(
        f"{archive}: unpacks to more than {most / 1e9:.3g} GB, as no data set does; not unpacked"
    )


def _zip_members(archive: Path, limits: ArchiveLimits) -> Iterator[_Member]:
    with zipfile.ZipFile(archive) as file:
        entries = file.infolist()
        # Declared sizes may be false, which _write detects; declared bombs are refused before they fill the disk.
        total = sum(entry.file_size for entry in entries)
        if total > limits.bytes_of(archive):
            raise _bomb(archive, limits.bytes_of(archive))
        for entry in entries:
            kind = stat.S_IFMT(entry.external_attr >> 16)
            if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise _not_a_file(archive, entry.filename)
            if entry.is_dir():
                yield _Member(entry.filename, True)
            else:
                with file.open(entry) as content:
                    yield _Member(entry.filename, False, content)


def _tar_members(archive: Path, limits: ArchiveLimits) -> Iterator[_Member]:
    with archive.open("rb") as packed:
        start = packed.read(5)
    opener: Any = next((use for magic, use in _TAR_OPENERS.items() if start.startswith(magic)), open)
    with opener(archive, "rb") as stream:
        limited = _Limited(stream, archive, limits.bytes_of(archive))
        with tarfile.open(fileobj=cast(IO[bytes], limited), mode="r:") as file:
            while (entry := file.next()) is not None:
                if entry.isdir():
                    yield _Member(entry.name, True)
                elif entry.isfile():
                    yield _Member(entry.name, False, file.extractfile(entry))
                else:
                    raise _not_a_file(archive, entry.name)
                cast(Any, file).members = []  # otherwise it would keep all members


class _Limited(io.RawIOBase):
    """A stream that raises an error if too much is read in total or at once."""

    def __init__(self, stream: IO[bytes], archive: Path, most: int) -> None:
        self.stream, self.archive = stream, archive
        self.most = most + _READ_AT_ONCE  # headers and padding count here, not in _write

    def read(self, size: int = -1) -> bytes:
        """Read ``size`` bytes."""
        if not 0 <= size <= _READ_AT_ONCE:
            raise DataError(f"{self.archive}: has a header of {size} bytes; not unpacked")
        content = self.stream.read(size)
        if self.tell() > self.most:
            raise _bomb(self.archive, self.most)
        return content

    def seek(self, offset: int, whence: int = 0) -> int:
        """Go to a position; limited too, as a compressed stream is unpacked up to it."""
        if whence == 0 and offset > self.most:
            raise _bomb(self.archive, self.most)
        return self.stream.seek(offset, whence)

    def tell(self) -> int:
        """Current position in bytes."""
        return self.stream.tell()


def _not_a_file(archive: Path, name: str) -> DataError:
    return DataError(f"{archive}: {name!r} is a link or a device; only folders and plain files are unpacked")
