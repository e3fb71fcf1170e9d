"""Memory and cores available to this process."""

from __future__ import annotations

import math
import multiprocessing
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from ivadomed.errors import ConfigError, DataError
from ivadomed.runtime.failures import SHARED_MEMORY


def available_memory(proc: Path = Path("/proc"), groups: Path = Path("/sys/fs/cgroup")) -> int | None:
    """Available memory in bytes, within the limits of the process and its control groups (containers, SLURM).

    Args:
        proc: Folder where Linux describes the system and this process.
        groups: Folder where it describes control groups.

    Returns:
        The bytes, or None if the system does not report them.
    """
    room = [*_left_in_groups(proc, groups), *_left_of_addresses(proc)]
    try:
        room.append(_fields(proc / "meminfo")["MemAvailable"] * 1024)
    except (OSError, ValueError, KeyError):
        if (whole := physical_memory()) is not None:
            room.append(whole)
    return min(room, default=None)


def physical_memory() -> int | None:
    """Physical memory in bytes; None if the system does not report it."""
    if not hasattr(os, "sysconf") or "SC_PHYS_PAGES" not in os.sysconf_names:
        return None
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def available_cores() -> int:
    """Number of cores available to this process."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def job_count(wanted: int) -> int:
    """Number of processes or threads for an option ``--jobs``; -1 stands for one per core.

    Raises:
        ConfigError: 0, or another number below 1.
    """
    if wanted < 1 and wanted != -1:
        raise ConfigError(f"--jobs: {wanted}; expected 1 or more, or -1 for one per core")
    return available_cores() if wanted == -1 else wanted


def check_memory(
    path: str | os.PathLike[str],
    shape: Sequence[int],
    what: str = "voxels",
    remedy: str = "use a part of it, or a machine with more",
) -> None:
    """Refuse an image that does not fit into memory before allocating any for it.

    Args:
        path: The image.
        shape: Shape of its float32 voxels, or of arrays derived from them.
        what: Plural noun for the elements counted by the shape.
        remedy: Advice to the user.

    Raises:
        DataError: They do not fit into the available memory.
    """
    needed, available = 4 * math.prod(shape), available_memory()
    if available is not None and needed > available:
        raise DataError(
            f"{os.fspath(path)}: its {'x'.join(map(str, shape))} {what} take {needed / 1e9:.1f} GB of memory, of "
            f"which {available / 1e9:.1f} GB are available; {remedy}"
        )


def shared_memory_left(folder: str = SHARED_MEMORY) -> int | None:
    """Available shared memory in bytes; None if the system does not report it."""
    try:
        return shutil.disk_usage(folder).free
    except OSError:
        return None


def no_processes() -> str | None:
    """Reason why processes cannot work together on this machine; None if they can.

    They need semaphores, which Linux stores as files in ``/dev/shm``.
    """
    try:
        multiprocessing.get_context().Semaphore(1)
    except (OSError, ImportError) as error:
        reason = getattr(error, "strerror", None) or error
        return f"processes cannot share a semaphore ({reason}; {SHARED_MEMORY} must be there and writable)"
    return None


def _left_of_addresses(proc: Path) -> Iterator[int]:
    """Yield the bytes left below the limit of the address space (``ulimit -v``), if there is one."""
    try:
        import resource
    except ImportError:  # Windows
        return
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit == resource.RLIM_INFINITY:
        return
    try:
        pages = int((proc / "self" / "statm").read_text().split()[0])
    except (OSError, ValueError, IndexError):
        pages = 0
    yield max(0, limit - pages * resource.getpagesize())


def _left_in_groups(proc: Path, groups: Path) -> Iterator[int]:
    """Yield the bytes left below the limit of each control group that has one."""
    try:
        lines = (proc / "self" / "cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if not controllers:  # version 2
            root, limit, usage = groups, "memory.max", "memory.current"
        elif "memory" in controllers.split(","):
            root, limit, usage = groups / "memory", "memory.limit_in_bytes", "memory.usage_in_bytes"
        else:
            continue
        own = root / path.strip("/")
        for group in (own, *own.parents):
            try:
                left = int((group / limit).read_text()) - int((group / usage).read_text())
                # Files cached by the kernel count as usage, but are evicted when memory is needed.
                yield left + _fields(group / "memory.stat").get("inactive_file", 0)
            except (OSError, ValueError):  # no such group, or "max"
                pass
            if group == root:
                break


def _fields(path: Path) -> dict[str, int]:
    """Read the numbers of a file with lines such as "name 12" or "Name: 12 kB"."""
    rows = (line.replace(":", " ").split() for line in path.read_text().splitlines())
    return {row[0]: int(row[1]) for row in rows}
