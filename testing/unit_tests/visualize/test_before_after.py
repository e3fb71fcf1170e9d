"""Pictures of both sides of a transform."""

import warnings

import imageio.v3 as iio
import numpy as np
import pytest

from ivadomed.visualize import COLOURS
from ivadomed.visualize.before_after import View, save_before_after

IMAGE = np.random.default_rng(0).random((40, 50), dtype=np.float32)


@pytest.fixture
def picture(tmp_path):
    def make(before, after, title="A title", note="what was drawn", **options):
        path = tmp_path / "new folder" / "picture.png"
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            save_before_after(path, before, after, title, note, **options)
        assert [p.name for p in path.parent.iterdir()] == ["picture.png"]
        return iio.imread(path)[..., :3].astype(int)

    return make


def pixels_near(picture, colour, tolerance=40):
    return int((np.abs(picture - np.asarray(colour)).max(axis=-1) < tolerance).sum())


def test_both_sides_are_side_by_side(picture):
    white, black = np.tile([0.0, 1.0], (40, 20)), np.tile([0.0, 1.0], (40, 20))
    white[:, 10:], black[:, 10:] = 1, 0
    out = picture(*(View(image, (1.0, 1.0), slice_axis=None) for image in (white, black)))
    middle = out[out.shape[0] // 2]
    half = len(middle) // 2
    assert pixels_near(middle[:half], (255, 255, 255)) > 0.6 * half
    assert pixels_near(middle[half:], (0, 0, 0)) > 0.6 * half


def test_outlines_have_the_class_colours_and_close_at_the_border(picture):
    mask = np.zeros((40, 50))
    mask[:20, :20] = 1
    plain = View(IMAGE, (1.0, 1.0), {"a": np.zeros((40, 50)), "b": np.zeros((40, 50))})
    marked = View(IMAGE, (1.0, 1.0), {"a": mask, "b": np.zeros((40, 50))})
    without, with_outline = picture(plain, plain), picture(marked, marked)
    assert pixels_near(with_outline, COLOURS[0]) > 3 * pixels_near(without, COLOURS[0])
    assert pixels_near(with_outline, COLOURS[1]) == pixels_near(without, COLOURS[1])  # only in the legend


def test_the_grid_and_the_frame_are_drawn(picture):
    grid = np.indices(IMAGE.shape) / 10
    kept = np.zeros(IMAGE.shape, bool)
    kept[10:30, 10:30] = True
    view, yellow = View(IMAGE, (1.0, 1.0)), (255, 214, 10)
    plain = pixels_near(picture(view, view), yellow, 90)
    lines = pixels_near(picture(View(IMAGE, (1.0, 1.0), grid=grid), view), yellow, 90)
    frame = pixels_near(picture(View(IMAGE, (1.0, 1.0), frame=kept), view), yellow, 90)
    assert plain == 0
    assert lines > frame > 50


def test_intensities_of_one_range_are_subtracted_and_others_are_not(picture):
    view, normalized = View(IMAGE, (1.0, 1.0)), View(100 * IMAGE, (1.0, 1.0))
    same = picture(view, View(IMAGE + 0.1, (1.0, 1.0)), intensities=True)
    other = picture(view, normalized, intensities=True)
    assert same.shape[1] == pytest.approx(1.5 * other.shape[1], abs=3)
    assert picture(view, view).shape[0] < other.shape[0]  # no histograms


@pytest.mark.parametrize("slice_axis", [0, 1, 2, None])
def test_voxels_keep_their_proportions(picture, slice_axis):
    # 40 x 50 voxels of 2 x 0.5 mm: 80 mm along H, 25 mm along W.
    view = View(np.ones((40, 50)), (2.0, 0.5), slice_axis=slice_axis)
    out = picture(view, view, "", "")
    left = (out < 20).all(axis=-1)[60:, : out.shape[1] // 2 - 5]  # below the titles
    height, width = np.ptp(np.argwhere(left), axis=0) + 1
    expected = 25 / 80 if slice_axis == 2 else 80 / 25
    assert height / width == pytest.approx(expected, rel=0.1)


def test_odd_input_is_drawn_without_a_warning(picture):
    nothing = np.full((2, 3, 4), np.nan)
    constant = View(np.zeros((3, 4)), (1.0, 1.0), {"empty": np.zeros((3, 4))}, grid=nothing)
    picture(constant, constant, "x", "a long note " * 30, intensities=True)
    line = View(np.ones((1, 30)), (1.0, 1.0), grid=np.zeros((2, 1, 30)))
    picture(line, line)
