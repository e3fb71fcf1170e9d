"""Size of networks."""

import gc

import pytest
import torch
from torch import nn

from ivadomed.models import registry as module
from ivadomed.models.base import Network
from ivadomed.models.registry import Footprint, footprint


class OneConvolution(Network):
    """Keeps its input (one channel) for the backward pass, and the output of the sigmoid (four)."""

    def __init__(self, in_channel=1):
        super().__init__()
        self.layer = nn.Conv2d(in_channel, 4, 3, padding=1)

    def forward(self, x):
        return torch.sigmoid(self.layer(x))


def test_what_a_forward_pass_keeps(monkeypatch):
    monkeypatch.setattr(module, "build_model", lambda name, arguments: OneConvolution(**arguments))
    found = footprint("any", {"in_channel": 1}, 2)
    # Four sums of nine products: a multiplication and an addition each.
    assert found == Footprint(parameters=4 * 9 + 4, bytes_per_voxel=(1 + 4) * 4, flops_per_voxel=2 * 4 * 9)


def test_training_bytes_and_operations():
    assert Footprint(10, 4.0, 5.0).training_flops(2, (8, 8)) == 3 * 5 * 2 * 64
    # Weight, gradient, two averages of Adam; one and a half times what is kept.
    assert Footprint(10, 4.0).training_bytes(2, (8, 8)) == 160 + 1.5 * 4 * 2 * 64


@pytest.mark.parametrize(
    ("name", "arguments", "n_axes"),
    [
        ("Unet", {"in_channel": 1, "out_channel": 1, "depth": 2, "n_filters": 2}, 2),
        ("Modified3DUNet", {"in_channel": 1, "out_channel": 1, "n_filters": 2}, 3),
        ("HeMISUnet", {"contrasts": ["T1w", "T2w"], "depth": 2, "n_filters": 2}, 2),
        ("FiLMedUnet", {"n_metadata": 3, "depth": 2, "n_filters": 2, "film_layers": [1] * 6}, 2),
        ("resnet18", {"in_channel": 1, "num_classes": 2}, 2),
    ],
)
def test_every_kind_of_network_and_no_random_number_is_used_up(name, arguments, n_axes):
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    found = footprint(name, arguments, n_axes)
    assert found.parameters > 0
    assert found.bytes_per_voxel > 4
    assert torch.equal(torch.rand(2), expected)


def test_nothing_of_the_network_stays():
    def tensors():
        gc.collect()
        return sum(isinstance(thing, torch.Tensor) for thing in gc.get_objects())

    arguments = {"in_channel": 1, "out_channel": 1, "depth": 1, "n_filters": 2}
    footprint("Unet", arguments, 2)
    before = tensors()
    footprint("Unet", arguments, 2)
    assert tensors() == before
