"""File download over HTTP, with resuming, retries, mirrors and checks."""

from __future__ import annotations

import hashlib
import http.client
import json
import logging
import os
import random
import re
import shutil
import socket
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from filelock import FileLock, Timeout
from tqdm import tqdm

from ivadomed import __version__
from ivadomed.errors import DataError, OutputError
from ivadomed.images.files import move, parse_json

log = logging.getLogger(__name__)

_CHUNK = 1 << 18
_TIMEOUT = 30.0  # seconds without a byte
_LONGEST_WAIT = 60.0
_PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})
_RANGE = re.compile(r"bytes (\d+)-\d*/(\d+|\*)")


class DownloadError(DataError):
    """No server provided the file; the message has all answers and a remedy."""


@dataclass(frozen=True)
class Download:
    """A file on one or more servers.

    Args:
        urls: URLs in order of preference.
        size: Size in bytes, if known.
        sha256: Checksum in hexadecimal digits, if known.
    """

    urls: tuple[str, ...]
    size: int | None = None
    sha256: str | None = None


@dataclass(frozen=True)
class Patience:
    """Retry policy.

    Args:
        attempts: Consecutive attempts on one server without receiving a byte.
        first_wait: Seconds before the second attempt; doubled for each further one.
        sleep: Function that waits for a number of seconds.
    """

    attempts: int = 4
    first_wait: float = 1.0
    sleep: Callable[[float], None] = time.sleep


class _Refused(Exception):
    """A server does not provide the file, and retrying is pointless."""


class _Passing(Exception):
    """A transfer was interrupted; retrying may help.

    Args:
        message: What happened.
        wait: Wait in seconds requested by the server.
    """

    def __init__(self, message: str, wait: float = 0.0) -> None:
        super().__init__(message)
        self.wait = wait


_DEFAULT = Patience()


def fetch(source: Download, path: str | os.PathLike[str], patience: Patience = _DEFAULT) -> Path:
    """Fetch a file; a transfer interrupted in this or an earlier process is resumed.

    Until complete, the file is ``<path>.part``; ``<path>.part.json`` identifies its version. It is resumed only if the
    server confirms that version, or its checksum is known.

    Args:
        source: Servers of the file.
        path: Path to write.
        patience: Retry policy.

    Returns:
        ``path``.

    Raises:
        DownloadError: No server provided the file.
        OutputError: The file cannot be written, or another process is fetching it.
    """
    path = Path(path)
    for url in source.urls:
        if urlsplit(url).scheme not in ("http", "https"):
            raise DownloadError(
                f"{url}: cannot be fetched; expected a URL that begins with https:// or http://"
            )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{path}.lock", timeout=0):
            return _from_any(source, path, patience)
    except Timeout:
        raise OutputError(f"{path}: another process is fetching it; wait for that one") from None
    except OSError as error:
        raise OutputError(f"{path}: cannot be written ({error.strerror or error}); make room") from error


def _from_any(source: Download, path: Path, patience: Patience) -> Path:
    answers: list[str] = []
    for url in source.urls:
        if answers:
            log.warning("%s; trying %s.", answers[-1], url)
        try:
            _Transfer(url, source, path).run(patience)
        except (_Refused, _Passing) as error:
            answers.append(f"{url}: {error}")
            continue
        return path
    raise DownloadError(
        "\n".join(answers)
        + f"\nNothing was installed. Check the connection (a proxy is given by HTTPS_PROXY) and call again: "
        f"received data is kept.\nWithout a network here, fetch {source.urls[0]} on another machine."
    )


class _Transfer:
    """One file from one server."""

    def __init__(self, url: str, source: Download, path: Path) -> None:
        self.url, self.source, self.path = url, source, path
        self.part, self.note = Path(f"{path}.part"), Path(f"{path}.part.json")
        self.continued = False

    def run(self, patience: Patience) -> None:
        """Try until the file is complete or the retry policy is exhausted."""
        failures = 0
        while True:
            before = self._have()
            try:
                self._attempt()
                self._finish()
                return
            except _Passing as error:
                failures = 0 if self._have() > before else failures + 1
                if failures >= patience.attempts:
                    raise
                wait = max(error.wait, patience.first_wait * 2 ** max(0, failures - 1))
                wait = min(wait, _LONGEST_WAIT) * random.uniform(0.8, 1.2)  # spread simultaneous clients
                log.warning("%s: %s; trying again in %.0f s.", self.url, error, wait)
                patience.sleep(wait)

    def _have(self) -> int:
        return self.part.stat().st_size if self.part.is_file() else 0

    def _attempt(self) -> None:
        """Open the connection and write the data received."""
        request = urllib.request.Request(self.url, headers={"User-Agent": f"ivadomed/{__version__}"})
        for name, value in self._continuation().items():
            request.add_header(name, value)
        try:
            answer = _OPENER.open(request, timeout=_TIMEOUT)
        except urllib.error.HTTPError as error:
            with error:
                self._rejected(error)
            return
        except urllib.error.URLError as error:
            if isinstance(error.reason, ssl.SSLCertVerificationError):
                raise _Refused(f"its certificate is not valid ({error.reason.verify_message})") from error
            if isinstance(error.reason, socket.gaierror) and error.reason.errno == socket.EAI_NONAME:
                raise _Refused(f"no connection ({error.reason.strerror})") from error
            raise _Passing(f"no connection ({error.reason})") from error
        except (http.client.HTTPException, OSError) as error:
            raise _Passing(f"no answer ({error})") from error
        with answer:
            self._receive(answer)

    def _continuation(self) -> dict[str, str]:
        """Headers that request the missing rest of the partial version."""
        have = self._have()
        try:
            known = parse_json(self.note.read_text(encoding="utf-8"))
            version = known["version"] if known["url"] == self.url else None
        except (OSError, ValueError, KeyError, TypeError):
            version = None
        if have and self.source.sha256:  # the version is verified at the end
            return {"Range": f"bytes={have}-"}
        if have and version:
            return {"Range": f"bytes={have}-", "If-Range": version}
        self.part.unlink(missing_ok=True)
        return {}

    def _rejected(self, error: urllib.error.HTTPError) -> None:
        if error.code == 416:  # the requested range is empty
            total = (error.headers.get("Content-Range") or "").rpartition("/")[2]
            if total == str(self._have()):
                return
            self.part.unlink(missing_ok=True)
            raise _Passing("the file on the server is another one now")
        answer = f"the server answered {error.code} {error.reason}"
        if error.code in _PASSING:
            asked = error.headers.get("Retry-After") or ""
            raise _Passing(answer, float(asked) if asked.isdecimal() else 0.0)
        raise _Refused(answer)

    def _receive(self, answer: Any) -> None:
        start, total = self._place_of(answer)
        self.continued = start > 0
        if self.source.size is not None and total not in (None, self.source.size):
            raise _Refused(f"has {total} bytes, expected {self.source.size}")
        free = shutil.disk_usage(self.part.parent).free
        if total is not None and total - start > free:
            raise OutputError(
                f"{self.path}: {(total - start) / 1e9:.2f} GB are to come, {free / 1e9:.2f} GB are free; make room"
            )
        tag = answer.headers.get("ETag")
        # Identifier of the version: a strong entity tag, or else its date (RFC 9110, 13.1.5).
        version = tag if tag and not tag.startswith("W/") else answer.headers.get("Last-Modified")
        self.note.write_text(json.dumps({"url": self.url, "version": version}), encoding="utf-8")
        most = total if total is not None else self.source.size
        bar = partial(tqdm, desc=self.path.name, unit="B", unit_scale=True, leave=False, disable=None)
        with bar(total=most, initial=start) as progress, self.part.open("ab" if start else "wb") as file:
            while chunk := _read(answer):
                file.write(chunk)
                progress.update(len(chunk))
                if most is not None and file.tell() > most:
                    break  # reported by _finish
        if most is not None and self._have() < most:
            raise _Passing(f"the transfer broke off after {self._have()} of {most} bytes")

    def _place_of(self, answer: Any) -> tuple[int, int | None]:
        """Offset of the answer in the file, and the size of the whole file if provided."""
        if answer.status == 206:
            match = _RANGE.fullmatch(answer.headers.get("Content-Range") or "")
            if not match or int(match[1]) != self._have():
                self.part.unlink(missing_ok=True)
                raise _Passing("the server sent another part than was asked for")
            return int(match[1]), None if match[2] == "*" else int(match[2])
        length = answer.headers.get("Content-Length")
        return 0, int(length) if length and length.isdecimal() else None

    def _finish(self) -> None:
        """Check the file and move it to its final name."""
        problem = None
        if self.source.size is not None and self._have() != self.source.size:
            problem = f"sent {self._have()} bytes, expected {self.source.size}"
        elif self.source.sha256 and (found := sha256_of(self.part)) != self.source.sha256.lower():
            problem = f"sent another file (SHA-256 {found}, expected {self.source.sha256})"
        if problem:
            self.part.unlink()
            # A part of another version may have been resumed: then a new start is worthwhile.
            raise _Passing(problem) if self.continued else _Refused(problem)
        move(self.part, self.path)
        self.note.unlink(missing_ok=True)


def _read(answer: Any) -> bytes:
    try:
        content: bytes = answer.read(_CHUNK)
    except (http.client.HTTPException, OSError) as error:
        raise _Passing(f"the transfer broke off ({error or type(error).__name__})") from error
    return content


def sha256_of(path: str | os.PathLike[str]) -> str:
    """SHA-256 of a file, in hexadecimal digits."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


class _SafeRedirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects to HTTP servers, but never from an encrypted to an unencrypted connection."""

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        before, after = urlsplit(req.full_url).scheme, urlsplit(newurl).scheme
        if after not in ("http", "https") or (before, after) == ("https", "http"):
            why = f"redirects to {newurl}, which is no {'encrypted' if before == 'https' else 'HTTP'} connection"
            raise urllib.error.HTTPError(newurl, code, why, headers, fp)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


_OPENER = urllib.request.build_opener(_SafeRedirects)


def download_of(urls: str | Sequence[str]) -> Download:
    """``Download`` of one or several URLs."""
    return Download((urls,) if isinstance(urls, str) else tuple(urls))
