"""JSON files, read with errors that say what is wrong with the text."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from ivadomed.errors import ConfigError
from ivadomed.images.files import DuplicateKeyError, NestingError, parse_json

_YAML = (".yaml", ".yml")


def read_json(path: str | Path) -> dict[str, Any]:
    """Content of a JSON file that holds an object.

    Line ends of any system and a byte order mark are fine.

    Raises:
        ConfigError: The file is missing, is no valid JSON, holds a key twice, or holds no object.
    """
    path = Path(path)
    text = _text(path)
    try:
        content = parse_json(text, unique=True)
        json.dumps(content, ensure_ascii=False).encode()
    except json.JSONDecodeError as error:
        raise ConfigError(_explained(path, text, error)) from None
    except DuplicateKeyError as error:
        raise ConfigError(f"{path}: {error}") from None
    except (NestingError, RecursionError):
        raise ConfigError(f"{path}: is nested too deeply; expected a JSON object of a few levels") from None
    except UnicodeEncodeError as error:
        raise ConfigError(
            f"{path}: has half a character ({error.object[error.start]!r}); remove it"
        ) from None
    except ValueError as error:  # an integer of thousands of digits
        raise ConfigError(f"{path}: has a number that cannot be read ({str(error).split(':')[0]})") from None
    if not isinstance(content, dict):
        raise ConfigError(f"{path}: holds a {type(content).__name__}; expected a JSON object {{...}}")
    return content


def _text(path: Path) -> str:
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file; expected the path of a JSON configuration file") from None
    except IsADirectoryError:
        raise ConfigError(f"{path}: is a folder; expected the path of a JSON configuration file") from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror})") from error
    # Editors of Windows write UTF-16 with its mark.
    encoding = "utf-16" if raw[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        return raw.decode(encoding)
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"{path}: cannot be read as a text file (byte {error.start} is no UTF-8); save it as UTF-8"
        ) from error


def _explained(path: Path, text: str, error: json.JSONDecodeError) -> str:
    """Place and reason, in words for those mistakes that people make."""
    if not text.strip():
        return f"{path}: is empty; expected a JSON object {{...}}"
    place = f"{path}:{error.lineno}:{error.colno}"
    if path.suffix.lower() in _YAML:
        return f"{place}: is not valid JSON; ivadomed reads JSON, not YAML"
    return f"{place}: is not valid JSON: {_reason(text, error)}"


def _reason(text: str, error: json.JSONDecodeError) -> str:
    rest = text[error.pos :].lstrip()
    before = text[: error.pos].rstrip()
    if rest.startswith(("//", "/*", "#")):
        return "JSON has no comments; remove it"
    if rest.startswith("'"):
        return "a text stands in double quotes, not in single ones"
    if word := re.match(r"(True|False|None)\b", rest):
        return f"{word[0]} is Python; JSON writes true, false and null"
    # Python 3.13 reports the comma, older versions what follows it.
    if error.msg.startswith("Illegal trailing comma") or (before.endswith(",") and rest[:1] in ("}", "]")):
        return "a comma too many before the end of the list or object"
    if error.msg.startswith("Expecting ',' delimiter"):
        return "a comma is missing before this, or a bracket" if rest else "the file ends too early"
    if not rest:
        return "the file ends too early; a bracket is not closed"
    return error.msg
