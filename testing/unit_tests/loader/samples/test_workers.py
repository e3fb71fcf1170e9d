"""What worker processes share and how they end."""

import multiprocessing
import os
import signal
import time

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from ivadomed.loader.samples import batch
from ivadomed.loader.samples.dataset import interned
from ivadomed.loader.samples.loading import start_worker


def _work(ready):
    start_worker(0)
    ready.set()
    time.sleep(60)


@pytest.fixture
def worker():
    context = multiprocessing.get_context("fork")
    ready = context.Event()
    process = context.Process(target=_work, args=(ready,))
    process.start()
    assert ready.wait(10)
    yield process
    process.kill()
    process.join()


def test_a_worker_outlives_the_signals_of_its_group_and_ends_with_its_parent(worker):
    os.kill(worker.pid, signal.SIGINT)
    worker.terminate()  # as SLURM or a shell does to the whole group
    worker.join(0.2)
    assert worker.exitcode is None
    worker.terminate()  # as multiprocessing does when a process ends that has not closed its DataLoader
    worker.join(10)
    assert worker.exitcode == -signal.SIGTERM


def test_workers_stack_batches_in_memory_that_the_training_sees():
    rows = list(np.arange(24, dtype=np.float32).reshape(6, 4))
    expected = torch.arange(24.0).reshape(6, 4)
    for count in (0, 1):
        [stacked] = DataLoader(rows, batch_size=6, num_workers=count, collate_fn=batch.stack)
        torch.testing.assert_close(stacked, expected)
        assert stacked.is_shared() == bool(count)
    with pytest.raises(ValueError, match="shape"):
        batch.stack([np.zeros(2), np.zeros((1, 2))])


def test_only_workers_give_memory_back(monkeypatch):
    trimmed = []
    library = type("Library", (), {"malloc_trim": trimmed.append})
    monkeypatch.setattr(batch.ctypes, "CDLL", lambda name: library)
    monkeypatch.setattr(batch.sys, "platform", "linux")
    for _ in range(8):
        batch.trim_memory()
    assert trimmed == []
    monkeypatch.setattr(batch, "get_worker_info", object)
    for _ in range(4 * batch._TRIM_EVERY):
        batch.trim_memory()
    assert trimmed == [0] * 4


def test_equal_values_become_one_object():
    values = [(n, (n, 1)) for n in (5, 5, 5, 7)]
    one = interned(values)
    assert one == values
    assert one[0] is one[1] is one[2]
