"""Train, kill -9 at random moments, resume; then let the training end. A program that prints its counts as JSON.

The training runs in forks of this process, which has trained once and imported everything, so that a kill costs no
start. It has too many epochs to end by itself, on however fast a machine; at last it gets two more than it has done.
"""

import json
import os
import random
import signal
import sys
import time
from pathlib import Path

import ivadomed.commands.run  # noqa: F401  (so that the forks have it)
from ivadomed.config.run_files import CHECKPOINT
from ivadomed.images.files import leftovers, write_json
from ivadomed.main import main
from ivadomed.training.checkpoint import read_checkpoint


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


def kill(config: Path, folder: Path, after: float, writing: bool) -> str:
    """One training that is killed: after some seconds, or the next time its checkpoint is written."""
    pid, until = start(config, folder), time.monotonic() + after
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


def first_epoch(config: Path, folder: Path) -> float:
    """Seconds from the start of a training to its first checkpoint, after which it is killed."""
    began, pid = time.monotonic(), start(config, folder)
    wait_until(pid, (folder / CHECKPOINT).exists)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return time.monotonic() - began


if __name__ == "__main__":
    config, short, wanted = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    main(["--train", short])
    fields = json.loads(config.read_text(encoding="utf-8"))
    folder = Path(fields["path_output"])
    seconds, moment = first_epoch(config, folder), random.Random(0)
    results = [
        kill(config, folder, moment.uniform(0, 1.5 * seconds), number % 2 == 1) for number in range(wanted)
    ]
    epochs = read_checkpoint(folder / CHECKPOINT)["epoch"] + 2
    fields["training_parameters"]["training_time"]["num_epochs"] = epochs
    write_json(config, fields)
    _, status = os.waitpid(start(config, folder), 0)
    print(json.dumps({"results": results, "epochs": epochs, "code": os.waitstatus_to_exitcode(status)}))
