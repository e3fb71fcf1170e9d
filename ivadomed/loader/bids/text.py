"""Text of tables and sidecars, in the encodings used by spreadsheets and editors."""

from __future__ import annotations

import codecs
import logging
from pathlib import Path
from typing import Any

from ivadomed.errors import DataError
from ivadomed.images.files import parse_json
from ivadomed.images.pointers import FETCH, is_pointer

log = logging.getLogger(__name__)

_MARKS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
"""Byte order marks and the encodings they indicate."""
LATIN = "latin-1"
"""Fallback for text that is not Unicode: every byte is a character, so equal cells stay equal."""


def encoding_of(content: bytes) -> str | None:
    """Encoding of a text, from its byte order mark, otherwise UTF-8 or Latin-1; None if it is not text."""
    encoding = next((name for mark, name in _MARKS.items() if content.startswith(mark)), "utf-8")
    if encoding != "utf-16" and b"\0" in content:
        return None
    try:
        content.decode(encoding)
    except UnicodeDecodeError:
        return LATIN if encoding == "utf-8" else None
    return encoding


def read_text(path: Path, only_unicode: bool = False) -> str:
    """Text of a UTF-8 or UTF-16 file, or, with a warning, of a Latin-1 file.

    Args:
        path: The file.
        only_unicode: Refuse Latin-1.

    Raises:
        DataError: The file cannot be read, has not been fetched, or has another encoding.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from error
    if is_pointer(content):
        raise DataError(f"{path}: its content is missing; {FETCH}")
    encoding = encoding_of(content)
    if encoding is None or (only_unicode and encoding == LATIN):
        raise DataError(f"{path}: cannot be read as UTF-8 text; save it as UTF-8")
    if encoding == LATIN:
        log.warning(
            "%s: is not UTF-8 and is read as Latin-1; save it as UTF-8 to preserve its characters", path
        )
    return content.decode(encoding)


def read_json(path: Path) -> Any:
    """Content of a JSON file.

    Raises:
        DataError: See ``read_text``, or the file is not JSON.
    """
    try:
        return parse_json(read_text(path, only_unicode=True))
    except ValueError as error:
        raise DataError(f"{path}: is not valid JSON ({error}); fix or remove the file") from error
