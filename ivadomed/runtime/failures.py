"""What a machine can run short of, in the user's words: memory, shared memory, processes, names it can write."""

from __future__ import annotations

import errno
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from ivadomed.errors import IvadomedError, MachineError

SHARED_MEMORY = "/dev/shm"

# Allocators of CPU, CUDA, MPS and onnxruntime have no common error; on the CPU it is a plain RuntimeError.
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
    """Whether an error says that the memory of the machine or of a device does not suffice.

    The CPU's allocator and Apple's GPU raise plain RuntimeErrors, onnxruntime one of its own.
    """
    if isinstance(error, MemoryError) or getattr(error, "errno", None) == errno.ENOMEM:
        return True
    kinds = (RuntimeError, OSError, ImportError)
    ours = isinstance(error, kinds) or type(error).__module__.partition(".")[0] in _LIBRARIES
    return ours and _NO_MEMORY.search(str(error)) is not None


def shortage(error: BaseException, remedy: str) -> str | None:
    """What the machine ran short of.

    Args:
        error: What a library raised.
        remedy: What to do when memory does not suffice, such as "reduce training_parameters.batch_size (18)".

    Returns:
        A message to the user; None when the machine is not to blame.
    """
    text = str(error)
    if gone := _WORKER_GONE.search(text):
        signal = f" by signal {gone[2].strip()}" if gone[2] else ""
        shared = f"; {_MORE_SHARED}" if "shared memory" in text else ""
        return (
            f"a process that loads data (pid {gone[1]}) was ended{signal}, mostly for want of memory{shared}; "
            f"set training_parameters.num_workers to fewer (0: none), or {remedy}"
        )
    if _NO_SHARED_MEMORY.search(text):
        return (
            f"no room for batches in {SHARED_MEMORY}, through which loading processes hand them over; {_MORE_SHARED}, "
            f"set training_parameters.num_workers to fewer (0: none), or {remedy}"
        )
    if out_of_memory(error):
        return f"out of memory; {remedy}"
    if _NO_PROCESS.search(text) or isinstance(error, BlockingIOError):
        return (
            "no further process or thread can be started: out of memory, or at a limit of the system (ulimit -u, "
            f"ulimit -v, pids of the container); raise it, use fewer --jobs and num_workers, or {remedy}"
        )
    if isinstance(error, FileNotFoundError) and _NO_TEMPORARY in text:
        return (
            "no folder for temporary files can be written, such as /tmp: the disk may be full; make room, or set "
            "TMPDIR to another folder"
        )
    return None


_MORE_SHARED = "give the container more shared memory (docker run --shm-size=8g)"


@contextmanager
def shortages_explained(place: str, remedy: str) -> Iterator[None]:
    """Context in which a shortage of the machine becomes an error that says where and what to do.

    The innermost context speaks: it knows the file.

    Args:
        place: A file, an image or a command; the message begins with it.
        remedy: See ``shortage``.

    Raises:
        MachineError: The machine ran short of something.
    """
    try:
        yield
    except IvadomedError:
        raise
    except Exception as error:  # the allocators' errors have no common base
        message = shortage(error, remedy)
        if message is None:
            raise
        raise MachineError(f"{place}: {message}") from error


def refuse_shortage(error: Exception, path: str | os.PathLike[str]) -> None:
    """For those who take any error while a file is read for damage of it: a shortage of the machine is none.

    Args:
        error: What was raised.
        path: Of the file.

    Raises:
        MachineError: The machine ran short of something.
    """
    message = shortage(error, "use a smaller file, or a machine with more")
    if message is not None:
        raise MachineError(f"{os.fspath(path)}: {message}") from error


def unwritable_name(error: UnicodeEncodeError) -> str:
    """What to do about a name that cannot be written or looked for.

    Names that are not UTF-8 come from disks of other systems. Where the locale has no UTF-8, Python hands on every name
    of other than ASCII letters like that.
    """
    return f"{printable(_word(error))}: cannot be written as {error.encoding} text; {utf8_remedy()}"


def utf8_remedy() -> str:
    """What to do about a name that is not UTF-8."""
    if sys.getfilesystemencoding().lower().replace("-", "") != "utf8":
        return "the locale has no UTF-8; set PYTHONUTF8=1 (or LC_ALL=C.UTF-8)"
    return "rename it, it holds bytes that are not UTF-8"


def printable(name: str) -> str:
    r"""A file's name as it can be written anywhere: bytes that are not UTF-8 become ``\udce9`` and the like."""
    return name.encode("utf-8", "backslashreplace").decode("utf-8")


def is_utf8(name: str) -> bool:
    """Whether a file's name, as Python gives it, is UTF-8."""
    return name.isascii() or not any("\ud800" <= letter <= "\udfff" for letter in name)


def _word(error: UnicodeEncodeError) -> str:
    """The name, out of the text that could not be encoded."""
    before, after = error.object[: error.start], error.object[error.start :]
    return _AROUND.split(before)[-1].strip() + _AROUND.split(after)[0].strip()
