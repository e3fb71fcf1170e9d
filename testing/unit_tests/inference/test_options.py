"""Options of ``segment_volume``."""

import copy

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ivadomed.errors import ConfigError, DataError
from ivadomed.inference.options import misspelt_options, pixel_size_of, postprocessing_with, recipe_with
from ivadomed.loader.prepared.prepare import Recipe
from ivadomed.transforms import Pipeline

MODEL = {
    "binarize_prediction": {"thr": 0.5},
    "binarize_maxpooling": {},
    "keep_largest": {},
    "fill_holes": {},
    "remove_small": {"unit": "vox", "thr": 3},
}
PATCHES = Recipe(Pipeline.from_config({}), length=(32, 24), stride=(32, 24))


@pytest.mark.parametrize("name", MODEL)
def test_none_and_absence_keep_the_step_of_the_model(name):
    assert postprocessing_with({name: None}, MODEL) == MODEL
    assert postprocessing_with({}, MODEL) == MODEL


@pytest.mark.parametrize("name", MODEL)
@pytest.mark.parametrize("off", [0, False, 0.0, [], -1])
def test_a_false_value_removes_the_step(name, off):
    expected = {key: value for key, value in MODEL.items() if key != name}
    assert postprocessing_with({name: off}, MODEL) == expected
    assert postprocessing_with({name: off}, {}) == {}


@pytest.mark.parametrize(
    ("name", "value", "arguments"),
    [
        ("binarize_prediction", 0.3, {"thr": 0.3}),
        ("binarize_prediction", 1, {"thr": 1.0}),
        ("binarize_prediction", True, {"thr": 0.5}),
        ("binarize_maxpooling", 1, {}),
        ("keep_largest", True, {}),
        ("keep_largest", 1, {}),
        ("fill_holes", 1, {}),
        ("remove_small", 5, {"unit": "vox", "thr": 5}),
        ("remove_small", "5", {"unit": "vox", "thr": 5}),
        ("remove_small", "5vox", {"unit": "vox", "thr": 5}),
        ("remove_small", ["5vox"], {"unit": "vox", "thr": 5}),
        ("remove_small", ["2.5mm3"], {"unit": "mm3", "thr": 2.5}),
        ("remove_small", ("3vox", "10vox"), {"unit": "vox", "thr": [3, 10]}),
        ("remove_small", ["3", "10mm3"], {"unit": "mm3", "thr": [3, 10]}),
        ("remove_small", ["3", "10", "mm3"], {"unit": "mm3", "thr": [3, 10]}),
    ],
)
def test_a_value_sets_the_step(name, value, arguments):
    assert postprocessing_with({name: value}, {}) == {name: arguments}
    assert postprocessing_with({name: value}, MODEL) == {**MODEL, name: arguments}


def test_the_order_of_the_model_stays_and_new_steps_come_last():
    steps = {"fill_holes": {}, "binarize_prediction": {"thr": 0.5}}
    result = postprocessing_with({"keep_largest": 1, "binarize_prediction": 0.7}, steps)
    assert list(result.items()) == [
        ("fill_holes", {}),
        ("binarize_prediction", {"thr": 0.7}),
        ("keep_largest", {}),
    ]


@pytest.mark.parametrize("value", ["big", ["5mm"], ["3vox", "2mm3"], "vox5"])
def test_a_size_that_is_none_is_refused(value):
    with pytest.raises(ConfigError, match=r"remove_small: .* is not a size; expected for example"):
        postprocessing_with({"remove_small": value}, {})


def test_a_threshold_that_is_no_number_is_refused():
    with pytest.raises(ConfigError, match="binarize_prediction"):
        postprocessing_with({"binarize_prediction": "half"}, {})


def test_unknown_options_are_ignored():
    assert postprocessing_with({"colour": "red", "o": None, "verbose": 2}, MODEL) == MODEL


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("binarise_prediction", "binarize_prediction"),
        ("keep-largest", "keep_largest"),
        (" fill_holes", "fill_holes"),
        ("overlap_2d", "overlap_2D"),
        ("fname_priors", "fname_prior"),
        ("nopatch", "no_patch"),
    ],
)
def test_a_misspelt_option_is_recognized(name, meant):
    assert misspelt_options({name: 1}) == {name: meant}
    assert misspelt_options({name: None}) == {}
    assert misspelt_options({name: 1, meant: 1}) == {}


def test_variables_of_a_toolbox_are_no_misspelt_options():
    """Those of ``sct_deepseg``, and ours."""
    names = ("i", "c", "o", "thr", "r", "largest", "fill_holes", "remove_small", "qc", "v", "task", "install")
    assert misspelt_options(dict.fromkeys((*names, *MODEL, "fname_prior", "threshold"), 1)) == {}


@given(
    st.sampled_from(("binarize_prediction", "keep_largest", "remove_small", "pixel_size_units")), st.data()
)
def test_one_wrong_letter_is_recognized(name, data):
    place = data.draw(st.integers(1, len(name) - 1))
    letter = data.draw(st.sampled_from("abcxyz").filter(lambda letter: letter != name[place]))
    assert misspelt_options({name[:place] + letter + name[place + 1 :]: 1}).popitem()[1] == name


def test_the_arguments_stay_as_they_are():
    options = {"remove_small": ["3vox"], "overlap_2D": [8, 4], "keep_largest": 0, "pixel_size": [0.1, 0.2]}
    before, steps = copy.deepcopy(options), copy.deepcopy(MODEL)
    postprocessing_with(options, steps)
    recipe_with(options, PATCHES)
    pixel_size_of(options)
    assert options == before
    assert steps == MODEL


def test_overlap_is_what_neighbouring_patches_share():
    assert recipe_with({"overlap_2D": [8, 4]}, PATCHES).stride == (24, 20)
    assert recipe_with({"overlap_2D": (0, 0)}, PATCHES).stride == (32, 24)
    assert recipe_with({"overlap_2D": [31, 23]}, PATCHES).stride == (1, 1)
    assert recipe_with({"overlap_2D": [8, 4]}, PATCHES).length == (32, 24)
    assert recipe_with({"overlap_2D": None}, PATCHES) is PATCHES
    assert PATCHES.stride == (32, 24)


@pytest.mark.parametrize("overlap", [[32, 4], [8, 24], [100, 100]])
def test_an_overlap_as_large_as_the_patch_is_refused(overlap):
    with pytest.raises(ConfigError, match=r"overlap_2D: .* must be smaller than the patches of .*32, 24"):
        recipe_with({"overlap_2D": overlap}, PATCHES)


def test_a_negative_overlap_would_leave_gaps_and_is_refused():
    with pytest.raises(ConfigError, match="overlap_2D"):
        recipe_with({"overlap_2D": [-4, 0]}, PATCHES)


def test_an_overlap_may_be_text_or_an_array():
    assert recipe_with({"overlap_2D": ["8", "4"]}, PATCHES).stride == (24, 20)
    assert recipe_with({"overlap_2D": np.array([8, 4])}, PATCHES).stride == (24, 20)
    assert recipe_with({"overlap_2D": []}, PATCHES) is PATCHES


@pytest.mark.parametrize("overlap", [[8], [8, 4, 2], 8, "8,4", ["a", "b"], [None, 4]])
def test_an_overlap_of_another_length_is_refused(overlap):
    with pytest.raises(ConfigError, match="overlap_2D"):
        recipe_with({"overlap_2D": overlap}, PATCHES)


def test_no_patch_predicts_whole_slices_whatever_the_overlap():
    recipe = recipe_with({"no_patch": True, "overlap_2D": [8, 4]}, PATCHES)
    assert (recipe.length, recipe.stride) == ((), ())
    assert recipe_with({"no_patch": False}, PATCHES) is PATCHES


@pytest.mark.parametrize(
    "recipe",
    [Recipe(PATCHES.fixed), Recipe(PATCHES.fixed, is_2d=False, length=(8, 8, 8), stride=(8, 8, 8))],
)
def test_models_without_2d_patches_are_left_alone(recipe):
    assert recipe_with({"no_patch": True, "overlap_2D": [2, 2]}, recipe) is recipe


def test_pixel_size_is_in_millimetres_unless_said():
    assert pixel_size_of({}) == {}
    assert pixel_size_of({"pixel_size": None, "pixel_size_units": "um"}) == {}
    assert pixel_size_of({"pixel_size": 0.1}) == {"PixelSize": 0.1, "PixelSizeUnits": "mm"}
    given = {"pixel_size": [0.1, 0.2], "pixel_size_units": "um"}
    assert pixel_size_of(given) == {"PixelSize": [0.1, 0.2], "PixelSizeUnits": "um"}


def test_no_unit_given_is_as_good_as_none_named():
    options = {"pixel_size": 0.1, "pixel_size_units": None}
    assert pixel_size_of(options) == {"PixelSize": 0.1, "PixelSizeUnits": "mm"}


@pytest.mark.parametrize(("size", "unit"), [(0, "mm"), ([-1, 1], "mm"), (0.1, "inch"), ([1, 1, 1, 1], "mm")])
def test_a_pixel_size_that_is_none_is_refused(size, unit):
    with pytest.raises(DataError, match=r"pixel_size: .* is not a pixel size"):
        pixel_size_of({"pixel_size": size, "pixel_size_units": unit})
