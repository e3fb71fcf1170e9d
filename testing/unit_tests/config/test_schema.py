"""The schema: defaults, strictness, immutability, descriptions, order of steps."""

import json
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

import ivadomed.losses  # noqa: F401
from ivadomed.config import RunConfig, json_schema
from ivadomed.config.problems import models_in
from ivadomed.config.schema.models import OwnModel
from ivadomed.registry.section import Open


def all_models(model: type[BaseModel] = RunConfig) -> Iterator[type[BaseModel]]:
    yield model
    for field in model.model_fields.values():
        for child in models_in(field):
            yield from all_models(child)


def test_every_key_is_described():
    missing = [
        f"{model.__name__}.{name}"
        for model in all_models()
        for name, field in model.model_fields.items()
        if not field.description
    ]
    assert missing == []


def test_every_section_refuses_unknown_keys_and_changes():
    for model in all_models():
        # The arguments of a class of the user's own are checked against its constructor instead.
        assert model.model_config["extra"] == (
            "allow" if model is OwnModel or issubclass(model, Open) else "forbid"
        ), model
        assert model.model_config["frozen"], model


def test_documented_defaults():
    config = RunConfig()
    assert config.training_parameters.batch_size == 18
    assert config.training_parameters.loss.name == "DiceLoss"
    assert config.training_parameters.training_time.num_epochs == 100
    assert config.training_parameters.scheduler.initial_lr == 0.001
    assert config.split_dataset.random_seed == 6
    assert (config.split_dataset.train_fraction, config.split_dataset.test_fraction) == (0.6, 0.2)
    assert config.default_model.name == "Unet"
    assert config.log_file == "log"
    assert config.evaluation_parameters.object_detection_metrics is True
    assert config.postprocessing.steps == {}
    assert config.transformation.chain == {}


@pytest.mark.parametrize(
    ("section", "value"),
    [
        ("training_parameters", {"batch_size": True}),
        ("training_parameters", {"batch_size": "4"}),
        ("training_parameters", {"batch_size": 4.5}),
        ("training_parameters", {"mixup_alpha": float("nan")}),
        ("training_parameters", {"transfer_learning": {"retrain_fraction": 1.01}}),
        ("loader_parameters", {"multichannel": 1}),
        ("loader_parameters", {"target_suffix": "_seg"}),
        ("loader_parameters", {"target_suffix": ["_seg", ["_lesion"]]}),
        ("default_model", {"dropout_rate": 1}),
        ("default_model", {"length_2D": [0, 32]}),
        ("uncertainty", {"n_it": -1}),
        ("object_detection_params", {"safety_factor": [1, 1]}),
        ("transformation", {"RandomAffine": {"degrees": -5}}),
        ("transformation", {"RandomAffine": {"degrees": [5, -5]}}),
        ("transformation", {"Resample": {"hspace": 1}}),
        ("transformation", {"ElasticTransform": {"alpha_range": [30, 28], "sigma_range": [3, 4]}}),
        ("transformation", {"CenterCrop": {"size": [8]}}),
        ("postprocessing", {"remove_small": {"thr": []}}),
        ("postprocessing", {"remove_small": {"thr": True}}),
        ("evaluation_parameters", {"target_size": {"thr": [100, 20]}}),
    ],
)
def test_wrong_values_are_refused(section, value):
    with pytest.raises(ValidationError):
        RunConfig.model_validate({section: value})


@pytest.mark.parametrize(
    "tree",
    [
        {"gpu_ids": [1.0]},
        {
            "default_model": {
                "length_2D": [128.0, 64.0],
                "stride_2D": [64.0, 64.0],
                "depth": 4.0,
                "n_filters": 8.0,
            }
        },
        {
            "Modified3DUNet": {
                "applied": True,
                "length_3D": [64.0, 64.0, 32.0],
                "film_layers": [1.0] + [0] * 9,
            }
        },
        {"training_parameters": {"batch_size": 4.0, "seed": 3.0, "num_workers": 0.0, "precision": 32.0}},
        {"training_parameters": {"training_time": {"num_epochs": 5.0, "early_stopping_patience": 2.0}}},
        {"split_dataset": {"random_seed": 6.0, "n_folds": 3.0, "fold": 1.0}},
        {"transformation": {"CenterCrop": {"size": [128.0, 96.0]}, "RandomMirror": {"axes": [0.0]}}},
        {"transformation": {"RandomBiasField": {"coefficients": 0.5, "order": 3.0}}},
        {"uncertainty": {"n_it": 20.0, "epistemic": True}},
        {"loader_parameters": {"subject_selection": {"n": [5.0], "metadata": ["a"], "value": ["b"]}}},
        {"evaluation_parameters": {"overlays": 3.0}},
    ],
)
def test_whole_numbers_may_be_written_as_decimals(tree):
    def whole(value):
        if isinstance(value, dict):
            return {key: whole(entry) for key, entry in value.items()}
        if isinstance(value, list):
            return [whole(entry) for entry in value]
        return int(value) if isinstance(value, float) and value.is_integer() else value

    assert RunConfig.model_validate(tree) == RunConfig.model_validate(whole(tree))
    assert RunConfig.model_validate(tree).to_json() == RunConfig.model_validate(whole(tree)).to_json()


def nullable():
    """Every section and list of the schema that has no null of its own."""
    plain = RunConfig().to_json()
    for key, value in plain.items():
        if isinstance(value, (dict, list)):
            yield (key,)
        if isinstance(value, dict):
            for inner, entry in value.items():
                if isinstance(entry, (dict, list)):
                    yield key, inner
                if isinstance(entry, dict):
                    yield from ((key, inner, k) for k, e in entry.items() if isinstance(e, (dict, list)))


@pytest.mark.parametrize("path", list(nullable()), ids=".".join)
def test_a_section_or_list_that_is_null_has_its_default(path):
    tree = None
    for key in reversed(path):
        tree = {key: tree}
    assert RunConfig.model_validate(tree) == RunConfig()


@pytest.mark.parametrize(
    "path", [("training_parameters", "batch_size"), ("default_model", "depth"), ("command",)]
)
def test_a_value_that_is_null_is_refused_where_null_means_nothing(path):
    tree = None
    for key in reversed(path):
        tree = {key: tree}
    with pytest.raises(ValidationError):
        RunConfig.model_validate(tree)


def test_integers_are_numbers_and_lists_become_tuples():
    config = RunConfig.model_validate(
        {"loader_parameters": {"path_data": "a"}, "object_detection_params": {"safety_factor": [1, 2, 3]}}
    )
    assert config.loader_parameters.path_data == ("a",)
    assert config.object_detection_params.safety_factor == (1.0, 2.0, 3.0)


def test_empty_lists_mean_absent():
    config = RunConfig.model_validate(
        {"default_model": {"length_2D": [], "stride_2D": []}, "loader_parameters": {"extensions": []}}
    )
    assert config.default_model.length_2D is None
    assert config.loader_parameters.extensions == (".nii", ".nii.gz")


def test_several_raters():
    suffixes = [["_seg-rater1", "_seg-rater2"], ["_lesion-rater1", "_lesion-rater2"]]
    config = RunConfig.model_validate({"loader_parameters": {"target_suffix": suffixes}})
    assert config.loader_parameters.target_suffix == tuple(map(tuple, suffixes))
    assert config.to_json()["loader_parameters"]["target_suffix"] == suffixes
    assert config.out_channel == 3


STEPS = {
    "remove_noise": {"thr": 0.1},
    "keep_largest": {},
    "binarize_prediction": {"thr": 0.5},
    "fill_holes": {},
    "remove_small": {"unit": "mm3", "thr": [1.5, 3]},
    "uncertainty": {"thr": 0.4, "suffix": "_unc-vox.nii.gz"},
}


@given(st.permutations(list(STEPS)))
def test_steps_keep_the_order_in_which_they_are_written(order):
    config = RunConfig.model_validate({"postprocessing": {name: STEPS[name] for name in order}})
    assert list(config.postprocessing.steps) == order
    assert list(config.to_json()["postprocessing"]) == order
    assert config.to_json()["postprocessing"] == STEPS


def test_null_removes_a_step():
    config = RunConfig.model_validate({"postprocessing": {"keep_largest": None, "fill_holes": {}}})
    assert list(config.postprocessing.steps) == ["fill_holes"]
    assert "keep_largest" not in config.postprocessing
    assert config.to_json()["postprocessing"] == {"fill_holes": {}}


def test_classes_of_a_step():
    steps = {"keep_largest": {"classes": [0]}, "fill_holes": {}}
    config = RunConfig.model_validate({"postprocessing": steps | {"fill_holes": {"classes": None}}})
    assert config.postprocessing.arguments["fill_holes"] == {"classes": None}
    assert config.to_json()["postprocessing"] == steps


def test_loss_arguments():
    loss = RunConfig.model_validate(
        {"training_parameters": {"loss": {"name": "FocalLoss", "gamma": 0.2}}}
    ).training_parameters.loss
    assert loss.name == "FocalLoss"
    assert loss.arguments == {"gamma": 0.2, "alpha": 0.25, "eps": 1e-7}


def test_loss_without_name_is_dice():
    config = RunConfig.model_validate({"training_parameters": {"loss": {"smooth": 2}}})
    assert config.training_parameters.loss.name == "DiceLoss"
    assert config.training_parameters.loss.arguments == {"smooth": 2.0}


def test_scheduler_arguments_leave_out_nulls():
    config = RunConfig.model_validate(
        {
            "training_parameters": {
                "scheduler": {"lr_scheduler": {"name": "CosineAnnealingWarmRestarts", "T_0": 20, "T_mult": 2}}
            }
        }
    )
    assert config.training_parameters.scheduler.lr_scheduler.arguments == {
        "T_0": 20,
        "T_mult": 2,
        "eta_min": 0.0,
    }


def test_flags_of_transforms_are_written_only_when_set():
    chain = {"NormalizeInstance": {}, "RandomAffine": {"degrees": 5}}
    written = RunConfig.model_validate({"transformation": chain}).to_json()["transformation"]
    assert "foreground" not in written["NormalizeInstance"]
    assert "physical" not in written["RandomAffine"]
    chain = {
        "NormalizeInstance": {"foreground": True},
        "RandomAffine": {"physical": True, "translate": [5, 5]},
    }
    written = RunConfig.model_validate({"transformation": chain}).to_json()["transformation"]
    assert written["NormalizeInstance"]["foreground"]
    assert written["RandomAffine"]["physical"]


@pytest.mark.parametrize(
    ("section", "message"),
    [
        (
            {"scheduler": {"initial_lr": 0.1, "lr_scheduler": {"name": "OneCycleLR", "max_lr": 0.01}}},
            "lr_scheduler.max_lr: 0.01 is below initial_lr 0.1",
        ),
        ({"optimizer": {"name": "SGD", "momentum": 0.0}}, "nesterov: needs a momentum above 0"),
        ({"optimizer": {"name": "Adam", "momentum": 0.9}}, "momentum"),
        ({"ema_decay": 1.0}, "ema_decay"),
        ({"gradient_clipping": 0}, "gradient_clipping"),
        ({"accumulate_batches": 0}, "accumulate_batches"),
    ],
)
def test_optimisation_that_makes_no_sense(section, message):
    with pytest.raises(ValidationError, match=message):
        RunConfig.model_validate({"training_parameters": section})


def test_api_key_is_hidden():
    config = RunConfig.model_validate({"wandb": {"wandb_api_key": "secret"}})
    assert config.to_json()["wandb"]["wandb_api_key"] == "secret"
    assert config.to_json(hide_secrets=True)["wandb"]["wandb_api_key"] == ""
    assert "secret" not in repr(config)
    assert config.relevant() == RunConfig.model_validate({"wandb": {}}).relevant()


def test_what_is_relevant_can_leave_out_keys():
    default = RunConfig()
    longer = RunConfig.model_validate({"training_parameters": {"training_time": {"num_epochs": 200}}})
    assert longer.relevant() != default.relevant()
    epochs = "training_parameters.training_time.num_epochs"
    assert longer.relevant(exclude=[epochs]) == default.relevant(exclude=[epochs])
    assert json.loads(json.dumps(default.relevant())) == default.relevant()


def test_the_order_of_steps_is_relevant():
    first = RunConfig.model_validate({"postprocessing": {"fill_holes": {}, "keep_largest": {}}})
    second = RunConfig.model_validate({"postprocessing": {"keep_largest": {}, "fill_holes": {}}})
    assert first.relevant() != second.relevant()
    assert first.relevant(["postprocessing"]) == second.relevant(["postprocessing"])


def test_json_schema_knows_the_keys():
    schema = json_schema()
    assert json.loads(json.dumps(schema)) == schema
    assert set(RunConfig.model_fields) | {"$schema"} == set(schema["properties"])
    assert schema["additionalProperties"] is False
    assert schema["properties"]["command"]["enum"] == ["train", "test", "eval", "segment"]


def test_json_schema_accepts_the_defaults_and_refuses_a_misspelt_key():
    jsonschema = pytest.importorskip("jsonschema")
    jsonschema.validate(RunConfig().to_json(), json_schema())
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"comand": "train"}, json_schema())
