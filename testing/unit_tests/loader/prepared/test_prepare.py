"""Fixed steps and windows."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import zoom

from ivadomed.errors import DataError
from ivadomed.geometry.boxes import box_size
from ivadomed.geometry.grid import Grid
from ivadomed.inference.prediction import undo_fixed_steps
from ivadomed.loader.cases.volumes import Volume, read_volume
from ivadomed.loader.prepared.prepare import Recipe, list_windows, prepare_case, prepare_volume, read_window
from ivadomed.loader.slices import SliceRule
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


def back(prepared, recipe):
    """The prepared image on the image's own grid, [C, H, W, D]; slices that are left out are 0."""
    image = prepared.image.copy()
    if not recipe.is_2d:
        return undo_fixed_steps(image, prepared.plans, is_2d=False)
    kept = {window.start[2] for window in list_windows(0, image.shape, prepared.facts, recipe)}
    image[[z for z in range(len(image)) if z not in kept]] = 0
    return undo_fixed_steps(np.moveaxis(image, 0, -1), prepared.plans, is_2d=True)


def volume_of(image, zooms=(1, 1, 1), **parts):
    grid = Grid(image.shape[1:], np.diag([*zooms, 1.0]))
    return Volume(image, None, parts.pop("roi", None), grid, None, **parts)


@st.composite
def boxed_volumes(draw):
    """A volume of positive numbers with a box in it, near the border or as large as the image too."""
    shape = tuple(draw(st.integers(2, 12)) for _ in range(3))
    box = []
    for extent in shape:
        low = draw(st.integers(0, extent - 1))
        box += [low, draw(st.integers(low, extent - 1))]
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    return volume_of(rng.uniform(1, 2, (2, *shape)).astype(np.float32), box=tuple(box))


@given(boxed_volumes(), st.booleans())
def test_what_is_inside_the_box_comes_back_and_the_rest_is_zero(volume, is_2d):
    recipe = Recipe(PLAIN, is_2d=is_2d)
    prepared = prepare_volume(volume, recipe)
    size = box_size(volume.box)
    if is_2d:
        assert prepared.image.shape[2:] == size[:2]
    else:
        assert prepared.image.shape[1:] == size
    expected = np.zeros_like(volume.image)
    inside = tuple(slice(a, b + 1) for a, b in zip(volume.box[::2], volume.box[1::2], strict=True))
    expected[(slice(None), *inside)] = volume.image[(slice(None), *inside)]
    np.testing.assert_array_equal(back(prepared, recipe), expected)


@given(boxed_volumes(), st.sampled_from([(4, 6), (4, 6, 5)]))
def test_patches_fit_the_box_even_when_it_or_the_image_is_smaller(volume, length):
    is_2d = len(length) == 2
    recipe = Recipe(PLAIN, is_2d=is_2d, length=length, stride=(3,) * len(length))
    prepared = prepare_volume(volume, recipe)
    windows = list_windows(0, prepared.image.shape, prepared.facts, recipe)
    plane = prepared.image.shape[2:] if is_2d else prepared.image.shape[1:]
    ends = [max(w.start[axis] + w.size[axis] for w in windows) for axis in range(len(length))]
    assert tuple(ends) == plane
    # The box is not moved back to cover it: patches lie where the stride says.
    assert all(w.start[axis] % 3 == 0 for w in windows for axis in range(len(length)))
    restored = back(prepared, recipe)
    place = tuple(slice(a, b + 1) for a, b in zip(volume.box[::2], volume.box[1::2], strict=True))
    inside = (slice(None), *place)
    np.testing.assert_array_equal(restored[inside], volume.image[inside])


@pytest.mark.parametrize("is_2d", [True, False])
def test_the_box_follows_anisotropic_resampling(is_2d):
    # A plane of intensity, which splines of any order keep exactly.
    h, w, d = np.meshgrid(*map(np.arange, (31, 21, 11)), indexing="ij")
    image = (1.0 + h + 2 * w + 3 * d).astype(np.float32)[None]
    fixed = Pipeline.from_config({"Resample": {"hspace": 0.5, "wspace": 2, "dspace": 1}})
    recipe = Recipe(fixed, is_2d=is_2d)
    prepared = prepare_volume(volume_of(image, (1, 1, 3), box=(10, 19, 4, 11, 3, 7)), recipe)
    assert (prepared.image.shape[2:] if is_2d else prepared.image.shape[1:3]) == (20, 4)
    restored = back(prepared, recipe)
    np.testing.assert_allclose(restored[:, 11:19, 6:10, 4:7], image[:, 11:19, 6:10, 4:7], rtol=0.02)
    outside = np.ones(image.shape, bool)
    outside[:, 8:22, 2:14, 2:9] = False  # a voxel of the new grid may reach over the border of the box
    assert not restored[outside].any()


def test_a_crop_that_follows_is_made_in_the_box():
    image = np.random.default_rng(0).random((1, 20, 20, 4)).astype(np.float32)
    fixed = Pipeline.from_config({"CenterCrop": {"size": [4, 12]}})
    prepared = prepare_volume(volume_of(image, box=(10, 17, 2, 9, 0, 3)), Recipe(fixed))
    np.testing.assert_array_equal(prepared.image[1, 0, :, 2:10], image[0, 12:16, 2:10, 1])
    assert not prepared.image[:, :, :, [0, 1, 10, 11]].any()  # padded: the box is narrower


def test_slices_beyond_the_depth_of_the_box_are_left_out():
    image = np.random.default_rng(0).random((1, 8, 8, 6)).astype(np.float32)
    prepared = prepare_volume(volume_of(image, box=(0, 7, 0, 7, 2, 4)), Recipe(PLAIN))
    windows = list_windows(0, prepared.image.shape, prepared.facts, Recipe(PLAIN))
    assert [w.start[2] for w in windows] == [2, 3, 4]


def test_the_region_of_interest_counts_inside_the_box_only():
    image = np.random.default_rng(0).random((1, 16, 16, 3)).astype(np.float32)
    roi = np.zeros(image.shape[1:], np.float32)
    roi[1:3, 1:3, :] = 1  # outside the box
    roi[8:10, 9:11, 1] = 1
    crop = Pipeline.from_config({"ROICrop": {"size": [4, 4]}})
    recipe = Recipe(crop, slice_filter=SliceRule(min_roi_voxels=1))
    prepared = prepare_volume(volume_of(image, roi=roi, box=(6, 13, 6, 13, 0, 2)), recipe)
    assert prepared.facts.roi_voxels == [0, 4, 0]
    windows = list_windows(0, prepared.image.shape, prepared.facts, recipe)
    assert [w.start[2] for w in windows] == [1]
    np.testing.assert_array_equal(prepared.image[1, 0], image[0, 6:10, 8:12, 1])
