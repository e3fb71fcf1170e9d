"""The names of ivadomed 2.9 on top of the configuration layer."""

import json
from copy import deepcopy

import pytest

from ivadomed.config_manager import ConfigurationManager, deep_dict_compare, load_json, update
from ivadomed.errors import ConfigError


def test_get_config_merges_defaults_and_migrates(tmp_path):
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"log_directory": "out", "default_model": {"depth": 2}}))
    config = ConfigurationManager(path).get_config()
    assert config["path_output"] == "out"
    assert "log_directory" not in config
    assert config["default_model"]["depth"] == 2
    assert config["default_model"]["name"] == "Unet"
    assert config["training_parameters"]["batch_size"] == 18
    assert json.loads(json.dumps(config)) == config


def test_get_config_refuses_unknown_keys(tmp_path):
    path = tmp_path / "config.json"
    path.write_text('{"modelname": "x"}')
    with pytest.raises(ConfigError, match="did you mean 'model_name'"):
        ConfigurationManager(str(path)).get_config()


def test_load_json(tmp_path):
    path = tmp_path / "x.json"
    path.write_text('{"a": [1, null]}')
    assert load_json(str(path)) == {"a": [1, None]}


def test_update_lays_the_source_over_the_destination():
    source, destination = {"a": {"b": 1}, "c": 2}, {"a": {"b": 0, "d": 3}, "e": 4}
    before = deepcopy((source, destination))
    assert update(source, destination) == {"a": {"b": 1, "d": 3}, "c": 2, "e": 4}
    assert (source, destination) == before


def test_deep_dict_compare_names_each_difference(caplog):
    with caplog.at_level("INFO"):
        lines = deep_dict_compare({"a": {"b": 1}, "c": 2, "d": 5}, {"a": {"b": 0}, "d": 5, "e": 4}, "top")
    assert lines == [
        "top.a.b: 1 instead of 0",
        "top.c: 2 is only in the source",
        "top.e: 4 is only in the destination",
    ]
    assert [record.getMessage() for record in caplog.records] == lines


def test_deep_dict_compare_of_equal_dictionaries():
    assert deep_dict_compare({"a": {"b": [1]}}, {"a": {"b": [1]}}) == []


def test_change_keys_touches_the_named_sections_only(tmp_path):
    manager = ConfigurationManager(tmp_path / "none.json")
    context = {"UNet3D": {"applied": True}, "loader_parameters": {"bids_path": "x"}, "gpu": 1}
    before = deepcopy(context)
    assert manager.change_keys(context, ["UNet3D", "gpu"]) == {
        "loader_parameters": {"bids_path": "x"},
        "Modified3DUNet": {"applied": True},
        "gpu_ids": [1],
    }
    values = manager.change_keys_values({"split_dataset": {"method": "per_patient"}}, ["split_dataset"])
    assert values == {"split_dataset": {"split_method": "participant_id"}}
    assert context == before
