"""Pointer files of git-annex and Git LFS: small text files in place of content that has not been fetched.

git-annex leaves one for an unlocked file, or if the file system has no links; Git LFS leaves one until
``git lfs pull``.
"""

from __future__ import annotations

import os
import re

FETCH = "fetch it first (git annex get, datalad get, git lfs pull)"
"""Remedy for a file whose content is stored elsewhere."""

_BEGINNING = re.compile(rb"(\.\./)*(\.git)?/annex/objects/|version https://git-lfs\.github\.com/spec/")
_READ = 1024  # bytes; a link stored as a file may go up several folders before "annex"


def is_pointer(file: str | os.PathLike[str] | bytes) -> bool:
    """Return whether a file is a pointer to unfetched content.

    Args:
        file: Path of the file, or its content.
    """
    if isinstance(file, bytes):
        return _BEGINNING.match(file) is not None
    try:
        with open(file, "rb") as opened:
            return is_pointer(opened.read(_READ))
    except OSError:
        return False


def is_without_content(path: str | os.PathLike[str]) -> bool:
    """Return whether a path is a broken link or a pointer."""
    return (os.path.islink(path) and not os.path.exists(path)) or is_pointer(path)
