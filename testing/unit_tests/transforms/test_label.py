"""Soft dilation of lesions."""

import numpy as np
import pytest
from scipy.ndimage import binary_dilation

from ivadomed.transforms import DilateGT
from ivadomed.transforms.label import dilate_lesions


def test_one_voxel_by_hand():
    mask = np.zeros((7, 7), np.uint8)
    mask[3, 3] = 1
    expected = np.zeros((7, 7))
    for i, j in np.ndindex(7, 7):
        expected[i, j] = max(0, 1 - (abs(i - 3) + abs(j - 3)) / 3)  # 2 rings: 1, 2/3, 1/3
    np.testing.assert_allclose(dilate_lesions(mask, 2.0), expected, atol=1e-6)


def test_rings_are_those_of_repeated_dilation():
    mask = np.random.default_rng(0).random((20, 20, 12)) > 0.999
    out = dilate_lesions(mask, 2.0)
    for k, level in enumerate((1, 2 / 3, 1 / 3)):
        reached = binary_dilation(mask, iterations=k) if k else mask
        np.testing.assert_array_equal(out >= level - 1e-6, reached)


def test_each_lesion_has_its_own_margin():
    mask = np.zeros((30, 30))
    mask[5, 5] = 1
    mask[15:21, 15:21] = 1  # 36 voxels: round(0.4 * 6) = 2 rings, the single voxel round(0.4) = 0
    out = dilate_lesions(mask, 0.4)
    assert np.count_nonzero(out[:10, :10]) == 1
    assert out[14, 17] == pytest.approx(2 / 3)
    assert out[13, 17] == pytest.approx(1 / 3)
    assert out[12, 17] == 0


def test_soft_values_stay_and_zero_factor_changes_nothing():
    mask = np.zeros((9, 9), np.float32)
    mask[4, 4] = 0.5
    assert dilate_lesions(mask, 1.0)[4, 4] == 0.5
    np.testing.assert_array_equal(DilateGT(0).dilate_arr(mask, 0), mask)
    assert DilateGT(0).plan((9, 9), (1, 1), np.random.default_rng(0)).apply(mask[None], 1)[0] is not None
    np.testing.assert_array_equal(DilateGT(1.0)(mask)[0], dilate_lesions(mask, 1.0))


def test_many_lesions_are_quick_and_input_stays():
    mask = (np.random.default_rng(0).random((128, 128, 32)) > 0.999).astype(np.float32)
    before = mask.copy()
    assert dilate_lesions(mask, 1.0).sum() > mask.sum()
    np.testing.assert_array_equal(mask, before)
