"""Derived values, by hand, for today's and for old configurations."""

import json
import os
from pathlib import Path

import pytest

from ivadomed.config import load_config


def test_default_is_a_2d_unet_on_whole_slices():
    config = load_config({})
    assert config.architecture.name == "Unet"
    assert config.architecture.arguments == {
        "depth": 3,
        "dropout_rate": 0.3,
        "bn_momentum": 0.1,
        "final_activation": "sigmoid",
        "in_channel": 1,
        "out_channel": 1,
        "is_2d": True,
    }
    assert (config.length, config.stride) == ((), ())
    assert config.metadata_type is None
    assert config.model_folder == Path("output/my_model")


@pytest.mark.parametrize(("n_targets", "n_channels"), [(0, 1), (1, 1), (2, 3), (3, 4)])
def test_out_channel_adds_the_background_to_several_classes(n_targets, n_channels):
    suffixes = [f"_class{index}" for index in range(n_targets)]
    assert load_config({"loader_parameters": {"target_suffix": suffixes}}).out_channel == n_channels


@pytest.mark.parametrize(("multichannel", "expected"), [(False, 1), (True, 3)])
def test_in_channel(multichannel, expected):
    contrasts = {"training_validation": ["T1w", "T2w", "T2star"]}
    config = load_config({"loader_parameters": {"multichannel": multichannel, "contrast_params": contrasts}})
    assert config.in_channel == expected
    assert config.architecture.arguments["in_channel"] == expected


@pytest.mark.parametrize(("axis", "index"), [("sagittal", 0), ("coronal", 1), ("axial", 2)])
def test_slice_axis(axis, index):
    assert load_config({"loader_parameters": {"slice_axis": axis}}).slice_axis_index == index


def test_section_over_default_model():
    config = load_config(
        {
            "default_model": {"dropout_rate": 0.2, "n_filters": 32, "is_2d": True, "depth": 2},
            "Modified3DUNet": {"applied": True, "length_3D": [32, 32, 16], "n_filters": 4, "attention": True},
        }
    )
    assert config.architecture.name == "Modified3DUNet"
    assert config.architecture.arguments == {
        "n_filters": 4,
        "attention": True,
        "dropout_rate": 0.2,
        "bn_momentum": 0.1,
        "final_activation": "sigmoid",
        "in_channel": 1,
        "out_channel": 1,
    }
    assert config.is_2d is False
    assert (config.length, config.stride) == ((32, 32, 16), (32, 32, 16))


def test_architecture_named_in_default_model_takes_its_section():
    config = load_config(
        {
            "default_model": {"name": "Modified3DUNet", "length_3D": [32, 32, 32], "stride_3D": [16, 16, 16]},
            "Modified3DUNet": {"n_filters": 8},
        }
    )
    assert config.architecture.arguments["n_filters"] == 8
    assert (config.length, config.stride) == ((32, 32, 32), (16, 16, 16))


def test_a_section_that_is_not_applied_has_no_effect():
    config = load_config({"Modified3DUNet": {"applied": False, "dropout_rate": 0.9, "length_3D": [8, 8, 8]}})
    assert config.architecture.name == "Unet"
    assert config.architecture.arguments["dropout_rate"] == 0.3
    assert config.length == ()


def test_2d_patches():
    config = load_config({"default_model": {"length_2D": [256, 128], "stride_2D": [244, 100]}})
    assert (config.length, config.stride) == ((256, 128), (244, 100))


def test_3d_unet():
    config = load_config({"default_model": {"is_2d": False, "length_3D": [16, 16, 16]}})
    assert config.architecture.arguments["is_2d"] is False
    assert config.length == (16, 16, 16)


def test_film():
    config = load_config({"FiLMedUnet": {"applied": True}, "default_model": {"depth": 2}})
    assert config.architecture.arguments["film_layers"] == [1] * 6
    assert config.metadata_type == "contrasts"
    config = load_config({"FiLMedUnet": {"applied": True, "metadata": "mri_params"}})
    assert config.metadata_type == "mri_params"


def test_hemis():
    contrasts = {"training_validation": ["T1w", "T2w"]}
    config = load_config(
        {
            "loader_parameters": {"multichannel": True, "contrast_params": contrasts},
            "HeMISUnet": {"applied": True, "missing_probability": 0.25},
        }
    )
    assert config.architecture.arguments["contrasts"] == ["T1w", "T2w"]
    assert "in_channel" not in config.architecture.arguments


@pytest.mark.parametrize("name", ["resnet18", "densenet121"])
def test_classifiers(name):
    for source in ({"default_model": {"name": name}}, {name: {"applied": True}}):
        config = load_config(source)
        assert config.task == "classification"
        assert config.architecture.name == name
        assert config.is_2d


def test_transforms_of_each_set():
    chain = {
        "Resample": {"hspace": 1, "wspace": 2},
        "RandomAffine": {"degrees": 5, "applied_to": ["im"], "dataset_type": ["training"]},
        "NormalizeInstance": {"dataset_type": ["training", "testing"]},
    }
    config = load_config({"transformation": chain})
    resample = {"hspace": 1.0, "wspace": 2.0, "dspace": 1.0}
    assert config.transforms_for("training") == {
        "Resample": resample,
        "RandomAffine": {"degrees": 5, "applied_to": ["im"]},
        "NormalizeInstance": {},
    }
    assert list(config.transforms_for("training")) == list(chain)
    assert config.transforms_for("validation") == {"Resample": resample}
    assert config.transforms_for("testing") == {"Resample": resample, "NormalizeInstance": {}}


def test_contrasts_of_each_set():
    config = load_config(
        {"loader_parameters": {"contrast_params": {"training_validation": ["T1w"], "testing": ["T2w"]}}}
    )
    assert config.contrasts_for("validation") == ("T1w",)
    assert config.contrasts_for("testing") == ("T2w",)
    config = load_config({"loader_parameters": {"contrast_params": {"training_validation": ["T1w"]}}})
    assert config.contrasts_for("testing") == ("T1w",)


def old_3d_model() -> dict:
    """A configuration as a training run of 2020 stored it, with derived values among the keys."""
    arguments = {"length_3D": [512, 256, 32], "stride_3D": [512, 256, 32], "attention": False, "n_filters": 8}
    stored = {"name": "UNet3D", "depth": 4, "bn_momentum": 0.9, "applied": True, "in_channel": 1, **arguments}
    return {
        "gpu": 1,
        "log_directory": "out",
        "object_detection_params": {"safety_factor": [1.0, 1.0, 1.0], "gpu": 1, "log_directory": "out"},
        "loader_parameters": {
            "bids_path": "data",
            "target_suffix": ["_sc-mask"],
            "contrast_params": {"training_validation": ["T2w"], "testing": ["T2w"], "contrast_lst": ["T2w"]},
            "slice_axis": "sagittal",
            "model_params": dict(stored),
        },
        "split_dataset": {"center_test": [], "method": "per_patient"},
        "training_parameters": {
            "balance_samples": False,
            "scheduler": {"lr_scheduler": {"base_lr": 1e-5, "max_lr": 0.01}},
        },
        "default_model": stored,
        "UNet3D": {"applied": True, **arguments},
        "testing_parameters": {"binarize_prediction": True, "uncertainty": {"n_it": 10}},
        "postprocessing": {"binarize_prediction": {"thr": 0.5}, "keep_largest": {}},
        "evaluation_parameters": {"targetSize": {"unit": "vox", "thr": [20, 100]}},
        "transformation": {
            "Resample": {"wspace": 1, "hspace": 1, "dspace": 2, "preprocessing": True},
            "CenterCrop3D": {"size": [512, 256, 32], "preprocessing": True},
            "NumpyToTensor": {},
            "NormalizeInstance": {"applied_to": ["im"]},
        },
    }


def test_old_3d_model(caplog):
    config = load_config(old_3d_model())
    assert config.architecture.name == "Modified3DUNet"
    assert config.architecture.arguments["n_filters"] == 8
    assert config.architecture.arguments["bn_momentum"] == 0.9
    assert config.is_2d is False
    assert config.length == config.stride == (512, 256, 32)
    assert config.slice_axis_index == 0
    assert config.gpu_ids == (1,)
    assert list(config.postprocessing.steps) == ["binarize_prediction", "keep_largest"]
    assert list(config.transforms_for("testing")) == ["Resample", "CenterCrop", "NormalizeInstance"]
    places = [record.getMessage().split(": ")[1] for record in caplog.records]
    assert len(places) == len(set(places)) == 22
    assert "training_parameters.scheduler.lr_scheduler.name" in places


def data_folder() -> Path:
    if "IVADOMED_TEST_DATA" not in os.environ:
        pytest.skip("IVADOMED_TEST_DATA is not set")
    return Path(os.environ["IVADOMED_TEST_DATA"])


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("name", "architecture", "length", "steps"),
    [
        ("findcord_tumor", "Modified3DUNet", (512, 256, 32), ["binarize_prediction", "keep_largest"]),
        ("mice_uqueensland_gm", "Unet", (), ["binarize_prediction"]),
        ("mice_uqueensland_sc", "Unet", (), ["binarize_prediction"]),
        ("model_find_disc_t2", "Countception", (), []),
        ("t2_tumor", "Modified3DUNet", (256, 128, 16), ["binarize_prediction"]),
        ("t2star_sc", "Unet", (), ["binarize_prediction"]),
    ],
)
def test_published_models(name, architecture, length, steps, caplog):
    path = data_folder().parent / "contract" / "published_models" / f"{name}.json"
    if not path.is_file():
        pytest.skip(f"no {path}")
    config = load_config(path)
    assert config.architecture.name == architecture
    assert config.is_2d == (len(length) != 3)
    assert config.length == length
    assert list(config.postprocessing.steps) == steps
    expected = {"gpu", "log_directory", "loader_parameters.bids_path", "transformation.NumpyToTensor"}
    places = [record.getMessage().split(": ")[1] for record in caplog.records]
    assert expected <= set(places)
    assert len(places) == len(set(places))
    caplog.clear()
    assert load_config(json.loads(json.dumps(config.to_json()))) == config
    assert not caplog.records


@pytest.mark.real_data
@pytest.mark.parametrize("name", ["model_config.json", "model_config_test.json"])
def test_configurations_of_the_test_data(name, caplog):
    config = load_config(data_folder() / "data_testing" / name)
    assert config.architecture.name == "Unet"
    assert config.uncertainty.applied
    assert "transformation.NumpyToTensor" in caplog.text
