"""Download a data set or a packaged model and unpack it."""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ivadomed.download.archives import unpack
from ivadomed.download.http import Download, DownloadError, download_of, fetch, sha256_of
from ivadomed.download.install import add_missing, check_free, holds_files, install
from ivadomed.errors import ConfigError, DataError
from ivadomed.runtime.console import ToolParser, run_tool

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

_SHA256 = re.compile("[0-9a-fA-F]{64}")


@dataclass(frozen=True)
class Item:
    """Something to download.

    Args:
        description: For the help.
        repository: Owner and name on GitHub.
        release: Tag of the version that ivadomed was published with; "" for the present version only.
        otherwise: Another repository, in case the first one is not there.
    """

    description: str
    repository: str
    release: str = ""
    otherwise: str = ""

    @property
    def urls(self) -> tuple[str, ...]:
        """The release, and the present version in case the release is gone."""
        places = [f"{self.repository}/archive/refs/tags/{self.release}"] if self.release else []
        places += [f"{name}/archive/HEAD" for name in (self.repository, self.otherwise) if name]
        return tuple(f"https://github.com/{place}.zip" for place in places)


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
    "data_multi_testing": Item(
        "small images in several data sets, for unit tests",
        "ivadomed/data_multi_testing",
        otherwise="ivadomed/data-multi-testing",
    ),
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

DICT_URL: Mapping[str, Mapping[str, Any]] = {
    name: {"url": list(item.urls), "description": item.description} for name, item in ITEMS.items()
}
"""The same as in 2.9.10: of each name its servers ("url") and what it is ("description")."""


def get_parser() -> argparse.ArgumentParser:
    """The parser of the command line."""
    names = "\n".join(f"  {name:27}{item.description}" for name, item in ITEMS.items())
    parser = ToolParser(
        prog="ivadomed_download_data",
        description=__doc__,
        epilog=f"data sets and models:\n{names}\n\n{_EXAMPLE}",
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
        dest_folder: Folder to be made; in one that is there already, files are added and none is replaced.

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


def _install_from_file(archive: Path, sha256: str | None, dest: Path, keep: bool) -> Path:
    if sha256 and archive.is_file() and (found := sha256_of(archive)) != sha256.lower():
        raise DataError(
            f"{archive}: is another file than was asked for (SHA-256 {found}, expected {sha256.lower()}); "
            "fetch it again"
        )
    install(archive, dest, keep)
    return dest


def _run(options: argparse.Namespace) -> Path:
    if options.data in ITEMS:
        name, urls = options.data, ITEMS[options.data].urls
    elif "://" in options.data:
        name, urls = Path(urlsplit(options.data).path).name.partition(".")[0], (options.data,)
    else:
        raise ConfigError(f"-d {options.data}: not known; expected a URL or one of {', '.join(ITEMS)}")
    dest = Path(options.output or name).expanduser().resolve()
    if options.sha256 and not _SHA256.fullmatch(options.sha256):
        raise ConfigError(f"--sha256 {options.sha256}: expected 64 hexadecimal digits")
    if options.archive:
        return _install_from_file(Path(options.archive), options.sha256, dest, options.keep)
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
