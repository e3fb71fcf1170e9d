"""Train, kill -9 at random moments, resume, until the training has ended; a program that prints its counts as JSON.

The training runs in forks of this process, which has imported everything, so that a kill costs no start.
"""

import json
import os
import random
import signal
import sys
import time
from pathlib import Path

import ivadomed.commands  # noqa: F401  (so that the forks have it)
from ivadomed.files import leftovers
from ivadomed.main import main
from ivadomed.training.checkpoint import read_checkpoint
from ivadomed.training.outputs import CHECKPOINT

LONGEST = 2.5
"""Seconds after which a training is killed at the latest."""


def start(config: Path, folder: Path) -> int:
    """Fork a training; the process id."""
    pid = os.fork()
    if pid:
        return pid
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    options = ["--resume-training"] if (folder / CHECKPOINT).exists() else ["--overwrite"]
    os._exit(main(["--train", *options, str(config)]))


def wait_until(pid: int, is_time) -> bool:
    """Whether the process still runs when it is time."""
    while not is_time():
        if os.waitpid(pid, os.WNOHANG)[0]:
            return False
        time.sleep(0.0002)
    return True


def kill(config: Path, folder: Path, moment: random.Random, writing: bool) -> str:
    """One training that is killed: at a random moment, or while its checkpoint is written."""
    pid, until = start(config, folder), time.monotonic() + moment.uniform(0.05, LONGEST)
    over = lambda: time.monotonic() > until  # noqa: E731

    def is_time() -> bool:
        return over() and (not writing or any(p.name.startswith(".checkpoint") for p in leftovers(folder)))

    if not wait_until(pid, is_time):
        return "ended"
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    if (folder / CHECKPOINT).exists():
        read_checkpoint(folder / CHECKPOINT)
    return "while writing" if any(p.name.startswith(".checkpoint") for p in leftovers(folder)) else "killed"


if __name__ == "__main__":
    config, wanted = Path(sys.argv[1]), int(sys.argv[2])
    folder = Path(json.loads(config.read_text(encoding="utf-8"))["path_output"])
    moment = random.Random(0)
    results = [kill(config, folder, moment, writing=number % 2 == 1) for number in range(wanted)]
    epoch = read_checkpoint(folder / CHECKPOINT)["epoch"] if (folder / CHECKPOINT).exists() else 0
    _, status = os.waitpid(start(config, folder), 0)
    print(json.dumps({"results": results, "epoch": epoch, "code": os.waitstatus_to_exitcode(status)}))
