"""User messages for resources that a machine lacks: memory, shared memory, processes, encodable file names."""

from __future__ import annotations

import errno
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from ivadomed.errors import IvadomedError, MachineError

SHARED_MEMORY = "/dev/shm"

# Allocators of CPU, CUDA, MPS and onnxruntime have no common error type; on the CPU it is a plain RuntimeError.
_NO_MEMORY = re.compile(
    r"out of memory|(can't|cannot|unable to|failed to) allocate (?!shared)|not enough memory|alloc_failed|bad_?alloc|"
    r"could not create a memory|failed to map segment",
    re.IGNORECASE,
)
_NO_SHARED_MEMORY = re.compile(
    r"shared memory\(shm\)|</?torch_\w+>.*(no space|read-only|denied)", re.IGNORECASE
)
_NO_PROCESS = re.compile(r"can't start new thread|thread creation failed", re.IGNORECASE)
_WORKER_GONE = re.compile(
    r"DataLoader worker \(pid(?:\(s\))? ([\d, ]+)\)(?: is killed by signal: (\w[\w ]*))?"
)
_NO_TEMPORARY = "No usable temporary directory"  # of Python's tempfile
_LIBRARIES = ("torch", "onnxruntime", "numpy", "h5py")
_AROUND = re.compile(r"[\"'\n,]")


def out_of_memory(error: BaseException) -> bool:
    """Return True if an error means that the machine or a device is out of memory.

    The CPU allocator and Apple GPUs raise plain RuntimeErrors, onnxruntime its own type.
    """
    if isinstance(error, MemoryError) or getattr(error, "errno", None) == errno.ENOMEM:
        return True
    kinds = (RuntimeError, OSError, ImportError)
    ours = isinstance(error, kinds) or type(error).__module__.partition(".")[0] in _LIBRARIES
    return ours and _NO_MEMORY.search(str(error)) is not None


def shortage(error: BaseException, remedy: str) -> str | None:
    """Describe the resource that the machine ran out of.

    Args:
        error: Error raised by a library.
        remedy: Advice for lack of memory, such as "reduce training_parameters.batch_size (18)".

    Returns:
        A message for the user; None if the machine is not to blame.
    """
    text = str(error)
    if gone := _WORKER_GONE.search(text):
        signal = f" by signal {gone[2].strip()}" if gone[2] else ""
        shared = f"; {_MORE_SHARED}" if "shared memory" in text else ""
        return (
            f"a process that loads data (pid {gone[1]}) was ended{signal}, usually for lack of memory{shared}; "
            f"set training_parameters.num_workers to fewer (0: none), or {remedy}"
        )
    if _NO_SHARED_MEMORY.search(text):
        return (
            f"no room for batches in {SHARED_MEMORY}, which loading processes use to pass them; {_MORE_SHARED}, "
            f"set training_parameters.num_workers to fewer (0: none), or {remedy}"
        )
    if out_of_memory(error):
        return f"out of memory; {remedy}"
    if _NO_PROCESS.search(text) or isinstance(error, BlockingIOError):
        return (
            "cannot start another process or thread: out of memory, or at a system limit (ulimit -u, "
            f"ulimit -v, pids of the container); raise it, use fewer --jobs and num_workers, or {remedy}"
        )
    if isinstance(error, FileNotFoundError) and _NO_TEMPORARY in text:
        return (
            "no folder for temporary files, such as /tmp, is writable: the disk may be full; make room, or set "
            "TMPDIR to another folder"
        )
    return None


_MORE_SHARED = "give the container more shared memory (docker run --shm-size=8g)"


@contextmanager
def shortages_explained(place: str, remedy: str) -> Iterator[None]:
    """Context that turns a resource shortage into an error with place and advice.

    The innermost context reports it, because it knows the file.

    Args:
        place: A file, an image or a command; the message starts with it.
        remedy: See ``shortage``.

    Raises:
        MachineError: The machine ran short of something.
    """
    try:
        yield
    except IvadomedError:
        raise
    except Exception as error:  # allocator errors have no common base
        message = shortage(error, remedy)
        if message is None:
            raise
        raise MachineError(f"{place}: {message}") from error


def refuse_shortage(error: Exception, path: str | os.PathLike[str]) -> None:
    """Raise if an error while reading a file is a resource shortage and not a damaged file.

    Args:
        error: The error raised.
        path: The file.

    Raises:
        MachineError: The machine ran short of something.
    """
    message = shortage(error, "use a smaller file, or a machine with more")
    if message is not None:
        raise MachineError(f"{os.fspath(path)}: {message}") from error


def unwritable_name(error: UnicodeEncodeError) -> str:
    """Message with advice for a name that cannot be encoded.

    Names that are not UTF-8 come from disks of other systems. If the locale is not UTF-8, Python represents every
    non-ASCII name that way.
    """
    return f"{printable(_word(error))}: cannot be written as {error.encoding} text; {utf8_remedy()}"


def utf8_remedy() -> str:
    """Advice for a name that is not UTF-8."""
    if sys.getfilesystemencoding().lower().replace("-", "") != "utf8":
        return "the locale has no UTF-8; set PYTHONUTF8=1 (or LC_ALL=C.UTF-8)"
    return "rename it, it contains bytes that are not UTF-8"


def printable(name: str) -> str:
    r"""File name in a form that can be written anywhere: bytes that are not UTF-8 become ``\udce9`` and so on."""
    return name.encode("utf-8", "backslashreplace").decode("utf-8")


def is_utf8(name: str) -> bool:
    """Return True if a file name, as represented by Python, is UTF-8."""
    return name.isascii() or not any("\ud800" <= letter <= "\udfff" for letter in name)


def _word(error: UnicodeEncodeError) -> str:
    """Extract the name from the text that could not be encoded."""
    before, after = error.object[: error.start], error.object[error.start :]
    return _AROUND.split(before)[-1].strip() + _AROUND.split(after)[0].strip()
