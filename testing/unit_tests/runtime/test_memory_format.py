"""The rule for memory formats and samples per call."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ivadomed.runtime import memory_format
from ivadomed.runtime.memory_format import predicts_channels_last, samples_per_call, trains_channels_last

CPU, GPU = torch.device("cpu"), torch.device("cuda")


@pytest.mark.parametrize(
    ("device", "n_axes", "precision", "capability", "expected"),
    [
        (CPU, 2, "32", "AVX2", False),
        (CPU, 3, "32", "AVX2", True),
        (CPU, 2, "bf16", "AVX512", True),
        (CPU, 2, "32", "AVX512", True),
        (CPU, 2, "32", "DEFAULT", True),
        (GPU, 2, "32", "AVX2", True),
        (GPU, 3, "16", "AVX2", True),
    ],
)
def test_trainings(device, n_axes, precision, capability, expected):
    assert trains_channels_last(device, n_axes, precision, capability) is expected


def test_predictions_change_only_where_it_was_measured():
    assert predicts_channels_last(CPU, "AVX2")
    for device, capability in ((CPU, "AVX512"), (CPU, "DEFAULT"), (GPU, "AVX2")):
        assert not predicts_channels_last(device, capability)
        assert samples_per_call(device, 8, (64, 64), capability) is None


@given(
    n_filters=st.integers(1, 512),
    size=st.lists(st.integers(1, 1024), min_size=2, max_size=3),
    more=st.integers(1, 4),
)
def test_larger_samples_and_networks_predict_fewer_at_a_time_but_one(n_filters, size, more):
    count = samples_per_call(CPU, n_filters, size, "AVX2")
    assert count >= 1
    assert 1 <= samples_per_call(CPU, n_filters * more, size, "AVX2") <= count
    assert 1 <= samples_per_call(CPU, n_filters, [n * more for n in size], "AVX2") <= count


def test_the_processor_decides_where_none_is_named(monkeypatch):
    monkeypatch.setattr(memory_format.torch.backends.cpu, "get_cpu_capability", lambda: "AVX2")
    assert predicts_channels_last(CPU)
    monkeypatch.setattr(memory_format.torch.backends.cpu, "get_cpu_capability", lambda: "AVX512")
    assert not predicts_channels_last(CPU)
