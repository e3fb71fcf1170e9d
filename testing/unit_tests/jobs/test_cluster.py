"""Calls on a Dask cluster."""

import os
import signal
import sys
import threading
import time
from functools import partial
from pathlib import Path

import pytest

from ivadomed.errors import ConfigError, MachineError
from ivadomed.jobs import ResultStore, Workers, once, run_jobs, values

dask = pytest.importorskip("dask")
distributed = pytest.importorskip("distributed")


@pytest.fixture(scope="module")
def cluster():
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, silence_logs=50
    ) as cluster:
        yield cluster


def test_every_item_has_its_result(cluster, tmp_path):
    file = tmp_path / "scheduler.json"
    with distributed.Client(cluster) as client:
        client.write_scheduler_file(str(file))
    for address in (cluster.scheduler_address, str(file)):
        assert dict(values(abs, [-3, 4, -5], Workers(cluster=address))) == {0: 3, 1: 4, 2: 5}


def test_failed_calls_stop_no_other(cluster):
    found = {a.number: a for a in run_jobs(int, ["1", "x", "3"], Workers(cluster=cluster.scheduler_address))}
    assert (found[0].value, found[2].value) == (1, 3)
    assert found[1].problem.splitlines()[-1].startswith("ValueError: invalid literal")


def test_job_of_a_dead_worker_is_done_by_another_one(cluster, tmp_path):
    def work(folder: Path, number: int) -> int:
        def call() -> int:
            (folder / f"{number}-{os.getpid()}").touch()
            time.sleep(0.5)
            return number

        return once(ResultStore(folder / "jobs"), str(number), "job", call)

    def kill() -> None:
        while not (begun := list(tmp_path.glob("1-*"))):
            time.sleep(0.02)
        os.kill(int(begun[0].name.split("-")[1]), signal.SIGKILL)

    thread = threading.Thread(target=kill)
    thread.start()
    # This module is not there in the other processes.
    import cloudpickle

    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    workers = Workers(cluster=cluster.scheduler_address)
    assert dict(values(partial(work, tmp_path), range(4), workers)) == {n: n for n in range(4)}
    cloudpickle.unregister_pickle_by_value(sys.modules[__name__])
    thread.join()
    begun = sorted(path.name.split("-")[0] for path in tmp_path.glob("?-*"))
    assert begun.count("1") == 2
    assert sorted(path.name for path in (tmp_path / "jobs").glob("*.json")) == [f"{n}.json" for n in range(4)]


def test_scheduler_that_does_not_answer_is_an_error():
    with (
        pytest.raises(MachineError, match="no Dask scheduler answers"),
        dask.config.set({"distributed.comm.timeouts.connect": "200ms"}),
    ):
        list(run_jobs(abs, [1], Workers(cluster="tcp://127.0.0.1:9")))


def test_without_dask_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ConfigError, match=r"pip install 'ivadomed\[cluster\]'"):
        list(run_jobs(abs, [1], Workers(cluster="tcp://127.0.0.1:9")))
