"""Training on patches at random places, with every new transform, through the command line."""

import json

import numpy as np
import pytest

from ivadomed.config import load_config
from ivadomed.loader.build import cases_of, draw_split, index_data, sample_dataset
from ivadomed.main import main


@pytest.fixture
def patches(config):
    """The small configuration with patches in 2D or 3D."""

    def make(is_2d: bool, **params) -> dict:
        config["training_parameters"]["training_time"]["num_epochs"] = 1
        config["loader_parameters"]["contrast_params"]["training_validation"] = ["T2w"]
        config["loader_parameters"]["contrast_params"]["testing"] = ["T2w"]
        config["loader_parameters"]["random_patch_params"] = {"applied": True, **params}
        config["transformation"] |= {
            "Resample": {"hspace": 1.5, "wspace": 1.5, "dspace": 3},
            "RandomAffine": {
                "degrees": 5,
                "translate": [3, 3],
                "physical": True,
                "dataset_type": ["training"],
            },
            "ElasticTransform": {"alpha_range": [20, 30], "sigma_range": [5, 6], "p": 0.5, "physical": True},
            "NormalizeInstance": {"foreground": True, "applied_to": ["im"]},
            "RandomMirror": {"p": 0.5, "dataset_type": ["training"]},
            "RandomLowResolution": {"dataset_type": ["training"]},
            "RandomBrightness": {"dataset_type": ["training"]},
            "RandomContrast": {"dataset_type": ["training"]},
        }
        config["transformation"]["ElasticTransform"]["dataset_type"] = ["training"]
        if is_2d:
            config["default_model"] |= {"length_2D": [16, 16], "stride_2D": [16, 16]}
        else:
            config["transformation"]["CenterCrop"] = {"size": [32, 32, 16]}
            config["default_model"] = {"name": "Modified3DUNet", "length_3D": [32, 16, 16], "n_filters": 2}
        return config

    return make


@pytest.mark.parametrize("is_2d", [True, False])
def test_train_and_test(patches, tmp_path, is_2d):
    path = tmp_path / "config.json"
    path.write_text(json.dumps(patches(is_2d, per_image=6)))
    for command in ("--train", "--test"):
        assert main([command, "-c", str(path)]) == 0
    assert (tmp_path / "out put" / "results_eval" / "evaluation_3Dmetrics.csv").is_file()


@pytest.mark.parametrize("is_2d", [True, False])
def test_training_draws_places_and_validation_tiles(patches, tmp_path, is_2d):
    config = load_config(patches(is_2d, foreground=1.0, per_image=20))
    table = index_data(config, tmp_path)
    cases = cases_of(config, table, draw_split(config, table, tmp_path)["train"], "training").cases
    training, validation = (
        sample_dataset(config, cases, kind, tmp_path) for kind in ("training", "validation")
    )
    assert len(training) == 20 * len(cases)
    assert training[(1, 0)].image.shape[1:] == config.length
    assert np.mean([training[(1, i)].target.any() for i in range(len(training))]) > 0.9
    windows = [training[(epoch, 0)].window for epoch in range(5)]
    assert len(set(windows)) > 1
    assert [validation[(epoch, 3)].window for epoch in range(3)] == [validation.windows[3]] * 3
