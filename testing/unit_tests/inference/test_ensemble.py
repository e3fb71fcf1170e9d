"""Ensembles: joined from packaged models, averaged with equal weights."""

import json

import numpy as np
import pytest
import torch

from ivadomed.inference import segment_volume
from ivadomed.inference.ensemble import join_models


def values(images):
    return np.stack([np.asanyarray(image.dataobj) for image in images])


def predicted(folder, picture, **options):
    return values(segment_volume(folder, picture, gpu_id=None, options=options)[0])


@pytest.fixture
def model(package):
    """Return a function that writes a packaged model whose weights differ by its seed."""

    def make(name, seed=0, **options):
        folder = package(name, **options)
        for file in folder.glob("*.pt"):
            content = torch.load(file, weights_only=True)
            torch.manual_seed(seed)
            noise = {
                key: value + 0.1 * torch.randn(value.shape) if value.is_floating_point() else value
                for key, value in content["state_dict"].items()
                if "running_var" not in key
            }
            torch.save({**content, "state_dict": content["state_dict"] | noise}, file)
        return folder

    return make


def test_the_prediction_is_the_mean_of_those_of_the_members(model, image, tmp_path):
    members = [model(f"m{seed}", seed) for seed in range(3)]
    path = image()
    folder = join_models(members, tmp_path / "all")
    assert sorted(file.name for file in folder.iterdir()) == ["all.json", "all_0.pt", "all_1.pt", "all_2.pt"]
    alone = [predicted(member, path) for member in members]
    assert np.abs(alone[0] - alone[1]).max() > 0.01
    np.testing.assert_allclose(predicted(folder, path), np.mean(alone, axis=0), atol=1e-6)
    assert json.loads((folder / "all.json").read_text())["ensemble"] == [{"model": f"m{n}"} for n in range(3)]


def test_members_for_which_images_are_prepared_differently(model, image, tmp_path):
    resampled = {
        "Resample": {"hspace": 2, "wspace": 2, "dspace": 2},
        "NormalizeInstance": {"applied_to": ["im"]},
    }
    members = [
        model("m0", 0),
        model("m1", 1, transforms=resampled),
        model("m2", 2, loader={"slice_axis": "sagittal"}),
        model("m3", 3),
    ]
    path = image()
    folder = join_models(members, tmp_path / "all")
    alone = [predicted(member, path) for member in members]
    np.testing.assert_allclose(predicted(folder, path), np.mean(alone, axis=0), atol=1e-6)
