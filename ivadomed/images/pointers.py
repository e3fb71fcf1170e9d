"""Small text files that stand for content that was not fetched: those of git-annex and Git LFS.

git-annex leaves one where a file is unlocked, or where the file system has no links; Git LFS leaves one until
``git lfs pull``.
"""

from __future__ import annotations

import os
import re

FETCH = "fetch it first (git annex get, datalad get, git lfs pull)"
"""What to do about a file whose content is elsewhere."""

_BEGINNING = re.compile(rb"(\.\./)*(\.git)?/annex/objects/|version https://git-lfs\.github\.com/spec/")
_READ = 1024  # bytes; a link that became a file may go up some folders before it comes to "annex"


def is_pointer(file: str | os.PathLike[str] | bytes) -> bool:
    """Return whether a file holds the name of content that was not fetched, instead of the content.

    Args:
        file: Path of the file, or what it holds.
    """
    if isinstance(file, bytes):
        return _BEGINNING.match(file) is not None
    try:
        with open(file, "rb") as opened:
            return is_pointer(opened.read(_READ))
    except OSError:
        return False


def is_without_content(path: str | os.PathLike[str]) -> bool:
    """Return whether a path is a link to nothing, or a pointer."""
    return (os.path.islink(path) and not os.path.exists(path)) or is_pointer(path)
