"""How many processes, threads and GPUs."""

import os
import sys

import pytest

from ivadomed.errors import ConfigError, MachineError
from ivadomed.jobs import ONE, Workers, own_gpus, workers
from ivadomed.jobs.choose import choose_workers
from ivadomed.jobs.workers import GpuQueue, gpu_queue, settle, visible_gpus


@pytest.mark.parametrize(
    ("cores", "jobs", "limit", "threads"),
    [(8, 2, None, 4), (8, 3, None, 2), (2, 4, None, 1), (8, 2, "1", 1), (8, 2, "16", 4), (8, 2, "4,2", 4)],
)
def test_threads_are_divided(monkeypatch, cores, jobs, limit, threads):
    monkeypatch.setattr("ivadomed.jobs.workers.available_cores", lambda: cores)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if limit is not None:
        monkeypatch.setenv("OMP_NUM_THREADS", limit)
    assert Workers(jobs).threads == threads


def test_no_process_is_an_error():
    with pytest.raises(ConfigError, match="--jobs: 0; expected 1 or more"):
        Workers(0)


def test_more_processes_than_gpus_are_an_error():
    with pytest.raises(ConfigError, match=r"3 processes, but gpu_ids lists 2 GPU\(s\)"):
        Workers(3, gpus=("0", "1"))


def test_only_one_process_without_cluster_is_here():
    assert ONE.here
    assert not Workers(2).here
    assert not Workers(cluster="tcp://node:8786").here


@pytest.mark.parametrize(
    ("gpu_ids", "environment", "expected"),
    [
        ([0, 2], {}, ("0", "2")),
        ([0, 1], {"CUDA_VISIBLE_DEVICES": "3,5"}, ("3", "5")),
        ([1], {"CUDA_VISIBLE_DEVICES": "GPU-aa, GPU-bb"}, ("GPU-bb",)),
        ([], {"CUDA_VISIBLE_DEVICES": ""}, ()),
    ],
)
def test_gpus_count_those_that_are_visible(gpu_ids, environment, expected):
    assert visible_gpus(gpu_ids, environment) == expected


def test_gpu_that_is_not_visible_is_an_error():
    with pytest.raises(ConfigError, match="no GPU 2; CUDA_VISIBLE_DEVICES=3,5 shows 2"):
        visible_gpus([0, 2], {"CUDA_VISIBLE_DEVICES": "3,5"})


def test_there_is_a_process_for_each_gpu(monkeypatch):
    monkeypatch.setattr("ivadomed.jobs.choose.define_device", lambda ids: (True, None))
    monkeypatch.setattr("ivadomed.jobs.choose.present_gpus", tuple)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,6,7")
    assert choose_workers(None, None, [0, 2]) == Workers(2, gpus=("4", "7"))
    assert choose_workers(1, None, [0, 2]) == Workers(1, gpus=("4", "7"))


def test_there_is_one_process_on_a_cpu(monkeypatch):
    monkeypatch.setattr("ivadomed.jobs.choose.define_device", lambda ids: (False, None))
    assert choose_workers(None, None, [0, 1]) == ONE
    assert choose_workers(3, None, [0, 1]) == Workers(3)


def test_processes_and_a_cluster_contradict_each_other():
    assert choose_workers(None, "tcp://node:8786") == Workers(cluster="tcp://node:8786")
    with pytest.raises(ConfigError, match="pass one"):
        choose_workers(2, "tcp://node:8786")


def test_queue_gives_each_gpu_once(tmp_path):
    queue = GpuQueue(("4", "7"), tmp_path)
    first, second = queue.take(), queue.take()
    assert [first[1], second[1]] == ["4", "7"]
    with pytest.raises(MachineError, match="no GPU is free among 4, 7"):
        queue.take()
    first[0].release()  # as the kernel does for a process that died
    assert queue.take()[1] == "4"


def test_worker_sees_its_own_gpu_only(monkeypatch, tmp_path):
    monkeypatch.setattr(workers, "_OWN", workers._Own())
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,7")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    assert own_gpus([1, 0]) == (1,)
    settle(3, GpuQueue(("7", "4"), tmp_path))
    settle(3, GpuQueue(("7", "4"), tmp_path))  # stays where it is
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "7"
    assert os.environ["OMP_NUM_THREADS"] == "3"
    assert own_gpus([1, 0]) == (0,)
    assert own_gpus([]) == ()


def test_without_gpus_there_is_no_queue():
    assert gpu_queue(()) is None
    assert gpu_queue(("1", "2")) is gpu_queue(("1", "2"))
