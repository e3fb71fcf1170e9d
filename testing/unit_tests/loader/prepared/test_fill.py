"""Processes that share a cache."""

import multiprocessing
import os
import time
from collections import Counter

import numpy as np
import pytest

from ivadomed.errors import OutputError
from ivadomed.geometry.windows import Window
from ivadomed.loader.prepared import cache
from ivadomed.loader.prepared import fill as cache_fill
from ivadomed.loader.prepared.cache import FILES, open_cases
from ivadomed.loader.prepared.prepare import Recipe, prepare_case
from ivadomed.transforms import Pipeline

RECIPE = Recipe(Pipeline.from_config({"CenterCrop": {"size": [16, 16]}}))


def run(cases, folder, mode, pace, go):
    """Open all cases, write down which ones were prepared, and what was read."""

    def slow(case, recipe):
        with (folder / "log").open("a") as log:
            log.write(f"{case.id}\n")
        time.sleep(pace)
        return prepare_case(case, recipe)

    cache.prepare_case = slow
    go.wait(30)
    entries = open_cases(cases, RECIPE, mode, folder / "cache", n_jobs=2)
    images = [entry.read(Window(0, (0, 0, 2), (16, 16, 1)))[0] for entry in entries]
    np.save(folder / f"read by {os.getpid()}.npy", images)


@pytest.fixture
def start(tmp_path):
    """Start such a process; all of them open the cases when ``go`` is set."""
    context, started = multiprocessing.get_context("fork"), []
    go = context.Event()

    def start(cases, pace, mode="disk"):
        started.append(context.Process(target=run, args=(cases, tmp_path, mode, pace, go)))
        started[-1].start()
        return started[-1]

    start.go = go
    yield start
    for process in started:
        process.kill()
        process.join()


def prepared_in(folder):
    log = folder / "log"
    return Counter(log.read_text().split() if log.exists() else ())


@pytest.mark.parametrize("mode", FILES)
def test_two_processes_prepare_each_case_once_and_read_the_same(make_case, tmp_path, start, mode):
    cases = [make_case(f"sub-{i:02}_T1w", seed=i) for i in range(8)]
    processes = [start(cases, 0.05, mode) for _ in range(2)]
    start.go.set()
    for process in processes:
        process.join(30)
    assert [process.exitcode for process in processes] == [0, 0]
    assert prepared_in(tmp_path) == {case.id: 1 for case in cases}
    first, second = (np.load(tmp_path / f"read by {process.pid}.npy") for process in processes)
    np.testing.assert_array_equal(first, second)
    assert len(list((tmp_path / "cache").iterdir())) == len(cases)  # no lock is left


def test_a_case_of_a_killed_process_is_taken_over(make_case, tmp_path, start):
    cases = [make_case(f"sub-{i:02}_T1w", seed=i) for i in range(2)]
    start.go.set()
    stuck = start(cases, 1000)
    deadline = time.monotonic() + 30
    while prepared_in(tmp_path).total() < 2:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    other = start(cases, 0)
    other.join(0.3)
    assert other.exitcode is None  # it waits
    assert prepared_in(tmp_path).total() == 2
    stuck.kill()
    other.join(30)
    assert other.exitcode == 0
    assert prepared_in(tmp_path) == {case.id: 2 for case in cases}
    assert sorted(path.suffix for path in (tmp_path / "cache").iterdir()) == [".case", ".case"]


def test_a_case_that_is_listed_twice_is_prepared_once(make_case, tmp_path, monkeypatch):
    prepared = []

    def counted(case, recipe):
        prepared.append(case.id)
        time.sleep(0.05)
        return prepare_case(case, recipe)

    monkeypatch.setattr("ivadomed.loader.prepared.cache.prepare_case", counted)
    case = make_case()
    assert len(open_cases([case, case], RECIPE, "disk", tmp_path / "cache", n_jobs=2)) == 2
    assert prepared == [case.id]


def test_waiting_is_told_once_and_ends_when_the_other_is_done(tmp_path, monkeypatch, caplog):
    caplog.set_level("INFO")
    path, looks = tmp_path / "a.case", []
    other = cache_fill.FileLock(path.with_suffix(".lock"))
    other.acquire()

    def sleep(seconds):
        looks.append(seconds)
        if len(looks) == 3:
            path.touch()
            other.release()

    monkeypatch.setattr(cache_fill.time, "sleep", sleep)
    cache_fill.fill([("case", path)], lambda p: p.exists(), None, n_jobs=1, label="set")
    assert len(looks) == 3
    assert caplog.text.count("Waiting   for another process that prepares 1 of these images") == 1


def test_a_cache_that_cannot_be_written_says_which_key_to_set(make_case, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match=r"file: cannot be created .*loader_parameters.cache_dir"):
        open_cases([make_case()], RECIPE, "disk", tmp_path / "file")
    path = tmp_path / "file" / "nowhere" / "a.case"
    with pytest.raises(OutputError, match=r"nowhere: cannot be written .*loader_parameters.cache_dir"):
        cache_fill.fill([("case", path)], lambda p: False, None, n_jobs=1, label="set")
