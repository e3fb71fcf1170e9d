"""One run at a time in a folder."""

import json
import os
import platform
import signal
import subprocess
import sys

import pytest

from ivadomed.errors import OutputError
from ivadomed.runtime.run_lock import run_lock

HOLD = """
import os, sys, time
from pathlib import Path
from ivadomed.runtime.run_lock import run_lock
with run_lock(Path(sys.argv[1])):
    is_worker = "worker" in sys.argv and os.fork() == 0
    if is_worker or "worker" not in sys.argv:  # a worker that speaks has let go of the lock
        print("held", flush=True)
    time.sleep(60)
    if is_worker:
        os._exit(0)
"""


@pytest.fixture
def holder(tmp_path):
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()


def test_a_second_run_is_refused_and_told_of_the_first(tmp_path, holder):
    with pytest.raises(OutputError) as caught, run_lock(tmp_path):
        pass
    told = str(caught.value)
    assert told.startswith(f"{tmp_path}: another run (process {holder.pid} on {platform.node()}, since 20")
    assert (tmp_path / "run.lock").exists()


def test_a_killed_run_does_not_block(tmp_path, holder):
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    assert (tmp_path / "run.lock").exists()
    with run_lock(tmp_path):
        assert json.loads((tmp_path / "run.lock").read_text())["pid"] == os.getpid()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are spawned here")
def test_a_killed_run_does_not_block_while_its_workers_live(tmp_path):
    command = [sys.executable, "-c", HOLD, str(tmp_path), "worker"]
    run = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
    try:
        assert run.stdout.readline() == "held\n"
        run.kill()
        run.wait()
        with run_lock(tmp_path):
            assert json.loads((tmp_path / "run.lock").read_text())["pid"] == os.getpid()
    finally:
        os.killpg(run.pid, signal.SIGKILL)


def test_the_same_process_is_refused_and_its_lock_stays(tmp_path):
    other = [sys.executable, "-c", HOLD, str(tmp_path)]
    with run_lock(tmp_path):
        with pytest.raises(OutputError, match=r"another run \(of this process\)"), run_lock(tmp_path):
            pass
        refused = subprocess.run(other, capture_output=True, text=True, timeout=50)
        assert f"process {os.getpid()} on" in refused.stderr
    with run_lock(tmp_path):
        pass


def test_another_folder_is_free(tmp_path, holder):
    (tmp_path / "other").mkdir()
    with run_lock(tmp_path / "other"):
        pass


def test_a_file_that_is_no_lock_of_ours_does_not_block(tmp_path):
    (tmp_path / "run.lock").write_text("not JSON, and long enough to be left over" * 9)
    with run_lock(tmp_path):
        assert set(json.loads((tmp_path / "run.lock").read_text())) == {"pid", "host", "started"}
