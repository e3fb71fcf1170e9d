"""Time per epoch and the expected end."""

import resource
import sys

import pytest
import torch

from ivadomed.training.monitor import Pace, peak_memory


def test_the_first_epoch_does_not_count_once_there_are_others():
    times = iter([0.0, 30.0, 40.0, 50.0])
    pace = Pace(4, clock=lambda: next(times))
    assert pace.tick(1).startswith("30 s, about 90 s to go (until ")
    assert pace.tick(2).startswith("10 s, about 20 s to go (until ")
    assert pace.tick(3).startswith("10 s, about 10 s to go (until ")


def test_the_time_to_go_follows_the_last_epochs():
    ends = [0.0, 9.0, *range(10, 20), *range(29, 80, 10)]  # 1 s each, then the machine becomes slower
    times = iter(map(float, ends))
    pace = Pace(20, clock=lambda: next(times))
    told = [pace.tick(epoch).partition(" (")[0] for epoch in range(1, 17)]
    assert told[9] == "1 s, about 10 s to go"
    assert told[15] == "10 s, about 40 s to go"


def test_the_last_epoch_has_nothing_to_go():
    times = iter([0.0, 2.5])
    assert Pace(7, first_epoch=7, clock=lambda: next(times)).tick(7) == "2.5 s"


@pytest.mark.skipif(sys.platform != "linux", reason="the unit is the system's")
def test_peak_memory_is_in_bytes():
    kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert peak_memory(torch.device("cpu")) >= kilobytes * 1024
