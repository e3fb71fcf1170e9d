"""Start the other processes of a training on this machine, one per GPU.

They run the command of this process anew, from the configuration file in the folder of the run. That works from the
command line as well as from a program that calls ``run_main`` among other things, which must not be run twice.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from ivadomed.errors import MachineError
from ivadomed.runtime.ranks import World


@contextmanager
def other_processes(command: Sequence[str], size: int, grace: float = 20.0) -> Iterator[World]:
    """Run ``command`` in ``size - 1`` further processes, and end them with this context.

    When one of them fails, this process loses its connection to it and fails too. Where it waits for the other one all
    the same, as GPUs may do, it is ended.

    Args:
        command: Program and arguments.
        size: Number of processes, this one included.
        grace: Seconds that a process is given to end by itself.

    Yields:
        What this process is among them: the first.

    Raises:
        MachineError: This is an interactive session, in which Lightning Fabric cannot train with others.
    """
    if hasattr(sys, "ps1"):
        raise MachineError(
            "gpu_ids: an interactive session trains on one GPU; use the command line (ivadomed --train) for several"
        )
    port = _free_port()
    first, *others = (World(rank, size, rank, size, "127.0.0.1", port) for rank in range(size))
    # What this program can import, the others can too (a model of the user's own).
    path = os.pathsep.join(entry for entry in sys.path if entry)
    processes = [
        subprocess.Popen(command, env={**os.environ, **other.environment(), "PYTHONPATH": path})
        for other in others
    ]
    over = threading.Event()
    threading.Thread(target=_watch, args=(processes, over, grace), daemon=True).start()
    try:
        yield first
        _wait(processes, grace)
    finally:
        over.set()
        for process in processes:
            process.terminate()
        _wait(processes, grace)
        for process in processes:
            process.kill()
            process.wait()


def _wait(processes: Sequence[subprocess.Popen[bytes]], seconds: float) -> None:
    until = time.monotonic() + seconds
    while any(process.poll() is None for process in processes) and time.monotonic() < until:
        time.sleep(0.05)


def _watch(processes: Sequence[subprocess.Popen[bytes]], over: threading.Event, grace: float) -> None:
    while not over.wait(0.5):
        failed = next((process for process in processes if process.poll() not in (None, 0)), None)
        if failed is None:
            continue
        if over.wait(grace):
            return
        print(
            f"ivadomed: process {failed.pid} of this training ended with code {failed.returncode}, see above",
            file=sys.stderr,
            flush=True,
        )
        for process in processes:
            process.kill()
        # This process hangs in a call that no exception reaches.
        os._exit(1)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
