"""Processes started for further GPUs."""

import os
import subprocess
import sys
import threading
import time

import pytest

from ivadomed.errors import MachineError
from ivadomed.runtime.ranks import World
from ivadomed.training.processes import other_processes

WRITE_WORLD = """
import os, sys
from ivadomed.runtime.ranks import current_world
world = current_world()
open(sys.argv[1] + str(world.rank), "w").write(repr(world))
"""
SLEEP = [sys.executable, "-c", "import time; time.sleep(60)"]


def test_each_process_is_told_its_place(tmp_path):
    command = [sys.executable, "-c", WRITE_WORLD, str(tmp_path / "world-")]
    before = dict(os.environ)
    with other_processes(command, 3) as first:
        assert (first.rank, first.size, first.local_size, first.is_first) == (0, 3, 3, True)
    assert dict(os.environ) == before
    for rank in (1, 2):
        expected = World(rank, 3, rank, 3, "127.0.0.1", first.port)
        assert (tmp_path / f"world-{rank}").read_text() == repr(expected)


def test_the_others_end_with_this_process(monkeypatch):
    started = []
    popen = subprocess.Popen
    monkeypatch.setattr(subprocess, "Popen", lambda *a, **k: started.append(popen(*a, **k)) or started[-1])
    begun = time.monotonic()
    with pytest.raises(KeyError), other_processes(SLEEP, 3):
        raise KeyError
    assert time.monotonic() - begun < 10
    assert [process.poll() is None for process in started] == [False, False]


def test_this_process_is_ended_when_it_waits_for_a_failed_one(monkeypatch, capfd):
    ended = threading.Event()
    codes = []
    monkeypatch.setattr(os, "_exit", lambda code: codes.append(code) or ended.set())
    with other_processes([sys.executable, "-c", "raise SystemExit(3)"], 2, grace=0.1):
        assert ended.wait(30)
    assert set(codes) == {1}
    assert "ended with code 3" in capfd.readouterr().err


def test_an_interactive_session_is_refused(monkeypatch):
    monkeypatch.setattr(sys, "ps1", ">>> ", raising=False)
    with pytest.raises(MachineError, match="use the command line"), other_processes(SLEEP, 2):
        pass
