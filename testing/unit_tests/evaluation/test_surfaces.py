"""Surface distances: by hand, by brute force, and the numbers of another library."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.spatial.distance import cdist

from ivadomed.evaluation import surfaces
from ivadomed.evaluation.surfaces import Surface, SurfaceDistances, element_areas

ZOOMS = (0.5, 1.0, 3.0)
masks = hnp.arrays(bool, (5, 4, 4), elements=st.sampled_from([False, False, True]))


def interval(first: int, end: int) -> np.ndarray:
    mask = np.zeros((10, 1, 1), bool)
    mask[first:end] = True
    return mask


def ball(centre: tuple[float, float, float], radius: float) -> np.ndarray:
    """[60, 40, 16] voxels within ``radius`` mm of ``centre``."""
    places = np.moveaxis(np.indices((60, 40, 16)), 0, -1) * ZOOMS
    return ((places - centre) ** 2).sum(axis=-1) <= radius**2


def test_intervals_by_hand():
    # Ends at 2 and 5 against 3 and 8 voxels of 2 mm: 2 and 4 mm from the one, 2 and 6 mm from the other.
    distances = SurfaceDistances.between(interval(2, 5), interval(3, 8), (2, 1, 1))
    assert sorted(distances.of_prediction) == [2, 4]
    assert sorted(distances.of_truth) == [2, 6]
    assert distances.hausdorff() == distances.hausdorff(95) == 6
    assert distances.hausdorff(50) == 2
    assert distances.average() == 14 / 4
    assert [distances.surface_dice(mm) for mm in (1.9, 2, 4, 5.9, 6)] == [0, 0.5, 0.75, 0.75, 1]


def test_areas_of_elements_by_hand():
    a, b, c = 2.0, 3.0, 5.0
    areas = element_areas(np.array([a, b, c]))
    # Bit i + 2 j + 4 k is voxel (i, j, k). A wall across the first axis; an edge along the third; a corner.
    assert areas[0b01010101] == pytest.approx(b * c)
    assert areas[0b00010001] == pytest.approx(c * np.hypot(a, b) / 2)
    corner = np.linalg.norm([b * c, a * c, a * b]) / 8
    assert areas[0b00000001] == pytest.approx(corner)
    assert areas[0b10000001] == pytest.approx(2 * corner)  # two voxels that share but a point
    assert areas[[0, 255]].tolist() == [0, 0]
    np.testing.assert_array_equal(areas, areas[::-1])  # a hole has the surface of what fills it


def test_rectangle_has_its_outline():
    mask = np.zeros((9, 9, 1), bool)
    mask[2:6, 3:8] = True
    square = Surface.of(mask, np.array([0.5, 2, 7]), [False, False, True])
    # Sides of 3 and 4 steps between the corners, which are cut.
    assert square.areas().sum() == pytest.approx(7 * (2 * 3 * 0.5 + 2 * 4 * 2 + 4 * np.hypot(0.5, 2) / 2))


def test_balls_around_one_centre_are_apart_by_their_radii():
    radius = np.linalg.norm(np.moveaxis(np.indices((30, 30, 30)), 0, -1) - 14.5, axis=-1)
    distances = SurfaceDistances.between(radius < 8, radius < 12, (1, 1, 1))
    assert distances.average() == pytest.approx(4, abs=0.6)  # to the nearest of corners that lie unevenly
    assert distances.hausdorff() == pytest.approx(4, abs=1)
    assert distances.surface_dice(2) == 0
    assert distances.surface_dice(5) == 1
    # Marching cubes of a mask is a little rougher than the ball.
    assert distances.areas_of_truth.sum() == pytest.approx(4 * np.pi * 12**2, rel=0.12)


# hd, hd95, assd and nsd at 1 mm of surface-distance 0.1 (DeepMind). MONAI 1.6.1, which counts border voxels, gives
# hd 3.316625, 6.0, 17.720045; hd95 3.162278, 4.358899, 16.378334; nsd 0.610465, 0.323350, 0.723164.
BOX = np.zeros((30, 24, 12), bool)
BOX[5:15, 6:16, 3:9] = True
LIBRARY = {
    "boxes": (np.roll(BOX, (2, 1, 1), (0, 1, 2)), BOX, (3.316625, 3.0, 1.182454, 0.804668)),
    "balls": (ball((16, 19, 21), 7.5), ball((14, 20, 24), 9), (6.0, 4.242641, 1.674256, 0.445416)),
    "lesions": (
        ball((10, 12, 15), 5) | ball((24, 30, 33), 4),
        ball((11, 12, 15), 5) | ball((20, 14, 36), 3),
        (17.720045, 16.194135, 4.353212, 0.677952),
    ),
    "outlines": (
        np.roll(BOX, (2, 1, 1), (0, 1, 2))[..., 5:6],
        BOX[..., 5:6],
        (1.414214, 1.0, 0.941530, 0.963777),
    ),
}


@pytest.mark.parametrize("name", LIBRARY)
def test_numbers_of_another_library(name):
    prediction, truth, expected = LIBRARY[name]
    found = SurfaceDistances.between(prediction, truth, ZOOMS)
    numbers = (found.hausdorff(), found.hausdorff(95), found.average(), found.surface_dice(1))
    assert numbers == pytest.approx(expected, abs=2e-6)


def corners(mask: np.ndarray) -> np.ndarray:
    """[n, 3] corners between voxels at which a mask and its outside meet, one after the other."""
    padded = np.pad(mask, 1)
    found = []
    for place in np.ndindex(*(np.array(mask.shape) + 1)):
        around = padded[tuple(slice(i, i + 2) for i in place)]
        if around.any() and not around.all():
            found.append(place)
    return np.array(found).reshape(-1, 3)


@given(masks, masks, st.sampled_from([0, 40, 10**6]))
@settings(max_examples=60, deadline=None)
def test_search_tree_and_distance_transform_agree_with_brute_force(prediction, truth, points_per_voxel):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(surfaces, "_VOXELS_PER_ELEMENT", points_per_voxel)
        distances = SurfaceDistances.between(prediction, truth, ZOOMS)
    if not (prediction.any() and truth.any()):
        assert not distances.exist
        return
    apart = cdist(corners(prediction) * ZOOMS, corners(truth) * ZOOMS)
    np.testing.assert_allclose(np.sort(distances.of_prediction), np.sort(apart.min(axis=1)), rtol=1e-5)
    np.testing.assert_allclose(np.sort(distances.of_truth), np.sort(apart.min(axis=0)), rtol=1e-5)
    assert distances.hausdorff() == pytest.approx(
        max(apart.min(axis=1).max(), apart.min(axis=0).max()), rel=1e-5
    )


@given(masks, masks, st.floats(0, 6))
@settings(max_examples=30, deadline=None)
def test_symmetric_and_in_mm(prediction, truth, tolerance):
    def numbers(a, b, zooms, mm):
        found = SurfaceDistances.between(a, b, zooms)
        return np.array([found.surface_dice(mm), found.hausdorff(), found.hausdorff(95), found.average()])

    here = numbers(prediction, truth, ZOOMS, tolerance)
    np.testing.assert_allclose(numbers(truth, prediction, ZOOMS, tolerance), here, rtol=1e-5)
    doubled = numbers(prediction, truth, np.multiply(2, ZOOMS), 2 * tolerance)
    np.testing.assert_allclose(doubled, here * [1, 2, 2, 2], rtol=1e-5)


@given(masks)
@settings(max_examples=20, deadline=None)
def test_a_mask_is_at_no_distance_from_itself(mask):
    found = SurfaceDistances.between(mask, mask, ZOOMS)
    numbers = [found.hausdorff(), found.average(), 1 - found.surface_dice(0)]
    np.testing.assert_allclose(numbers, [0, 0, 0] if mask.any() else [np.nan] * 3, atol=1e-12)
