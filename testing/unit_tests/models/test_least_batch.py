"""The smallest batch that a network can be trained with."""

import pytest
import torch

from ivadomed.models.least_batch import least_batch

UNET = {"in_channel": 1, "out_channel": 1, "depth": 3, "n_filters": 2}
CLASSIFIER = {"in_channel": 1, "num_classes": 2}


@pytest.mark.parametrize(
    ("name", "arguments", "size", "expected"),
    [
        # 8 / 2**3: one voxel at the bottom, of which batch normalization needs two.
        ("Unet", UNET, (8, 8), 2),
        ("Unet", UNET, (8, 16), 1),
        ("HeMISUnet", {"contrasts": ["a", "b"], "out_channel": 1, "depth": 3, "n_filters": 2}, (8, 8), 2),
        # 3D networks normalise each sample by itself.
        ("Unet", UNET | {"is_2d": False}, (8, 8, 8), None),
        ("Unet", UNET | {"is_2d": False}, (16, 8, 8), 1),
        ("Modified3DUNet", {"in_channel": 1, "out_channel": 1, "n_filters": 2}, (16, 16, 16), None),
        # The classifiers halve five times.
        ("resnet18", CLASSIFIER, (32, 32), 2),
        ("resnet18", CLASSIFIER, (32, 64), 1),
        ("densenet121", CLASSIFIER, (32, 32), 2),
        ("Countception", {"in_channel": 1, "out_channel": 1}, (8, 8), 1),
    ],
)
def test_networks(name, arguments, size, expected):
    state = torch.get_rng_state()
    assert least_batch(name, arguments, size) == expected
    assert torch.equal(torch.get_rng_state(), state)


def test_large_samples_are_not_computed(monkeypatch):
    monkeypatch.setattr("ivadomed.models.least_batch.build_model", None)
    assert least_batch("Unet", UNET, (512, 512)) == 1
