"""Derived values, by hand, for today's and for old configurations."""

import json
import os
from pathlib import Path

import pytest

from ivadomed.config import load_config
from ivadomed.config.schema.run import Architecture


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


def residual(section=None, transformation=None, **default):
    return load_config(
        {
            "default_model": default,
            "ResidualEncoderUnet": {"applied": True, **(section or {})},
            "transformation": transformation or {},
        }
    ).architecture.arguments


def test_residual_encoder_is_sized_by_patch_and_voxels():
    resample = {"Resample": {"hspace": 5, "wspace": 1.5625, "dspace": 1.5625}}
    arguments = residual({"length_3D": [20, 256, 224], "n_filters": 8}, resample, is_2d=False)
    assert arguments == {
        "in_channel": 1,
        "out_channel": 1,
        "is_2d": False,
        "final_activation": "sigmoid",
        "depth": 5,
        "n_filters": 8,
        "n_blocks": [1, 3, 4, 6, 6, 6],
        "strides": [[1, 2, 2], [2, 2, 2], [2, 2, 2], [1, 2, 2], [1, 2, 2]],
        "kernel_sizes": [[1, 3, 3], *[[3, 3, 3]] * 5],
    }


def test_residual_encoder_without_resampling_takes_voxels_for_isotropic():
    arguments = residual({"length_3D": [40, 56, 40]}, is_2d=False)
    assert arguments["strides"] == [[2, 2, 2]] * 3
    assert arguments["n_filters"] == 32


def test_residual_encoder_on_whole_slices_takes_the_last_crop():
    crops = {"CenterCrop": {"size": [256, 256]}, "BoundingBoxCrop": {"size": [32, 64]}}
    assert residual(transformation=crops)["strides"] == [[2, 2]] * 3
    assert residual({"length_2D": [16, 16], "stride_2D": [16, 16]}, crops)["depth"] == 2


def test_residual_encoder_does_not_take_depth_and_dropout_of_the_other_unets():
    arguments = residual({"length_2D": [64, 64]}, depth=2, dropout_rate=0.3, final_activation="relu")
    assert arguments["depth"] == 4
    assert "dropout_rate" not in arguments
    assert arguments["final_activation"] == "relu"
    own = {
        "depth": 2,
        "dropout_rate": 0.1,
        "max_filters": 40,
        "n_blocks": [1, 2, 3],
        "deep_supervision": False,
    }
    arguments = residual(own)
    assert own.items() <= arguments.items()
    default = {"name": "ResidualEncoderUnet", "depth": 2, "dropout_rate": 0.1}
    arguments = load_config({"default_model": default}).architecture.arguments
    assert (arguments["depth"], arguments["dropout_rate"]) == (2, 0.1)


def test_a_class_of_ones_own_gets_its_arguments_and_what_is_derived():
    content = {
        "default_model": {"name": "pkg.nets:Net", "relu": True, "sizes": [1, [2, 3]], "in_channel": 5},
        "loader_parameters": {"target_suffix": ["_a", "_b"]},
    }
    config = load_config(content)
    expected = {"relu": True, "sizes": [1, [2, 3]], "in_channel": 5, "out_channel": 3, "is_2d": True}
    assert config.architecture == Architecture("pkg.nets:Net", expected)
    assert config.task == "segmentation"
    again = load_config(json.loads(json.dumps(config.to_json())))
    assert again.architecture == config.architecture
    assert again.to_json() == config.to_json()
    content["default_model"]["sizes"] = [1, [2, 4]]
    assert load_config(content).to_json() != config.to_json()


def test_classifiers_take_channels_and_classes():
    contrasts = {"training_validation": ["T1w", "T2w"]}
    loader = {"multichannel": True, "contrast_params": contrasts, "target_suffix": ["_a", "_b"]}
    config = load_config({"loader_parameters": loader, "densenet121": {"applied": True, "dropout_rate": 0.1}})
    assert config.architecture.arguments == {"dropout_rate": 0.1, "in_channel": 2, "num_classes": 3}


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
    assert len(places) == len(set(places)) == 24
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


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (
            {"training_parameters": {"batch_size": 4}, "transformation": {"CenterCrop": {"size": [64, 32]}}},
            {
                "training_parameters.batch_size": 4,
                "transformation.CenterCrop.size": [64, 32],
                "default_model.n_filters": "the default",
            },
        ),
        (
            {"default_model": {"n_filters": 8, "length_2D": [32, 48], "stride_2D": [32, 48]}},
            {
                "training_parameters.batch_size": 18,
                "default_model.length_2D": [32, 48],
                "default_model.n_filters": 8,
            },
        ),
        (
            {"Modified3DUNet": {"applied": True, "length_3D": [16, 32, 16], "n_filters": 4}},
            {
                "training_parameters.batch_size": 18,
                "Modified3DUNet.length_3D": [16, 32, 16],
                "Modified3DUNet.n_filters": 4,
            },
        ),
        (
            {"default_model": {"name": "my.module:Network"}},
            {"training_parameters.batch_size": 18, "transformation.CenterCrop.size": "none"},
        ),
    ],
)
def test_keys_that_decide_about_memory(content, expected):
    assert load_config(content).memory_keys == expected
