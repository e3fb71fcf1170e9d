"""Contradictions of older files, read as 2.x read them; each with one warning, whatever stands around it."""

from copy import deepcopy

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ivadomed.config import load_config
from ivadomed.config.migrate import OWN_ARGUMENTS, reconcile
from ivadomed.config.schema.models import default_model_of, section_of
from ivadomed.config.schema.run import SECTIONS
from ivadomed.models.registry import MODELS

FILM, HEMIS, THREE_D = "FiLMedUnet", "HeMISUnet", "Modified3DUNet"
LENGTH = {"length_3D": [32, 32, 16]}


def applied(name, **keys):
    return {name: {"applied": True, **keys}}


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (
            {"default_model": {"attention": True}, **applied(THREE_D)},
            {"default_model": {}, **applied(THREE_D, attention=True)},
        ),
        (
            {"default_model": {"attention": True}, **applied(THREE_D, attention=False)},
            {"default_model": {}, **applied(THREE_D, attention=False)},
        ),
        ({"default_model": {"attention": True}}, {"default_model": {}}),
        (
            {"default_model": {"missing_probability": 0.5}, **applied(HEMIS)}
            | {"loader_parameters": {"multichannel": True}},
            {"default_model": {}, **applied(HEMIS, missing_probability=0.5)}
            | {"loader_parameters": {"multichannel": True}},
        ),
        (
            {"loader_parameters": {"multichannel": False}, **applied(HEMIS)},
            {"loader_parameters": {"multichannel": True}, **applied(HEMIS)},
        ),
        (
            {"loader_parameters": {"multichannel": False}, "default_model": {"name": HEMIS}},
            {"loader_parameters": {"multichannel": True}, "default_model": {"name": HEMIS}},
        ),
        (
            {"transformation": {"CenterCrop": {"size": [128, 96, 48]}}},
            {"transformation": {"CenterCrop": {"size": [128, 96]}}},
        ),
        (
            {
                "transformation": {"ROICrop": {"size": [128, 96, 48]}},
                "default_model": {"name": "Countception"},
            },
            {"transformation": {"ROICrop": {"size": [128, 96]}}, "default_model": {"name": "Countception"}},
        ),
        (
            {"transformation": {"RandomAffine": {"scale": [0.1, 0.1, 0.2]}}},
            {"transformation": {"RandomAffine": {"scale": [0.1, 0.1]}}},
        ),
        (
            {**applied(FILM, metadata="sex", film_layers=[1] + [0] * 9), **applied(THREE_D)},
            {
                FILM: {"applied": False, "metadata": "sex", "film_layers": [1] + [0] * 9},
                **applied(THREE_D, metadata="sex", film_layers=[1] + [0] * 9),
            },
        ),
        (
            applied(FILM) | applied(THREE_D),
            {FILM: {"applied": False}, **applied(THREE_D, film_layers=[1] * 10)},
        ),
        (
            {"default_model": {"depth": 2}, **applied(FILM, film_layers=[0, 1, 0, 0, 0, 0, 1, 1])},
            {"default_model": {"depth": 2}, **applied(FILM, film_layers=[0, 1, 0, 0, 0, 1])},
        ),
        (
            applied(THREE_D, film_layers=[0] * 12),
            applied(THREE_D, film_layers=[0] * 10),
        ),
        (
            {"default_model": {"name": "Countception"}, **applied(THREE_D)},
            {"default_model": {"name": THREE_D}, **applied(THREE_D)},
        ),
        (
            {"loader_parameters": {"target_suffix": ["_seg", "lesion-manual"]}},
            {"loader_parameters": {"target_suffix": ["_seg", "_lesion-manual"]}},
        ),
        (
            {"loader_parameters": {"target_suffix": [["_a", "b-rater2"]]}},
            {"loader_parameters": {"target_suffix": [["_a", "_b-rater2"]]}},
        ),
        (
            {"loader_parameters": {"target_suffix": ["_seg-manual.nii.gz"]}},
            {"loader_parameters": {"target_suffix": ["_seg-manual"]}},
        ),
        (
            {"loader_parameters": {"roi_params": {"suffix": "seg"}}},
            {"loader_parameters": {"roi_params": {"suffix": "_seg"}}},
        ),
        (
            applied(FILM, is_2d=False) | {"default_model": {}},
            applied(FILM) | {"default_model": {"is_2d": False}},
        ),
        (
            {"training_parameters": {"scheduler": {"lr_scheduler": {"base_lr": 1e-5, "max_lr": 1e-2}}}},
            {"training_parameters": {"scheduler": {"lr_scheduler": {}}}},
        ),
    ],
)
def test_read_as_2_x_read_it(old, new):
    before = deepcopy(old)
    result, warnings = reconcile(old)
    assert result == new
    assert len(warnings) == 1
    assert old == before
    assert reconcile(result) == (result, [])


@pytest.mark.parametrize(
    "tree",
    [
        {},
        {"transformation": {"CenterCrop": {"size": [128, 96, 48]}}, **applied(THREE_D)},
        {"transformation": {"CenterCrop": {"size": [128, 96, 48]}}, "default_model": {"is_2d": False}},
        {"transformation": {"CenterCrop": {"size": [128, 96]}}},
        {"default_model": {"name": THREE_D, "attention": True, "film_layers": [1] * 10}},
        {"default_model": {"name": "pkg.nets:Net", "attention": True, "metadata": 3}},
        {"default_model": {"name": "pkg.nets:Net"}, **applied("resnet18")},  # stays a contradiction
        {**applied(HEMIS), **applied(THREE_D), "loader_parameters": {"multichannel": True}},
        applied(FILM, film_layers=[1, 0]),  # too short: what is missing is not guessed
        {"training_parameters": {"scheduler": {"lr_scheduler": {"name": "CyclicLR", "base_lr": 1e-5}}}},
        {"loader_parameters": 3, "default_model": "text", HEMIS: [1]},
    ],
)
def test_what_is_no_contradiction_or_none_that_2_x_read_stays(tree):
    assert reconcile(tree) == (tree, [])


def test_multichannel_follows_from_hemis_without_a_word(caplog):
    assert load_config(applied(HEMIS)).loader_parameters.multichannel
    assert not caplog.records


def test_the_three_dimensional_network_with_film(caplog):
    config = load_config({**applied(FILM, metadata="contrasts"), **applied(THREE_D, **LENGTH)})
    assert config.architecture.name == THREE_D
    assert config.architecture.arguments["film_layers"] == (1,) * 10
    assert config.metadata_type == "contrasts"
    assert len(caplog.records) == 1


def test_what_overrides_say_counts():
    config = load_config(
        {"default_model": {"attention": True}, "transformation": {"CenterCrop": {"size": [32, 32, 16]}}},
        {"Modified3DUNet.applied": True, "Modified3DUNet.length_3D": [32, 32, 16]},
    )
    assert config.architecture.arguments["attention"] is True
    assert config.transformation.CenterCrop.size == (32, 32, 16)


networks = st.sampled_from(["default_model", FILM, HEMIS, THREE_D, "Countception", "resnet18", "Unknown"])
keys = st.sampled_from(["applied", "name", "is_2d", "attention", "film_layers", "metadata", "depth", "size"])
values = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-1, 12),
    st.sampled_from(["Unet", HEMIS, THREE_D, "a:B"]),
    st.lists(st.integers(0, 1), max_size=14),
)
sections = st.dictionaries(keys, values)
steps = st.dictionaries(st.sampled_from(["CenterCrop", "RandomAffine"]), st.dictionaries(keys, values))


@given(st.dictionaries(networks, st.one_of(values, sections)), st.one_of(values, steps))
@example({"default_model": {"name": []}, FILM: {"applied": True}}, None)
def test_reconciling_twice_changes_nothing(tree, transformation):
    once, _ = reconcile({**tree, "transformation": transformation})
    assert reconcile(once) == (once, [])


def test_the_table_of_arguments_is_that_of_the_networks():
    """The table that is read without torch says what the constructors say: which keys only some networks have."""
    shared = {*default_model_of(MODELS["Unet"], MODELS["Unet"]).model_fields, "applied"}
    own = {name: set(section_of(MODELS[name], MODELS["Unet"]).model_fields) - shared for name in SECTIONS}
    assert {name: set(keys) for name, keys in OWN_ARGUMENTS.items()} == own
    assert list(OWN_ARGUMENTS) == list(SECTIONS)
