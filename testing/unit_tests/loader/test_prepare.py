"""Fixed steps and windows."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import zoom

from ivadomed.errors import DataError
from ivadomed.loader.prepare import Recipe, list_windows, prepare_case, read_window
from ivadomed.loader.slice_filter import SliceRule
from ivadomed.loader.volumes import read_volume
from ivadomed.transforms import Pipeline

FIXED = Pipeline.from_config(
    {"Resample": {"hspace": 0.5, "wspace": 0.5, "dspace": 1}, "CenterCrop": {"size": [20, 16]}}
)
PLAIN = Pipeline.from_config({})


def test_slices_are_resampled_in_plane_with_scipy_numbers(make_case):
    case = make_case()
    prepared = prepare_case(case, Recipe(FIXED))
    assert prepared.image.shape == (5, 1, 20, 16)
    assert prepared.zooms == (0.5, 0.5, 2.0)
    raw = read_volume(case, 2).image[0, :, :, 3]
    expected = zoom(raw, 2, order=2)[2:22, 6:22]
    np.testing.assert_allclose(prepared.image[3, 0], expected, atol=1e-4)


def test_a_volume_is_resampled_in_three_dimensions(make_case):
    fixed = Pipeline.from_config({"Resample": {"hspace": 1, "wspace": 1, "dspace": 1}})
    prepared = prepare_case(make_case(), Recipe(fixed, is_2d=False))
    assert prepared.image.shape == (1, 12, 14, 10)


def test_roi_crop_follows_each_slice_and_filter_drops_slices_without_roi(make_case):
    fixed = Pipeline.from_config({"ROICrop": {"size": [6, 6]}})
    recipe = Recipe(fixed, slice_filter=SliceRule(min_roi_voxels=5))
    case = make_case(roi=True)
    prepared = prepare_case(case, recipe)
    assert prepared.image.shape == (5, 1, 6, 6)
    # The ROI is a ball of radius 2 around slice 2: 1, 9, 13, 9, 1 voxels.
    assert prepared.facts.roi_voxels == [1, 9, 13, 9, 1]
    assert [w.start[2] for w in list_windows(0, prepared.image.shape, prepared.facts, recipe)] == [1, 2, 3]


def test_roi_crop_without_roi_says_so(make_case):
    with pytest.raises(DataError, match="needs a region of interest"):
        prepare_case(make_case(), Recipe(Pipeline.from_config({"ROICrop": {"size": [6, 6]}})))


@pytest.mark.parametrize(
    ("slice_filter", "kept"),
    [
        (SliceRule(empty_input=False), [0, 1, 2, 3, 4, 5, 6]),
        (SliceRule(), [1, 2, 3, 4, 5, 6]),
        (SliceRule(empty_mask=True), [1, 2, 3, 4, 5, 6]),
        (SliceRule(absent_class=True), [1, 2, 3, 4, 5]),
    ],
)
def test_slice_filter(make_case, slice_filter, kept):
    case = make_case(shape=(12, 14, 7), classes=2)
    volume = read_volume(case, 2)
    volume.image[..., 0] = 3.0  # constant
    from ivadomed.loader.prepare import prepare_volume

    prepared = prepare_volume(volume, Recipe(PLAIN))
    recipe = Recipe(PLAIN, slice_filter=slice_filter)
    assert [w.start[2] for w in list_windows(0, prepared.image.shape, prepared.facts, recipe)] == kept


@pytest.mark.parametrize(
    ("is_2d", "length", "stride"), [(True, (8, 6), (4, 5)), (False, (8, 6, 4), (4, 5, 1))]
)
def test_every_voxel_is_in_a_window(make_case, is_2d, length, stride):
    recipe = Recipe(PLAIN, is_2d=is_2d, length=length, stride=stride)
    prepared = prepare_case(make_case(), recipe)
    seen = np.zeros((12, 14, 5), int)
    volume = read_volume(make_case(), 2).image
    for window in list_windows(0, prepared.image.shape, prepared.facts, recipe):
        seen[window.slices] += 1
        patch = read_window(prepared.image, window, is_2d)
        expected = volume[(slice(None), *window.slices)]
        np.testing.assert_array_equal(patch, expected[..., 0] if is_2d else expected)
    assert (seen > 0).all()


def test_a_patch_larger_than_the_image(make_case):
    recipe = replace(Recipe(PLAIN), length=(32, 32), stride=(32, 32))
    prepared = prepare_case(make_case(), recipe)
    with pytest.raises(DataError, match="32x32 voxels does not fit an image of 12x14"):
        list_windows(0, prepared.image.shape, prepared.facts, recipe)
