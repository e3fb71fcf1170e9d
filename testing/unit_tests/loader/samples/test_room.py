"""How many workers there is room for in shared memory."""

import logging

import pytest
import torch

from ivadomed.geometry.windows import Window
from ivadomed.loader.samples import loading as room
from ivadomed.loader.samples.batch import Batch

MB = 1_000_000


@pytest.fixture
def machine(monkeypatch):
    """Return a function that sets how much shared memory is free."""

    def pretend(free, problem=None):
        monkeypatch.setattr(room, "shared_memory_left", lambda: free)
        monkeypatch.setattr(room, "no_processes", lambda: problem)

    return pretend


@pytest.mark.parametrize(
    ("free", "batch", "expected"),
    [
        (None, 10 * MB, (4, 4)),
        (1000 * MB, 10 * MB, (4, 4)),
        (120 * MB, 10 * MB, (4, 2)),
        (64 * MB, 10 * MB, (4, 1)),
        (64 * MB, 13 * MB, (2, 1)),
        (64 * MB, 30 * MB, (0, 1)),
        (64 * MB, 300 * MB, (0, 1)),
        (0, 10 * MB, (0, 1)),
    ],
)
def test_what_is_ready_and_in_use_fits(machine, caplog, free, batch, expected):
    machine(free)
    with caplog.at_level(logging.WARNING):
        workers, prefetch = room.workers_that_fit(4, batch)
    assert (workers, prefetch) == expected
    assert free is None or workers == 0 or (workers * prefetch + 2) * batch <= free
    assert ("--shm-size" in caplog.text) == (workers < 4)


def test_several_trainings_share_the_memory(machine):
    machine(200 * MB)
    assert room.workers_that_fit(2, 10 * MB, sharing=2) == (2, 4)
    assert room.workers_that_fit(2, 10 * MB, sharing=4) == (2, 1)


def test_no_semaphores(machine, caplog):
    machine(1000 * MB, "processes cannot share a semaphore (Permission denied)")
    assert room.workers_that_fit(4, MB)[0] == 0
    assert "Processes cannot share a semaphore" in caplog.text


def test_a_batch_counts_its_largest_window():
    sample = Batch(
        torch.zeros(1, 2, 10, 10),
        torch.zeros(1, 1, 10, 10, dtype=torch.uint8),
        None,
        (Window(0, (0, 0, 0), (10, 10, 1)),),
    )
    assert 900 * 8 <= room.batch_bytes(sample, 100, 8) < 900 * 8 * 1.5
    assert room.batch_bytes(sample, 400, 8) == pytest.approx(4 * room.batch_bytes(sample, 100, 8), abs=4)
