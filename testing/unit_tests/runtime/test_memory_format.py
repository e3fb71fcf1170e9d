"""The rule for memory formats."""

import pytest
import torch

from ivadomed.runtime import memory_format
from ivadomed.runtime.memory_format import predicts_channels_last, trains_channels_last

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
    assert trains_channels_last(device, n_axes, precision, None, capability) is expected


def test_predictions_change_only_where_it_was_measured():
    assert predicts_channels_last(CPU, "AVX2")
    for device, capability in ((CPU, "AVX512"), (CPU, "DEFAULT"), (GPU, "AVX2")):
        assert not predicts_channels_last(device, capability)


@pytest.mark.parametrize(("instance_norm", "expected"), [(None, False), (4, True), (16, True), (32, False)])
def test_networks_with_instance_normalization_train_channels_last_in_2d_while_narrow(instance_norm, expected):
    assert trains_channels_last(CPU, 2, "32", instance_norm, "AVX2") is expected
    assert trains_channels_last(CPU, 3, "32", instance_norm, "AVX2")


def test_the_processor_decides_where_none_is_named(monkeypatch):
    monkeypatch.setattr(memory_format.torch.backends.cpu, "get_cpu_capability", lambda: "AVX2")
    assert predicts_channels_last(CPU)
    monkeypatch.setattr(memory_format.torch.backends.cpu, "get_cpu_capability", lambda: "AVX512")
    assert not predicts_channels_last(CPU)
