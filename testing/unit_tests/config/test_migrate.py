"""Every row of the table of old keys, one warning per key, the argument untouched."""

from copy import deepcopy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ivadomed.config import RunConfig, migrate
from ivadomed.config.migrate import RENAMED
from ivadomed.transforms.base import OLD_NAMES


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ({"gpu": 7}, {"gpu_ids": [7]}),
        ({"gpu": None}, {"gpu_ids": []}),
        ({"gpu": -1}, {"gpu_ids": []}),
        ({"log_directory": "out"}, {"path_output": "out"}),
        ({"loader_parameters": {"bids_path": "d"}}, {"loader_parameters": {"path_data": "d"}}),
        (
            {"loader_parameters": {"slice_filter": {"filter_empty_mask": True}}},
            {"loader_parameters": {"slice_filter_params": {"filter_empty_mask": True}}},
        ),
        (
            {"loader_parameters": {"roi": {"suffix": "_seg"}}},
            {"loader_parameters": {"roi_params": {"suffix": "_seg"}}},
        ),
        (
            {"loader_parameters": {"roi_suffix": "_seg"}},
            {"loader_parameters": {"roi_params": {"suffix": "_seg"}}},
        ),
        ({"split_dataset": {"method": "per_patient"}}, {"split_dataset": {"split_method": "participant_id"}}),
        ({"split_dataset": {"method": "per_center"}}, {"split_dataset": {"split_method": "institution_id"}}),
        (
            {"split_dataset": {"split_method": "per_center"}},
            {"split_dataset": {"split_method": "institution_id"}},
        ),
        (
            {"split_dataset": {"center_test": ["unf"]}},
            {"split_dataset": {"data_testing": {"data_type": "institution_id", "data_value": ["unf"]}}},
        ),
        (
            {"split_dataset": {"center_test": []}},
            {"split_dataset": {"data_testing": {"data_type": None, "data_value": []}}},
        ),
        (
            {"training_parameters": {"balance_samples": True}},
            {"training_parameters": {"balance_samples": {"applied": True, "type": "gt"}}},
        ),
        (
            {"training_parameters": {"scheduler": {"lr_scheduler": {"base_lr": 1e-5}}}},
            {
                "training_parameters": {
                    "scheduler": {"lr_scheduler": {"base_lr": 1e-5, "name": "CosineAnnealingLR"}}
                }
            },
        ),
        ({"UNet3D": {"applied": True}}, {"Modified3DUNet": {"applied": True}}),
        ({"default_model": {"name": "UNet3D"}}, {"default_model": {"name": "Modified3DUNet"}}),
        ({"Modified3DUNet": {"attention_unet": True}}, {"Modified3DUNet": {"attention": True}}),
        ({"default_model": {"batch_norm_momentum": 0.1}}, {"default_model": {"bn_momentum": 0.1}}),
        ({"default_model": {"relu": True}}, {"default_model": {"final_activation": "relu"}}),
        ({"default_model": {"relu": False}}, {"default_model": {}}),
        ({"FiLMedUnet": {"metadata": "contrast"}}, {"FiLMedUnet": {"metadata": "contrasts"}}),
        ({"testing_parameters": {"uncertainty": {"n_it": 2}}}, {"uncertainty": {"n_it": 2}}),
        (
            {"testing_parameters": {"binarize_prediction": True}},
            {"postprocessing": {"binarize_prediction": {"thr": 0.5}}},
        ),
        (
            {"testing_parameters": {"binarize_prediction": 0.7}},
            {"postprocessing": {"binarize_prediction": {"thr": 0.7}}},
        ),
        ({"testing_parameters": {"binarize_prediction": False}}, {"postprocessing": {}}),
        ({"testing_parameters": {"binarize_prediction": -1}}, {"postprocessing": {}}),
        (
            {"testing_parameters": {"binarize_prediction": True}, "postprocessing": {"fill_holes": {}}},
            {"postprocessing": {"fill_holes": {}}},
        ),
        (
            {"evaluation_parameters": {"targetSize": {"thr": [20, 100]}}},
            {"evaluation_parameters": {"target_size": {"thr": [20, 100]}}},
        ),
        (
            {"evaluation_parameters": {"removeSmall": {"thr": 3}}},
            {"evaluation_parameters": {"remove_small": {"thr": 3}}},
        ),
        (
            {"transformation": {"CenterCrop2D": {"size": [8, 8]}}},
            {"transformation": {"CenterCrop": {"size": [8, 8]}}},
        ),
        ({"transformation": {"CenterCrop3D": {}}}, {"transformation": {"CenterCrop": {}}}),
        ({"transformation": {"ROICrop2D": {}}}, {"transformation": {"ROICrop": {}}}),
        ({"transformation": {"Clage": {}}}, {"transformation": {"Clahe": {}}}),
        ({"transformation": {"NumpyToTensor": {}}}, {"transformation": {}}),
        (
            {"transformation": {"RandomReverse": {"preprocessing": True}}},
            {"transformation": {"RandomReverse": {}}},
        ),
        ({"loader_parameters": {"model_params": {"a": 1}}}, {"loader_parameters": {}}),
        ({"loader_parameters": {"object_detection_params": {}}}, {"loader_parameters": {}}),
        ({"object_detection_params": {"gpu": 1}}, {"object_detection_params": {}}),
        ({"default_model": {"in_channel": 1}}, {"default_model": {}}),
        ({"default_model": {"applied": True}}, {"default_model": {}}),
        (
            {"default_model": {"folder_name": "m"}, "model_name": "n"},
            {"default_model": {}, "model_name": "n"},
        ),
        ({"default_model": {"folder_name": "m"}}, {"default_model": {}, "model_name": "m"}),
        ({"mixup_bool": False}, {}),
        ({"training_sha256": {"sub-01_T1w.nii.gz": "0a"}}, {}),
        ({"loader_parameters": {"training_sha256": {}}}, {"loader_parameters": {}}),
        (
            {"split_dataset": {"data_testing": {"training_sha256": 1}}},
            {"split_dataset": {"data_testing": {}}},
        ),
        ({"HeMISUnet": {"ram": True}}, {"HeMISUnet": {}}),
        ({"HeMISUnet": {"hdf5_path": "a.hdf5"}}, {"HeMISUnet": {}}),
        ({"HeMISUnet": {"name": "HeMISUnet"}}, {"HeMISUnet": {}}),
        ({"Modified3DUNet": {"name": "Modified3DUNet"}}, {"Modified3DUNet": {}}),
        ({"Modified3DUNet": {"padding_3D": 0}}, {"Modified3DUNet": {}}),
        ({"default_model": {"padding_3D": 0}}, {"default_model": {}}),
        ({"default_model": {"is_2D": False}}, {"default_model": {"is_2d": False}}),
        ({"loader_parameters": {"validate_BIDS": False}}, {"loader_parameters": {"bids_validate": False}}),
        ({"validate_BIDS": False}, {"loader_parameters": {"bids_validate": False}}),
        (
            {"loader_parameters": {"slice_filter_params": {"filter_empty_mask_patch": True}}},
            {
                "loader_parameters": {
                    "slice_filter_params": {},
                    "patch_filter_params": {"filter_empty_mask": True},
                }
            },
        ),
        ({"gpu_ids": 2}, {"gpu_ids": [2]}),
        (
            {"training_parameters": {"scheduler": {"lr_scheduler": {"name": "CyclicLR", "last_epoch": -1}}}},
            {"training_parameters": {"scheduler": {"lr_scheduler": {"name": "CyclicLR"}}}},
        ),
    ],
)
def test_one_old_key(old, new):
    before = deepcopy(old)
    result, warnings = migrate(old)
    assert result == new
    assert len(warnings) == 1
    assert old == before


def test_an_old_section_that_is_null_is_not_there():
    assert migrate({"testing_parameters": None}) == ({}, [])


def test_all_keys_of_the_old_hemis_section():
    keys = ("ram", "hdf5_path", "path_hdf5", "csv_path", "target_lst", "roi_lst", "contrasts", "name")
    result, warnings = migrate({"HeMISUnet": {"applied": True, **dict.fromkeys(keys, "x")}})
    assert result == {"HeMISUnet": {"applied": True}}
    assert sorted(line.split(":")[0] for line in warnings) == sorted(f"HeMISUnet.{key}" for key in keys)


def test_old_names_in_sequence():
    old = {
        "loader_parameters": {
            "contrasts": {"train_validation": ["T1w"], "test": ["T2w"], "contrast_lst": ["T1w"]}
        }
    }
    result, warnings = migrate(old)
    expected = {"training_validation": ["T1w"], "testing": ["T2w"]}
    assert result == {"loader_parameters": {"contrast_params": expected}}
    assert len(warnings) == 4


def test_the_new_name_wins_over_the_old():
    result, warnings = migrate({"gpu": 1, "gpu_ids": [2], "log_directory": "a", "path_output": "b"})
    assert result == {"gpu_ids": [2], "path_output": "b"}
    assert len(warnings) == 2
    assert all("ignored" in warning for warning in warnings)


def test_order_is_kept():
    old: dict = {
        "transformation": {"ROICrop2D": {}, "RandomReverse": {}, "NumpyToTensor": {}, "NormalizeInstance": {}}
    }
    result, _ = migrate(old)
    assert list(result["transformation"]) == ["ROICrop", "RandomReverse", "NormalizeInstance"]


def test_warnings_name_the_full_path():
    _, warnings = migrate({"default_model": {"name": "UNet3D", "out_channel": 1}})
    assert [warning.split(":")[0] for warning in warnings] == [
        "default_model.name",
        "default_model.out_channel",
    ]


def test_unknown_keys_stay_in_sight():
    tree = {"foo": 1, "testing_parameters": {"bar": 2}, "loader_parameters": {"baz": 3}}
    assert migrate(tree) == (tree, [])


@pytest.mark.parametrize(
    "section", ["loader_parameters", "split_dataset", "transformation", "testing_parameters"]
)
def test_sections_of_a_wrong_type_are_left_to_the_validation(section):
    for value in (3, "text", [1]):
        assert migrate({section: value}) == ({section: value}, [])


def test_todays_configuration_needs_no_migration():
    plain = RunConfig().to_json()
    assert migrate(plain) == (plain, [])


keys = st.sampled_from(
    ["gpu", "gpu_ids", "log_directory", "UNet3D", "metadata", "method", "bids_path", "size", "name", "relu"]
)
sections = st.sampled_from(
    ["default_model", "UNet3D", "loader_parameters", "split_dataset", "transformation", "testing_parameters"]
)
values = st.one_of(
    st.none(), st.booleans(), st.integers(-1, 3), st.text(max_size=3), st.lists(st.integers(), max_size=2)
)


@given(st.dictionaries(st.one_of(keys, sections), st.one_of(values, st.dictionaries(keys, values))))
def test_migrating_twice_changes_nothing(tree):
    once, _ = migrate(tree)
    assert migrate(once) == (once, [])


def test_old_names_of_transforms_are_those_of_python():
    assert OLD_NAMES.items() <= RENAMED["transformation"].items()
