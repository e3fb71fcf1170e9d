"""Download a data set or a packaged model and unpack it."""

from __future__ import annotations

import argparse
import hashlib
import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from ivadomed.download.archives import unpack
from ivadomed.download.http import Download, DownloadError, download_of, fetch
from ivadomed.errors import ConfigError, OutputError
from ivadomed.files import atomic_folder, write_json
from ivadomed.moved import moved_names
from ivadomed.runtime.console import run_tool

_EXAMPLE = """\
examples:
  ivadomed_download_data -d data_example_spinegeneric
      the data set of the tutorial (490 MB), into ./data_example_spinegeneric
  ivadomed_download_data -d t2star_sc -o models/t2star_sc
      a packaged model
  ivadomed_download_data -d https://example.org/my_model.zip --sha256 9f86d08188...
      any zip or tar archive; it must have this checksum
  ivadomed_download_data -d t2star_sc --archive t2star_sc.zip
      from a file that was fetched on another machine

A download that broke off is continued when the command is given again.
"""

_MARK = ".ivadomed_download.json"
_BESIDE = frozenset({"__MACOSX", "pax_global_header"})  # what archivers add to the folder that was packed


__getattr__ = moved_names(__name__, {}, {"DICT_URL": "ivadomed.compat.download.DICT_URL"})


@dataclass(frozen=True)
class Item:
    """Something to download.

    Args:
        description: For the help.
        repository: Owner and name on GitHub.
        release: Tag of the version that ivadomed was published with; "" for the present version only.
    """

    description: str
    repository: str
    release: str = ""

    @property
    def urls(self) -> tuple[str, ...]:
        """The release, and the present version in case the release is gone."""
        names = [f"refs/tags/{self.release}"] if self.release else []
        return tuple(f"https://github.com/{self.repository}/archive/{name}.zip" for name in [*names, "HEAD"])


ITEMS: Mapping[str, Item] = {
    "data_example_spinegeneric": Item(
        "spinal cord MRI of the tutorial, with labels (490 MB)",
        "ivadomed/data_example_spinegeneric",
        "r20200907",
    ),
    "data_axondeepseg_sem": Item(
        "electron micrographs of nerves, with axon and myelin labels",
        "axondeepseg/data_axondeepseg_sem",
        "r20211130",
    ),
    "data_testing": Item("small images for unit tests", "ivadomed/data-testing"),
    "data_functional_testing": Item(
        "small images for tests of the command line", "ivadomed/data_functional_testing"
    ),
    "t2_tumor": Item("model: tumour, oedema and cavity in T2w MRI", "ivadomed/t2_tumor", "r20200621"),
    "findcord_tumor": Item(
        "model: finds the cord of patients with a tumour in T2w MRI", "ivadomed/findcord_tumor", "r20200621"
    ),
    "t2star_sc": Item("model: spinal cord in T2*w MRI", "ivadomed/t2star_sc", "r20200622"),
    "mice_uqueensland_sc": Item("model: spinal cord of mice", "ivadomed/mice_uqueensland_sc", "r20200622"),
    "mice_uqueensland_gm": Item("model: grey matter of mice", "ivadomed/mice_uqueensland_gm", "r20200622"),
    "model_find_disc_t1": Item(
        "model: intervertebral discs in T1w MRI", "ivadomed/model_find_disc_t1", "r20201013"
    ),
    "model_find_disc_t2": Item(
        "model: intervertebral discs in T2w MRI", "ivadomed/model_find_disc_t2", "r20200928"
    ),
}


def get_parser() -> argparse.ArgumentParser:
    """The parser of the command line."""
    names = "\n".join(f"  {name:27}{item.description}" for name, item in ITEMS.items())
    parser = argparse.ArgumentParser(
        prog="ivadomed_download_data",
        description=__doc__,
        epilog=f"data sets and models:\n{names}\n\n{_EXAMPLE}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("-d", "--data", required=True, metavar="NAME", help="one of those below, or a URL")
    add("-o", "--output", metavar="DIR", help="folder to be made (default: ./NAME)")
    add("-k", "--keep", action="store_true", help="add to a folder that has files already, which are kept")
    add("--sha256", metavar="HEX", help="checksum that the archive must have")
    add("--archive", metavar="FILE", help="unpack this file instead of downloading it")
    return parser


def download_data(urls: str | Sequence[str] | Download) -> str:
    """Download a file to the cache folder of the user (``~/.cache/ivadomed``, or ``XDG_CACHE_HOME``).

    Args:
        urls: One URL, or several servers of the same file.

    Returns:
        The file, which is the caller's to remove.

    Raises:
        DownloadError: No server gave it.
        OutputError: It cannot be written.
    """
    source = urls if isinstance(urls, Download) else download_of(urls)
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ivadomed"
    url = source.urls[0]
    key = hashlib.sha256(url.encode()).hexdigest()[:8]
    return str(fetch(source, cache / f"{key}-{Path(urlsplit(url).path).name or 'download'}"))


def install_data(
    url: str | Sequence[str] | Download, dest_folder: str | os.PathLike[str], keep: bool = False
) -> Path:
    """Download an archive and unpack it; a folder that all of it lies in becomes ``dest_folder``.

    Args:
        url: One URL, or several servers of the same file.
        dest_folder: Folder to be made. What an earlier call put there is replaced, other files never are.
        keep: Add to a folder that holds something; its files are kept, also where the archive has others.

    Returns:
        The folder.

    Raises:
        DownloadError: No server gave it.
        DataError: The archive is damaged or harmful, see ``ivadomed.download.archives``.
        OutputError: The folder holds files and ``keep`` is not set, or it cannot be written.
    """
    dest = Path(dest_folder).expanduser().resolve()
    _check_free(dest, keep)
    archive = Path(download_data(url))
    _install(archive, dest, keep)
    archive.unlink()
    return dest


def unzip(compressed: str | os.PathLike[str], dest_folder: str | os.PathLike[str]) -> Path:
    """Unpack a zip or tar archive.

    Args:
        compressed: The archive.
        dest_folder: Folder to be made; in one that is there already, files are added and none is replaced.

    Returns:
        The folder.

    Raises:
        DataError: The archive is damaged or harmful, see ``ivadomed.download.archives``.
        OutputError: The folder cannot be written.
    """
    dest = Path(dest_folder).expanduser().resolve()
    if not _holds_files(dest):
        return unpack(compressed, dest)
    with _scratch(dest) as scratch:
        _add_missing(unpack(compressed, Path(scratch) / "content"), dest)
    return dest


def _install(archive: Path, dest: Path, keep: bool) -> None:
    _check_free(dest, keep)
    with _scratch(dest) as scratch:
        root = _root_of(unpack(archive, Path(scratch) / "content"))
        if keep and _holds_files(dest):
            _add_missing(root, dest)
            return
        with atomic_folder(dest, replace=_is_ours(dest)) as place:
            for entry in sorted(root.iterdir()):
                entry.rename(place / entry.name)
            write_json(place / _MARK, {"archive": archive.name})


def _scratch(dest: Path) -> tempfile.TemporaryDirectory[str]:
    """A folder beside ``dest``, from where files can be moved."""
    try:
        dest.parent.mkdir(parents=True, exist_ok=True)
        return tempfile.TemporaryDirectory(prefix=f".{dest.name}-", dir=dest.parent)
    except OSError as error:
        raise OutputError(f"{dest}: cannot be written ({error.strerror}); choose another -o") from error


def _holds_files(folder: Path) -> bool:
    return folder.is_dir() and any(folder.iterdir())


def _is_ours(folder: Path) -> bool:
    return (folder / _MARK).is_file()


def _check_free(dest: Path, keep: bool) -> None:
    if dest.exists() and not dest.is_dir():
        raise OutputError(f"{dest}: is a file; give a folder with -o")
    if _holds_files(dest) and not keep and not _is_ours(dest):
        raise OutputError(
            f"{dest}: holds files that were not downloaded by this tool; choose another folder with -o, "
            "or add to it with -k"
        )


def _root_of(folder: Path) -> Path:
    """The folder in which all of an archive lies, as archives of GitHub have one."""
    entries = [entry for entry in folder.iterdir() if entry.name not in _BESIDE]
    return entries[0] if len(entries) == 1 and entries[0].is_dir() else folder


def _add_missing(source: Path, dest: Path) -> None:
    """Move files that ``dest`` does not have."""
    for file in sorted(path for path in source.rglob("*") if path.is_file()):
        place = dest / file.relative_to(source)
        if place.exists():
            continue
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            file.rename(place)
        except OSError as error:
            raise OutputError(f"{place}: cannot be written ({error.strerror})") from error


def _run(options: argparse.Namespace) -> Path:
    if options.data in ITEMS:
        name, urls = options.data, ITEMS[options.data].urls
    elif "://" in options.data:
        name, urls = Path(urlsplit(options.data).path).name.partition(".")[0], (options.data,)
    else:
        raise ConfigError(f"-d {options.data}: not known; expected a URL or one of {', '.join(ITEMS)}")
    dest = Path(options.output or name).expanduser().resolve()
    if options.archive:
        _install(Path(options.archive), dest, options.keep)
        return dest
    try:
        return install_data(Download(urls, sha256=options.sha256), dest, options.keep)
    except DownloadError as error:
        raise DownloadError(
            f"{error} Then: ivadomed_download_data -d {options.data} --archive FILE"
        ) from error


def main(args: Sequence[str] | None = None) -> int:
    """Console script: 0, or a message on standard error and the exit code of the error."""
    options = get_parser().parse_args(args)
    return run_tool(
        "ivadomed_download_data", lambda: print(_run(options)), "interrupted; the same command continues"
    )


if __name__ == "__main__":
    sys.exit(main())
