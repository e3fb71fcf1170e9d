"""Values of hyperparameters and the configurations that they make."""

import json
import math
import re
from copy import deepcopy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ivadomed.errors import ConfigError
from ivadomed.sweep.hyperparameters import (
    HyperparameterOption,
    folder_name,
    get_base_keys,
    get_param_list,
    keys_are_unique,
    make_config_list,
    option_at,
    update_dict,
    value_at,
)

CONFIG = {
    "training_parameters": {"batch_size": 18, "loss": {"name": "DiceLoss"}},
    "default_model": {"name": "Unet", "dropout_rate": 0.3, "depth": 3},
    "path_output": "out",
}
PARAMETERS = {
    "training_parameters": {
        "batch_size": [2, 64],
        "loss": [{"name": "DiceLoss"}, {"name": "FocalLoss", "gamma": 0.2}],
    },
    "default_model": {"depth": [2, 3, 4]},
}
OPTIONS = get_param_list(PARAMETERS, [], [])


def chosen(configs: list[dict]) -> list[tuple]:
    return [
        (
            c["training_parameters"]["batch_size"],
            c["training_parameters"]["loss"]["name"],
            c["default_model"]["depth"],
        )
        for c in configs
    ]


def test_options_of_a_parameter_file():
    assert [option.base_key for option in OPTIONS] == ["batch_size"] * 2 + ["loss"] * 2 + ["depth"] * 3
    assert OPTIONS[3].option == {"training_parameters": {"loss": {"name": "FocalLoss", "gamma": 0.2}}}
    assert OPTIONS[3].base_option == {"name": "FocalLoss", "gamma": 0.2}
    assert OPTIONS[3].path == ("training_parameters", "loss")
    assert OPTIONS[6].name == "-depth-4"
    assert get_base_keys(OPTIONS) == ["batch_size", "loss", "depth"]


def test_option_at_the_top_level():
    [option] = get_param_list({"model_name": ["a/b"]}, [], [])
    assert option == HyperparameterOption("model_name", {"model_name": "a/b"}, "a/b")
    assert option.name == "-model_name-a_b"
    assert option.path == ("model_name",)


def test_options_that_come_before_stay():
    before = [HyperparameterOption("a", {"a": 1}, 1)]
    assert get_param_list({"b": [2]}, before, []) == [*before, HyperparameterOption("b", {"b": 2}, 2)]
    assert len(before) == 1


@pytest.mark.parametrize("value", [3, [], {}, "text", None])
def test_what_is_no_list_of_values_is_an_error(value):
    with pytest.raises(ConfigError, match=r"default_model\.depth: .*; expected a list of values"):
        get_param_list({"default_model": {"depth": value}}, [], [])


def test_long_names_are_cut_and_stay_apart():
    names = {option_at(["a"], {"text": "x" * 300 + end}).name for end in "12"}
    assert len(names) == 2
    assert all(len(name) < 200 for name in names)


def test_one_option_at_a_time():
    configs = make_config_list(OPTIONS, CONFIG, all_combin=False, multi_params=False)
    assert chosen(configs) == [
        (2, "DiceLoss", 3),
        (64, "DiceLoss", 3),
        (18, "DiceLoss", 3),
        (18, "FocalLoss", 3),
        (18, "DiceLoss", 2),
        (18, "DiceLoss", 3),
        (18, "DiceLoss", 4),
    ]
    assert configs[0]["path_output"] == "out-batch_size=2"
    assert configs[4]["path_output"] == "out-depth=2"


def test_all_combinations():
    configs = make_config_list(OPTIONS, CONFIG, all_combin=True, multi_params=False)
    assert chosen(configs) == [
        (b, x, d) for b in (2, 64) for x in ("DiceLoss", "FocalLoss") for d in (2, 3, 4)
    ]
    assert configs[0]["path_output"] == "out-batch_size=2-loss={'name': 'DiceLoss'}-depth=2"
    assert len({config["path_output"] for config in configs}) == 12


def test_all_combinations_win_over_parameters_together():
    both = make_config_list(OPTIONS, CONFIG, all_combin=True, multi_params=True)
    assert both == make_config_list(OPTIONS, CONFIG, all_combin=True, multi_params=False)


def test_folders_of_a_sweep_are_short_and_safe_in_a_shell():
    configs = make_config_list(OPTIONS, CONFIG, True, False, folder_name)
    assert configs[0]["path_output"] == "out-batch_size=2,loss=DiceLoss,depth=2"
    assert configs[3]["path_output"] == "out-batch_size=2,loss=FocalLoss-gamma=0.2,depth=2"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(st.lists(st.tuples(st.text(min_size=1), JSON), min_size=1, max_size=4))
def test_names_of_folders_are_words_of_a_shell(pairs):
    name = folder_name([option_at([key], value) for key, value in pairs])
    assert re.fullmatch(r"[\w.+=,-]+", name)
    assert name.startswith("-")
    assert len(name) <= 121


@pytest.mark.parametrize(
    ("value", "word"),
    [
        ([32, 48], "32x48"),
        (["_a", "_b"], "_a+_b"),
        ({"size": [32, 48]}, "size=32x48"),
        ({"name": "OneCycleLR", "max_lr": 1e-05}, "OneCycleLR-max_lr=1e-05"),
        ("a b/c,d", "a_b_c_d"),
        (True, "True"),
        (None, "None"),
        ({}, "none"),
    ],
)
def test_values_in_names_of_folders(value, word):
    assert folder_name([option_at(["k"], value)]) == f"-k={word}"


def test_values_that_are_written_alike_have_folders_of_their_own():
    options = get_param_list({"model_name": ["a b", "a/b"]}, [], [])
    configs = make_config_list(options, CONFIG, False, False, folder_name)
    assert len({config["path_output"] for config in configs}) == 2


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("all_combin", "multi_params", "expected"),
    [
        (True, False, "all_combin"),
        (True, True, "all_combin"),
        (False, True, "multi_params"),
        (False, False, "neither"),
    ],
)
def test_configurations_that_2_9_makes(real_data, all_combin, multi_params, expected):
    file = real_data / "data_testing" / "automate_training_data.json"
    data = json.loads(file.read_text())
    focal = {"name": "FocalLoss", "gamma": 0.2, "alpha": 0.5}
    parameters = {
        "training_parameters": {"batch_size": [2, 64], "loss": [{"name": "DiceLoss"}, focal]},
        "default_model": {"depth": [2, 3, 4]},
        "gpu_ids": [[2], [5]],
    }
    options = get_param_list(parameters, [], [])
    made = make_config_list(options, data["initial_config"], all_combin, multi_params)

    def by_path(config):
        return config["path_output"]

    assert sorted(made, key=by_path) == sorted(data[f"expected_config_list_{expected}"], key=by_path)


def test_several_parameters_together_as_far_as_the_shortest_list_goes(caplog):
    configs = make_config_list(OPTIONS, CONFIG, all_combin=False, multi_params=True)
    assert chosen(configs) == [(2, "DiceLoss", 2), (64, "FocalLoss", 3)]
    assert "default_model.depth: 1 of its 3 values are left out" in caplog.text


def test_section_of_an_option_replaces_the_old_one():
    config = {**CONFIG, "training_parameters": {"loss": {"name": "FocalLoss", "gamma": 0.2}}}
    [dice, _] = make_config_list(OPTIONS[2:4], config, False, False)
    assert dice["training_parameters"]["loss"] == {"name": "DiceLoss"}


def test_keys_of_one_name_in_two_sections_are_two_parameters():
    options = get_param_list({"a": {"name": [1, 2]}, "b": {"name": [1, 2]}}, [], [])
    assert not keys_are_unique(options)
    assert keys_are_unique(options[:1])
    config = {"a": {"name": 0}, "b": {"name": 0}, "path_output": "out"}
    combined = make_config_list(options, config, True, False)
    assert [(c["a"]["name"], c["b"]["name"]) for c in combined] == [(1, 1), (1, 2), (2, 1), (2, 2)]
    alone = make_config_list(options, config, False, False)
    assert len({c["path_output"] for c in alone}) == 4


@pytest.mark.parametrize(
    ("base_key", "expected"),
    [
        ("zag", {"foo": {"bar": "text", "baz": {"zag": 7}}}),
        ("baz", {"foo": {"bar": "text", "baz": {"zag": 7}}}),
        ("foo", {"foo": {"baz": {"zag": 7}}}),
    ],
)
def test_update_replaces_the_base_key(base_key, expected):
    before = {"foo": {"bar": "text", "baz": {"zag": 5}}}
    assert update_dict(before, {"foo": {"baz": {"zag": 7}}}, base_key) == expected
    assert before == {"foo": {"bar": "text", "baz": {"zag": 5}}}


def test_update_makes_sections_that_are_not_there():
    assert update_dict({"a": None}, {"a": {"b": {"c": 1}}}, "c") == {"a": {"b": {"c": 1}}}


TREES = st.dictionaries(st.sampled_from("abc"), st.dictionaries(st.sampled_from("xyz"), st.integers()))


@given(TREES, st.sampled_from("abc"), st.sampled_from("xyz"), st.integers())
def test_option_is_found_where_it_was_put_and_nothing_else_changes(tree, section, key, value):
    option = option_at([section, key], value)
    before = deepcopy(tree)
    changed = update_dict(tree, option.option, option.base_key)
    assert tree == before
    assert value_at(changed, option.path) == value
    changed[section] = {k: v for k, v in changed[section].items() if k != key}
    assert changed == {**tree, section: {k: v for k, v in tree.get(section, {}).items() if k != key}}


def test_value_that_is_not_there_is_nan():
    assert math.isnan(value_at({"a": 1}, ("a", "b")))
