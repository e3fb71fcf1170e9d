"""Calls in this process and in others."""

import importlib.util
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from ivadomed.errors import DataError, Interrupted, MachineError
from ivadomed.jobs import ONE, Workers, run_jobs, values

TWO = Workers(2)


@pytest.fixture(scope="module")
def functions(request):
    """The module beside this one, sent to other processes with its content."""
    try:
        from joblib.externals import cloudpickle  # the copy that joblib before 1.5 sends with
    except ImportError:
        import cloudpickle

    spec = importlib.util.spec_from_file_location("functions", Path(__file__).with_name("functions.py"))
    module = importlib.util.module_from_spec(spec)
    sys.modules["functions"] = module
    spec.loader.exec_module(module)
    cloudpickle.register_pickle_by_value(module)
    yield module
    cloudpickle.unregister_pickle_by_value(module)
    del sys.modules["functions"]


@pytest.mark.parametrize("workers", [ONE, TWO])
def test_every_item_has_its_result(functions, workers):
    assert dict(values(functions.square, range(7), workers)) == {n: n * n for n in range(7)}


@pytest.mark.parametrize("workers", [ONE, TWO])
def test_failed_calls_stop_no_other(functions, workers):
    found = {result.number: result for result in run_jobs(functions.difficult, [0, 1, 2, 5], workers)}
    assert [found[n].ok for n in range(4)] == [True, False, False, True]
    assert (found[0].value, found[3].value) == (0, 25)
    assert found[1].reason == "sub-01: bad"
    assert found[2].reason == "ZeroDivisionError: ours"
    with pytest.raises(DataError, match="sub-01: bad"):
        found[1].unwrap()
    with pytest.raises(RuntimeError, match="ours"):
        found[2].unwrap()


def test_process_that_is_killed_takes_its_call_only(functions):
    found = {result.number: result for result in run_jobs(functions.difficult, [4, 3, 5, 6], TWO)}
    assert [found[n].value for n in (0, 2, 3)] == [16, 25, 36]
    with pytest.raises(MachineError, match="killed twice"):
        found[1].unwrap()


def test_call_whose_process_was_killed_is_made_again(functions, tmp_path):
    [result] = run_jobs(functions.killed_once, [str(tmp_path)], TWO)
    assert result.value == "done"


def test_messages_of_other_processes_are_logged_here(functions, caplog):
    caplog.set_level(logging.INFO, "ivadomed")
    list(values(functions.square, [3, 4], TWO))
    assert sorted(r.getMessage() for r in caplog.records if r.name == "ivadomed.somewhere") == [
        "squaring 3",
        "squaring 4",
    ]


def test_items_are_taken_when_somebody_is_free(functions):
    taken = []

    def items():
        for n in range(3):
            taken.append(n)
            yield n

    seen = [(result.number, len(taken)) for result in run_jobs(functions.square, items(), ONE)]
    assert seen == [(0, 1), (1, 2), (2, 3)]


def test_signal_stops_the_calls_and_says_how_to_go_on(functions, tmp_path):
    def interrupt():
        while not list(tmp_path.glob("begun-*")):
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    started = time.monotonic()
    with pytest.raises(Interrupted, match="SIGINT; do it again"):
        list(run_jobs(functions.slow, [str(tmp_path)] * 5, TWO, advice="do it again"))
    thread.join()
    assert time.monotonic() - started < 50
    assert len(list(tmp_path.glob("begun-*"))) <= 2


def test_signal_stops_a_call_in_this_process(functions, tmp_path):
    threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
    with pytest.raises(Interrupted, match="SIGINT; do it again"):
        list(run_jobs(functions.slow, [str(tmp_path)] * 5, ONE, advice="do it again"))
    assert len(list(tmp_path.glob("begun-*"))) == 1


def test_calls_end_with_the_process_that_asked_for_them(tmp_path):
    code = "import functions, sys; from ivadomed.jobs import Workers, run_jobs; " + (
        "list(run_jobs(functions.slow, [sys.argv[1]] * 2, Workers(2)))"
    )
    here = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])}
    process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], env=here)
    while len(begun := list(tmp_path.glob("begun-*"))) < 2:
        assert process.poll() is None
        time.sleep(0.05)
    workers = [int(path.name.split("-")[1]) for path in begun]
    process.kill()
    process.wait()
    end = time.monotonic() + 45  # the calls would take a minute
    while any(map(alive, workers)):
        assert time.monotonic() < end
        time.sleep(0.05)


def alive(process: int) -> bool:
    """True if a process lives; one that has ended and waits for somebody to ask does not."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
