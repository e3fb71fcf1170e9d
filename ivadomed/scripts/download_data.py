"""Download a data set or a packaged model and unpack it."""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path
from urllib.parse import urlsplit

from ivadomed.download import DICT_URL
from ivadomed.download.http import Download, DownloadError, sha256_of
from ivadomed.download.install import download_data, install, install_data, unzip
from ivadomed.errors import ConfigError, DataError
from ivadomed.runtime.console import ToolParser, console_script
from ivadomed.runtime.terminal import shell_word

__all__ = ["DICT_URL", "download_data", "get_parser", "install_data", "main", "unzip"]

_EXAMPLE = """\
examples:
  ivadomed_download_data -d data_example_spinegeneric
      the data set of the tutorial (490 MB), into ./data_example_spinegeneric
  ivadomed_download_data -d t2star_sc -o models/t2star_sc
      a packaged model
  ivadomed_download_data -d https://example.org/my_model.zip --sha256 9f86d08188...
      any zip or tar archive, with this checksum
  ivadomed_download_data -d t2star_sc --archive t2star_sc.zip
      from a file that was downloaded on another machine

After an interruption, run the same command again to resume the download.
"""

_SHA256 = re.compile("[0-9a-fA-F]{64}")


def get_parser() -> argparse.ArgumentParser:
    """Parser of the command line."""
    names = "\n".join(f"  {name:27}{item['description']}" for name, item in DICT_URL.items())
    parser = ToolParser(
        prog="ivadomed_download_data",
        description=__doc__,
        epilog=f"data sets and models:\n{names}\n\n{_EXAMPLE}",
    )
    add = parser.add_argument
    add("-d", "--data", required=True, metavar="NAME", help="one of the names below, or a URL")
    add("-o", "--output", metavar="DIR", help="folder to create (default: ./NAME)")
    add("-k", "--keep", action="store_true", help="add to a folder with files, which are kept")
    add("--sha256", metavar="HEX", help="required checksum of the archive")
    add("--archive", metavar="FILE", help="unpack this file instead of downloading it")
    return parser


def _install_from_file(archive: Path, sha256: str | None, dest: Path, keep: bool) -> None:
    if sha256 and archive.is_file() and (found := sha256_of(archive)) != sha256.lower():
        raise DataError(
            f"{archive}: is not the requested file (SHA-256 {found}, expected {sha256.lower()}); "
            "download it again"
        )
    install(archive, dest, keep)


def _run(options: argparse.Namespace) -> None:
    if options.data in DICT_URL:
        name, urls = options.data, tuple(DICT_URL[options.data]["url"])
    elif "://" in options.data:
        name, urls = Path(urlsplit(options.data).path).name.partition(".")[0], (options.data,)
    else:
        raise ConfigError(f"-d {options.data}: not known; expected a URL or one of {', '.join(DICT_URL)}")
    dest = Path(options.output or name).expanduser().resolve()
    if options.sha256 and not _SHA256.fullmatch(options.sha256):
        raise ConfigError(f"--sha256 {options.sha256}: expected 64 hexadecimal digits")
    if options.archive:
        _install_from_file(Path(options.archive), options.sha256, dest, options.keep)
    else:
        try:
            install_data(Download(urls, sha256=options.sha256), dest, options.keep)
        except DownloadError as error:
            retry = f"ivadomed_download_data -d {shell_word(options.data)} --archive FILE"
            raise DownloadError(f"{error} Then: {retry}") from error
    print(dest)


main = console_script(get_parser, _run, "interrupted; the same command continues")

if __name__ == "__main__":
    sys.exit(main())
