"""From the configuration to the recipe of a data set."""

import pytest

from ivadomed.config import load_config
from ivadomed.loader.recipe import recipe_of, steps_of

TRANSFORMS = {
    "NormalizeInstance": {"applied_to": ["im"]},
    "Resample": {"hspace": 0.75, "wspace": 0.5, "dspace": 1},
    "RandomAffine": {"degrees": 5, "dataset_type": ["training"]},
    "CenterCrop": {"size": [32, 24]},
    "RandomReverse": {"dataset_type": ["testing"]},
}
SETS = ("training", "validation", "testing")


def make(loader=None, **sections):
    return load_config(
        {
            "command": "train",
            "path_output": "out",
            "model_name": "m",
            "loader_parameters": {
                "path_data": ["data"],
                "target_suffix": ["_seg"],
                "contrast_params": {"training_validation": ["T1w"]},
                **(loader or {}),
            },
            "transformation": TRANSFORMS,
            **sections,
        }
    )


def names(pipeline):
    return [type(stage.transform).__name__ for stage in pipeline.stages]


@pytest.mark.parametrize("dataset_type", SETS)
def test_fixed_steps_are_those_of_every_set_in_their_order(dataset_type):
    recipe = recipe_of(make(), dataset_type)
    assert names(recipe.fixed) == ["Resample", "CenterCrop"]
    plan = recipe.fixed.plan((60, 40), (0.75, 0.75), None)
    assert plan.shape_out == (32, 24)
    assert plan.zooms_out == (0.75, 0.5)


@pytest.mark.parametrize(
    ("dataset_type", "expected"),
    [
        ("training", ["NormalizeInstance", "RandomAffine"]),
        ("validation", ["NormalizeInstance"]),
        ("testing", ["NormalizeInstance", "RandomReverse"]),
    ],
)
def test_steps_per_sample_are_those_of_the_set(dataset_type, expected):
    assert names(steps_of(make(), dataset_type)) == expected


def test_slice_axis_and_soft_labels():
    for index, axis in enumerate(("sagittal", "coronal", "axial")):
        recipe = recipe_of(make({"slice_axis": axis, "soft_gt": index == 1}), "training")
        assert (recipe.slice_axis, recipe.soft_gt, recipe.is_2d) == (index, index == 1, True)


def test_windows_of_two_and_three_dimensions():
    assert recipe_of(make(), "training").length == ()
    patches = {"name": "Unet", "length_2D": [32, 24], "stride_2D": [16, 12]}
    recipe = recipe_of(make(default_model=patches), "testing")
    assert (recipe.is_2d, recipe.length, recipe.stride) == (True, (32, 24), (16, 12))
    section = {"applied": True, "length_3D": [32, 16, 16], "stride_3D": [16, 16, 8]}
    chain = {"CenterCrop": {"size": [32, 16, 16]}}
    recipe = recipe_of(make(Modified3DUNet=section, transformation=chain), "training")
    assert (recipe.is_2d, tuple(recipe.length), tuple(recipe.stride)) == (False, (32, 16, 16), (16, 16, 8))


@pytest.mark.parametrize(
    ("dataset_type", "by_label"), [("training", True), ("validation", True), ("testing", False)]
)
def test_a_test_set_is_not_filtered_by_its_labels(dataset_type, by_label):
    filters = {"filter_empty_input": False, "filter_empty_mask": True, "filter_absent_class": True}
    made = make({"slice_filter_params": filters, "roi_params": {"suffix": "_roi", "slice_filter_roi": 7}})
    found = recipe_of(made, dataset_type).slice_filter
    assert not found.empty_input
    assert (found.empty_mask, found.absent_class) == (by_label, by_label)
    assert found.min_roi_voxels is None


@pytest.mark.parametrize("dataset_type", SETS)
@pytest.mark.parametrize(("crop", "least"), [("ROICrop", 7), ("CenterCrop", None)])
def test_slices_are_filtered_by_the_region_only_where_it_is_cropped_around(dataset_type, crop, least):
    loader = {"roi_params": {"suffix": "_roi", "slice_filter_roi": 7}}
    found = recipe_of(make(loader, transformation={crop: {"size": [8, 8]}}), dataset_type).slice_filter
    assert found.min_roi_voxels == least


@pytest.mark.parametrize("dataset_type", SETS)
def test_a_classifier_sees_slices_of_every_set_as_at_test_time(tmp_path, dataset_type):
    assert recipe_of(make(), dataset_type).classifier is None
    path = tmp_path / "classifier.pt"
    path.touch()
    filters = {"filter_classification": True, "classifier_path": str(path)}
    classifier = recipe_of(make({"slice_filter_params": filters}), dataset_type).classifier
    assert classifier.path == path
    assert names(classifier.steps) == ["NormalizeInstance", "RandomReverse"]
