"""Loading: errors of all kinds at once, overrides, round trips, warnings, light import."""

import json
import logging
import os
import pickle
import subprocess
import sys
from copy import deepcopy
from functools import reduce
from operator import getitem
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ivadomed
from ivadomed.config import CONFIG_DIR, RunConfig, load_config
from ivadomed.config.tree import expand, merged
from ivadomed.errors import ConfigError


def problems_of(source, overrides=None) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load_config(source, overrides)
    head, *lines = str(caught.value).split("\n")
    assert head.endswith("problem" if len(lines) == 1 else "problems")
    return [line.strip() for line in lines]


@pytest.mark.parametrize(
    ("source", "line"),
    [
        ({"comand": "train"}, "comand: unknown key; did you mean 'command'?"),
        (
            {"loader_parameters": {"slice_axsi": "axial"}},
            "loader_parameters.slice_axsi: unknown key; did you mean 'slice_axis'?",
        ),
        (
            {"loader_parameters": {"contrast_params": {"train_valid": []}}},
            "loader_parameters.contrast_params.train_valid: unknown key; did you mean 'training_validation'?",
        ),
        (
            {"training_parameters": {"training_time": {"num_epoch": 3}}},
            "training_parameters.training_time.num_epoch: unknown key; did you mean 'num_epochs'?",
        ),
        (
            {"training_parameters": {"loss": {"name": "FocalLoss", "gama": 3}}},
            "training_parameters.loss.gama: unknown key; did you mean 'gamma'?",
        ),
        (
            {"training_parameters": {"scheduler": {"lr_scheduler": {"name": "CyclicLR", "baselr": 1}}}},
            "training_parameters.scheduler.lr_scheduler.baselr: unknown key; did you mean 'base_lr'?",
        ),
        ({"default_model": {"dept": 3}}, "default_model.dept: unknown key; did you mean 'depth'?"),
        (
            {"Modified3DUNet": {"lenght_3D": [1, 1, 1]}},
            "Modified3DUNet.lenght_3D: unknown key; did you mean 'length_3D'?",
        ),
        (
            {"transformation": {"Resampel": {}}},
            "transformation.Resampel: unknown key; did you mean 'Resample'?",
        ),
        (
            {"transformation": {"RandomAffine": {"degres": 1}}},
            "transformation.RandomAffine.degres: unknown key; did you mean 'degrees'?",
        ),
        (
            {"postprocessing": {"fill_hole": {}}},
            "postprocessing.fill_hole: unknown key; did you mean 'fill_holes'?",
        ),
        (
            {"num_epochs": 3},
            "num_epochs: unknown key; did you mean 'training_parameters.training_time.num_epochs'?",
        ),
        ({"command": "trian"}, "did you mean 'train'?"),
        (
            {"subject_selection:": {}},
            "subject_selection:: unknown key; did you mean 'loader_parameters.subject_selection'?",
        ),
        (
            {"Modified3DUNet": {"use_logits": True}},
            "Modified3DUNet.use_logits: unknown key; did you mean 'Countception.use_logits'?",
        ),
        (
            {"transformation": {"RandomTranslation": {}}},
            "transformation.RandomTranslation: unknown key; RandomAffine has translations (its key translate)",
        ),
        (
            {"transformation": {"RandGaussianNoised": {}}},
            "transformation.RandGaussianNoised: unknown key; AdditiveGaussianNoise adds noise",
        ),
        ({"transformation": {"RandomGama": {}}}, "did you mean 'RandomGamma'?"),
        ({"transformation": {"VertebralSplitting": {}}}, "never released"),
        (
            {"transformation": {"RandomMotion": {}}},
            "transformation.RandomMotion: unknown key; expected one of",
        ),
        ({"default_model": {"name": "HourglassNet"}}, "Countception predicts heat maps"),
        ({"training_parameters": {"loss": {"name": "JointsMSELoss"}}}, "L2loss or AdapWingLoss"),
        ({"training_parameters": {"loss": {"name": "MSELoss"}}}, "L2loss is half the sum"),
        ({"random_seed": 3}, "random_seed: unknown key; split_dataset.random_seed draws the split"),
        ({"loader_parameters": {"target_ground_truth": "_seg"}}, "loader_parameters.target_suffix names the"),
        ({"dataset_groups": []}, "loader_parameters.path_data accepts several data sets"),
        ({"loader_parameters": {"expected_input": []}}, "training_validation names the images"),
        ({"loader_parameters": {"expected_gt": []}}, "loader_parameters.target_suffix names the labels"),
        ({"loader_parameters": {"input_dropout_params": {}}}, "loader_parameters.is_input_dropout blanks"),
        ({"split_output": True}, "results are all in path_output"),
        (
            {"training_parameters": {"scheduler": {"lr_scheduler": {"name": "CyclicLR", "step_size": 9}}}},
            "lr_scheduler.step_size: unknown key; did you mean 'step_size_up'?",
        ),
        ({"training_parameters": {"loss": {"name": "DiceLos"}}}, "did you mean 'DiceLoss'?"),
        ({"default_model": {"name": "unet"}}, "default_model.name: 'unet' is unknown"),
        ({"default_model": {"name": "nets:"}}, "default_model.name: 'nets:'; expected package.module:Class"),
        (
            {"ResidualEncoderUnet": {"max_filter": 8}},
            "ResidualEncoderUnet.max_filter: unknown key; did you mean 'max_filters'?",
        ),
        (
            {"training_parameters": {"loss": "DiceLoss"}},
            "training_parameters.loss: 'DiceLoss'; expected an object",
        ),
        (
            {"training_parameters": {"loss": {"name": "DiceLoss", "gamma": 2}}},
            "loss.gamma: unknown key; it is a key of FocalLoss, FocalDiceLoss, FocalTverskyLoss, here are name, smooth",
        ),
        (
            {"command": "train", "evaluation_parameters": {"target_size": [20, 100]}},
            'target_size: [20, 100]; expected an object {"thr": ..., "unit": ...}',
        ),
        (
            {"command": "train", "transformation": {"Resample": [1, 1]}},
            'expected an object {"hspace": ..., "wspace": ...',
        ),
        ({"gpu_ids": [0, "1"]}, "gpu_ids[1]: '1'; expected an integer"),
        (
            {"training_parameters": {"batch_size": 0}},
            "training_parameters.batch_size: 0; expected a value greater",
        ),
        (
            {"loader_parameters": {"path_data": 3}},
            "loader_parameters.path_data: 3; expected a path or a list",
        ),
        ({"transformation": {"Resample": {"hspace": 1}}}, "transformation.Resample.wspace: is missing"),
        (
            {"training_parameters": {"loss": {"name": "LossCombination", "losses_list": ["DiceLos"]}}},
            "training_parameters.loss.losses_list[0]: 'DiceLos' is unknown",
        ),
        (
            {
                "training_parameters": {
                    "loss": {
                        "name": "LossCombination",
                        "losses_list": ["DiceLoss", "FocalLoss"],
                        "params_list": [None, {"gama": 1}],
                    }
                }
            },
            "training_parameters.loss.params_list[1].gama: unknown key; FocalLoss takes gamma, alpha, eps",
        ),
    ],
)
def test_message(source, line):
    lines = problems_of(source)
    assert len(lines) == 1
    assert line in lines[0]


@pytest.mark.parametrize(
    ("source", "place"),
    [
        ({"split_dataset": {"train_fraction": 0.7, "test_fraction": 0.4}}, "split_dataset.train_fraction"),
        ({"split_dataset": {"n_folds": 5, "fold": 5}}, "split_dataset.fold"),
        ({"default_model": {"length_2D": [32, 32], "stride_2D": [32, 33]}}, "default_model.stride_2D"),
        ({"default_model": {"is_2d": False}}, "default_model.length_3D"),
        ({"Modified3DUNet": {"applied": True}}, "Modified3DUNet.length_3D"),
        ({"FiLMedUnet": {"applied": True, "film_layers": [1, 0]}}, "FiLMedUnet.film_layers"),
        ({"ResidualEncoderUnet": {"applied": True}}, "ResidualEncoderUnet.depth"),
        ({"ResidualEncoderUnet": {"applied": True, "depth": 4, "length_2D": [32, 32]}}, "at most 3"),
        ({"ResidualEncoderUnet": {"applied": True, "length_2D": [8, 8], "n_blocks": [1]}}, ".n_blocks"),
        ({"ResidualEncoderUnet": {"applied": True, "length_3D": [8, 8, 8]}}, "default_model.is_2d"),
        ({"default_model": {"name": "ResidualEncoderUnet", "is_2d": False}}, "default_model.length_3D"),
        ({"default_model": {"name": "a:B"}, "resnet18": {"applied": True}}, "default_model.name"),
        (
            {
                "training_parameters": {"loss": {"name": "MultiClassDiceLoss", "classes_of_interest": [2]}},
                "loader_parameters": {"target_suffix": ["_a", "_b"]},
            },
            "training_parameters.loss.classes_of_interest",
        ),
        (
            {
                "postprocessing": {"keep_largest": {"classes": [0, 2]}},
                "loader_parameters": {"target_suffix": ["_a", "_b"]},
            },
            "postprocessing.keep_largest.classes",
        ),
        ({"transformation": {"ROICrop": {"size": [8, 8]}}}, "loader_parameters.roi_params.suffix"),
        ({"loader_parameters": {"random_patch_params": {"applied": True}}}, "random_patch_params.applied"),
        (
            {
                "loader_parameters": {
                    "random_patch_params": {"applied": True},
                    "patch_filter_params": {"filter_empty_mask": True},
                },
                "default_model": {"length_2D": [32, 32]},
            },
            "patch_filter_params.filter_empty_mask",
        ),
        (
            {
                "loader_parameters": {"random_patch_params": {"applied": True}},
                "training_parameters": {"balance_samples": {"applied": True}},
                "default_model": {"length_2D": [32, 32]},
            },
            "training_parameters.balance_samples",
        ),
        ({"transformation": {"RandomAffine": {"translate": [20, 20]}}}, "transformation.RandomAffine"),
        ({"transformation": {"RandomMirror": {"p": [0.5, 0.5]}}}, "transformation.RandomMirror"),
        ({"transformation": {"RandomMirror": {"axes": [0, 0]}}}, "transformation.RandomMirror"),
        ({"transformation": {"RandomMirror": {"axes": [3]}}}, "transformation.RandomMirror.axes"),
        (
            {"transformation": {"RandomLowResolution": {"factor_range": [0.5, 2]}}},
            "transformation.RandomLowResolution",
        ),
        ({"transformation": {"RandomContrast": {"factor_range": [2, 1]}}}, "transformation.RandomContrast"),
        (
            {"transformation": {"NormalizePercentile": {"min_percentile": 50, "max_percentile": 50}}},
            "transformation.NormalizePercentile",
        ),
        (
            {
                "Modified3DUNet": {"applied": True, "length_3D": [32, 32, 32]},
                "transformation": {"CenterCrop": {"size": [8, 8]}},
            },
            "transformation.CenterCrop.size",
        ),
        (
            {
                "Modified3DUNet": {"applied": True, "length_3D": [32, 32, 32]},
                "HeMISUnet": {"applied": True},
            },
            "HeMISUnet.applied, Modified3DUNet.applied",
        ),
        (
            {
                "loader_parameters": {
                    "multichannel": True,
                    "contrast_params": {"training_validation": ["T1w"], "balance": {"T1w": 0.5}},
                }
            },
            "loader_parameters.contrast_params.balance",
        ),
        (
            {
                "loader_parameters": {
                    "multichannel": True,
                    "contrast_params": {"training_validation": ["T1w", "T2w"], "testing": ["T1w"]},
                }
            },
            "loader_parameters.contrast_params.testing",
        ),
        (
            {"loader_parameters": {"subject_selection": {"n": [1], "metadata": ["sex"], "value": []}}},
            "loader_parameters.subject_selection.n, metadata, value",
        ),
        ({"loader_parameters": {"slice_filter_params": {"filter_classification": True}}}, "classifier_path"),
        (
            {
                "loader_parameters": {
                    "slice_filter_params": {"filter_classification": True, "classifier_path": "a.pt"}
                },
                "Modified3DUNet": {"applied": True, "length_3D": [32, 32, 16]},
            },
            "slice_filter_params.filter_classification: is true, but the model is 3D",
        ),
        ({"loader_parameters": {"extensions": ["png"]}}, "loader_parameters.extensions"),
    ],
)
def test_contradictions(source, place):
    lines = problems_of(source)
    assert len(lines) == 1
    assert place in lines[0]


def test_all_problems_at_once():
    lines = problems_of(
        {
            "comand": "train",
            "loader_parameters": {"slice_axis": "axail", "contrast_params": {"balance": {"T1w": 2}}},
            "split_dataset": {"train_fraction": 0.9},
            "HeMISUnet": {"applied": True},
            "Modified3DUNet": {"applied": True, "lenght_3D": [32, 32, 32]},
            "transformation": {"Resampel": {"hspace": 1, "wspace": 1}, "RandomAffine": {"degrees": "x"}},
        }
    )
    places = sorted(line.split(":")[0] for line in lines)
    assert places == [
        "HeMISUnet.applied, Modified3DUNet.applied",
        "Modified3DUNet.lenght_3D",
        "comand",
        "loader_parameters.contrast_params.balance.T1w",
        "loader_parameters.slice_axis",
        "split_dataset.train_fraction",
        "transformation.RandomAffine.degrees",
        "transformation.Resampel",
    ]


def test_a_misspelt_key_causes_no_second_problem():
    lines = problems_of({"Modified3DUNet": {"applied": True, "lenght_3D": [32, 32, 32]}})
    assert lines == ["Modified3DUNet.lenght_3D: unknown key; did you mean 'length_3D'?"]


HIPPOCAMPUS = json.loads((CONFIG_DIR / "config_hippocampus.json").read_text(encoding="utf-8"))


def leaves(tree, path=()):
    for key, value in tree.items():
        yield (*path, key)
        if isinstance(value, dict):
            yield from leaves(value, (*path, key))


@pytest.mark.parametrize("path", list(leaves(HIPPOCAMPUS)), ids=".".join)
@pytest.mark.parametrize("wrong", ["?", 1e400, [[]], {"a": {}}], ids=repr)
def test_a_wrong_value_causes_no_second_problem(path, wrong):
    tree = deepcopy(HIPPOCAMPUS)
    section = reduce(getitem, path[:-1], tree)
    section[path[-1]] = wrong
    try:
        load_config(tree)
    except ConfigError as error:
        for line in str(error).splitlines()[1:]:
            assert path[-1] in line.split(": ")[0]


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"default_model": {"stride_3D": [400, 8, 8]}}, "default_model.stride_3D: [400, 8, 8] exceeds"),
        ({"default_model": {"name": "ResEncUnet3"}}, "default_model.name: 'ResEncUnet3' is unknown"),
        ({"default_model": {"is_2d": "no"}}, "default_model.is_2d: 'no'"),
        (
            {"default_model": {"is_2d": None}, "training_parameters": {"is_2d": False}},
            "training_parameters.is_2d",
        ),
    ],
)
def test_what_follows_from_a_network_that_is_not_known_is_no_problem(change, line):
    tree = merged(HIPPOCAMPUS, change)
    tree["default_model"] = {key: value for key, value in tree["default_model"].items() if value is not None}
    [found] = problems_of(tree)
    assert found.startswith(line)


@pytest.mark.parametrize(
    ("section", "keys"),
    [
        ("Modified3DUNet", ["use_logits", "missing_probability", "applid", "name2"]),
        ("resnet18", ["attention", "film_layers"]),
        ("default_model", ["applied_", "Depth", "max_filter"]),
    ],
)
def test_a_message_never_suggests_what_was_written(section, keys):
    for line in problems_of({section: dict.fromkeys(keys, 1)}):
        place = line.split(": ")[0]
        assert f"did you mean {place!r}" not in line
        assert f"did you mean {place.split('.')[-1]!r}" not in line


def test_missing_file(tmp_path):
    with pytest.raises(ConfigError, match=r"none\.json: no such file"):
        load_config(tmp_path / "none.json")


def test_invalid_json_names_line_and_column(tmp_path):
    path = tmp_path / "config.json"
    path.write_text('{"command": "train",\n "gpu_ids": [0,]}')
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    assert str(caught.value).startswith(f"{path}:2:")


@pytest.mark.parametrize("text", ["[1, 2]", '{"command": "train", "command": "test"}'])
def test_json_that_is_no_configuration(tmp_path, text):
    path = tmp_path / "config.json"
    path.write_text(text)
    with pytest.raises(ConfigError, match="object"):
        load_config(path)


def test_overrides_win_dotted_and_nested(tmp_path):
    path = tmp_path / "config.json"
    path.write_text('{"command": "train", "training_parameters": {"batch_size": 4, "seed": 3}}')
    config = load_config(
        path,
        {
            "command": "test",
            "training_parameters.batch_size": 2,
            "loader_parameters": {"path_data": Path("data"), "roi_params.suffix": "_seg"},
            "path_output": Path("out"),
        },
    )
    assert config.command == "test"
    assert config.training_parameters.batch_size == 2
    assert config.training_parameters.seed == 3
    assert config.loader_parameters.path_data == ("data",)
    assert config.loader_parameters.roi_params.suffix == "_seg"
    assert config.path_output == "out"


def test_overrides_may_have_old_names():
    assert load_config({"gpu_ids": [1]}, {"gpu": 2}).gpu_ids == (2,)


def test_an_override_of_another_class_replaces_its_arguments():
    base = {"training_parameters": {"loss": {"name": "TverskyLoss", "alpha": 0.9}}}
    config = load_config(base, {"training_parameters": {"loss": {"name": "FocalLoss"}}})
    assert config.training_parameters.loss.arguments["alpha"] == 0.25


def test_arguments_are_not_changed():
    source = {
        "gpu": 1,
        "UNet3D": {"applied": True, "length_3D": [32, 32, 32]},
        "transformation": {"NumpyToTensor": {}},
    }
    overrides = {"training_parameters.batch_size": 2, "loader_parameters": {"path_data": ["a"]}}
    before = deepcopy((source, overrides))
    load_config(source, overrides)
    assert (source, overrides) == before


def test_one_warning_per_old_key(caplog):
    with caplog.at_level(logging.WARNING):
        load_config({"gpu": 1, "log_directory": "x"})
    assert len(caplog.records) == 2
    assert "gpu: old name" in caplog.text


def test_schema_key_of_editors_is_ignored():
    assert load_config({"$schema": "schema.json"}) == RunConfig()


def test_expand_and_merged():
    assert expand({"a.b": 1, "a": {"c": 2}, "d": {"e.f": 3}}) == {"a": {"b": 1, "c": 2}, "d": {"e": {"f": 3}}}
    assert merged({"a": {"b": 1}, "c": 2}, {"a": {"d": 3}, "c": None}) == {"a": {"b": 1, "d": 3}, "c": None}


TRANSFORMS = {
    "Resample": {"hspace": 0.75, "wspace": 0.75},
    "CenterCrop": {"size": [64, 64]},
    "RandomAffine": {"degrees": [-5, 5], "applied_to": ["im", "gt"], "dataset_type": ["training"]},
    "ElasticTransform": {"alpha_range": [28, 30], "sigma_range": [3.5, 4.5]},
    "HistogramClipping": {},
    "NormalizeInstance": {"applied_to": ["im"]},
}
LOSSES = [
    {"name": "DiceLoss"},
    {"name": "FocalLoss", "gamma": 1},
    {"name": "LossCombination", "losses_list": ["L2loss"]},
]


PATHS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=8).filter(
    lambda path: path == "~" or path[:1] != "~"  # the home of somebody who has none here
)


@st.composite
def configurations(draw):
    names = draw(st.lists(st.sampled_from(list(TRANSFORMS)), unique=True))
    film = draw(st.booleans())
    depth = draw(st.integers(1, 5))
    return {
        "gpu_ids": draw(st.lists(st.integers(0, 7))),
        "model_name": draw(st.from_regex(r"[\w. -]{1,8}x", fullmatch=True)),
        "wandb": draw(st.sampled_from([None, {}, {"run_name": "r"}])),
        "loader_parameters": {
            "path_data": draw(st.one_of(PATHS, st.lists(PATHS))),
            "target_suffix": draw(st.sampled_from([[], ["_a"], ["_a", "_b"], [["_a", "_b"], ["_c"]]])),
            "subject_selection": {
                "n": [3],
                "metadata": ["sex"],
                "value": [draw(st.sampled_from(["F", 1, 0.5]))],
            },
            "soft_gt": draw(st.booleans()),
        },
        "training_parameters": {
            "loss": draw(st.sampled_from(LOSSES)),
            "mixup_alpha": draw(st.one_of(st.none(), st.floats(0.1, 3))),
            "precision": draw(st.sampled_from(["auto", "32", 16])),
        },
        "default_model": {"depth": depth, "bn_momentum": draw(st.floats(0, 1)), "length_2D": [32, 16]},
        "FiLMedUnet": {"applied": film, "film_layers": draw(st.sampled_from([None, [1] * (2 * depth + 2)]))},
        "transformation": {name: TRANSFORMS[name] for name in names},
        "postprocessing": {"remove_small": {"thr": draw(st.sampled_from([3, [3, 1.5]]))}},
    }


@settings(deadline=None)
@given(configurations())
def test_round_trip(raw):
    config = load_config(raw)
    written = json.loads(json.dumps(config.to_json()))
    again = load_config(written)
    assert again == config
    assert again.to_json() == written
    assert list(again.to_json()["transformation"]) == list(raw["transformation"])
    assert again.relevant() == config.relevant()


def test_round_trip_without_warnings(caplog):
    with caplog.at_level(logging.WARNING):
        load_config(load_config(RunConfig().to_json()).to_json())
    assert not caplog.records


def test_survives_pickling_with_the_order_of_steps():
    config = load_config({"postprocessing": {"keep_largest": {}, "fill_holes": {}}})
    fresh = load_config({"postprocessing": {"keep_largest": {}, "fill_holes": {}}})
    assert config.architecture.name == "Unet"  # Cached values are no part of the comparison.
    copy = pickle.loads(pickle.dumps(config))
    assert copy == config == fresh
    assert list(copy.postprocessing.steps) == ["keep_largest", "fill_holes"]


def loaded_modules(statement: str) -> set[str]:
    code = f"import sys; {statement}; print(*sys.modules)"
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=_environment()
    )
    return set(run.stdout.split())


def _environment() -> dict[str, str]:
    root = str(Path(ivadomed.__file__).parents[1])
    return {**os.environ, "PYTHONPATH": os.pathsep.join([root, os.environ.get("PYTHONPATH", "")])}


def test_imports_are_light():
    heavy = {"torch", "pandas", "nibabel", "numpy", "scipy", "bids", "sklearn", "skimage"}
    modules = loaded_modules(
        "from ivadomed.config import RunConfig; RunConfig.model_validate({}, context='first look')"
    )
    assert not heavy & modules
    assert "pydantic" not in loaded_modules("import ivadomed.config; ivadomed.config.migrate({})")


def test_public_names():
    import ivadomed.config as config

    for _ in range(2):  # Loading a submodule must not shadow a function of the same name.
        assert config.migrate({}) == ({}, [])
        assert callable(config.json_schema)
        assert config.load_config({}) == config.RunConfig()
    assert (config.CONFIG_DIR / "config.json").is_file()
    with pytest.raises(AttributeError):
        config.nothing  # noqa: B018


def test_a_list_is_not_too_short_because_its_entries_are_wrong():
    with pytest.raises(ConfigError) as caught:
        load_config({"training_parameters": {"loss": {"name": "LossCombination", "losses_list": [{}]}}})
    assert str(caught.value).splitlines() == [
        "configuration: 1 problem",
        "  training_parameters.loss.losses_list[0]: {}; expected a string",
    ]
