"""Soft dilation of lesions, against a reference written from the description of ivadomed 2.9.10."""

import time

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.ndimage import binary_dilation, label

from ivadomed.transforms import DilateGT, Pipeline
from ivadomed.transforms.label import dilate_lesions


def reference(mask: np.ndarray, factor: float) -> np.ndarray:
    """Objects of 4 or 6 neighbours are dilated one by one, their soft arrays added, the sum clipped."""
    if factor <= 0 or mask.sum() == 0:
        return mask
    objects, count = label(mask > 0.5)
    total = np.zeros(mask.shape)
    for number in range(1, count + 1):
        inside = objects == number
        total += inside
        rings = round(factor * float(inside.sum()) ** 0.5)
        for k in range(1, rings + 1):
            wider = binary_dilation(inside)
            total += (wider & ~inside) * (rings + 1 - k) / (rings + 1)
            inside = wider
    return np.clip(total, 0, 1)


@given(
    mask=hnp.arrays(np.float32, st.tuples(*[st.integers(1, 8)] * 2) | st.tuples(*[st.integers(1, 6)] * 3),
                    elements=st.sampled_from([0, 0, 0, 0, 0.25, 0.5, 0.75, 1])),
    factor=st.sampled_from([-1, 0, 0.3, 0.5, 1, 1.5, 2.5]),
)  # fmt: skip
def test_any_label_as_described(mask, factor):
    np.testing.assert_allclose(dilate_lesions(mask, factor), reference(mask, factor), atol=1e-6)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("shape", [(40, 50), (24, 30, 12)])
def test_random_lesions_as_described(shape, seed):
    rng = np.random.default_rng(seed)
    mask = binary_dilation(rng.random(shape) > 0.99, iterations=int(rng.integers(1, 3)))
    mask = (mask & (rng.random(shape) > 0.2)).astype(np.float32)
    np.testing.assert_allclose(dilate_lesions(mask, 0.6), reference(mask, 0.6), atol=1e-6)


def test_one_voxel_by_hand():
    mask = np.zeros((7, 7), np.uint8)
    mask[3, 3] = 1
    expected = np.zeros((7, 7))
    for i, j in np.ndindex(7, 7):
        expected[i, j] = max(0, 1 - (abs(i - 3) + abs(j - 3)) / 3)  # 2 rings: 1, 2/3, 1/3
    np.testing.assert_allclose(dilate_lesions(mask, 2.0), expected, atol=1e-6)


def test_touching_corners_are_two_lesions_whose_rings_add_up():
    mask = np.zeros((6, 6), np.uint8)
    mask[2, 2] = mask[3, 3] = 1
    out = dilate_lesions(mask, 1.0)  # one ring of 1/2 each
    assert out[2, 3] == out[3, 2] == 1.0
    assert out[1, 2] == out[3, 4] == 0.5
    assert out[1, 1] == 0


def test_soft_labels_are_binarized_above_one_half():
    mask = np.zeros((9, 9), np.float32)
    mask[2, 2], mask[6, 6] = 0.5, 0.6
    out = dilate_lesions(mask, 1.0)
    assert not out[:5, :5].any()
    assert out[6, 6] == 1
    assert out[5, 6] == 0.5


@pytest.mark.parametrize("factor", [0, -1, 1.0])
def test_empty_labels_and_factors_not_above_zero_change_nothing(factor):
    mask = np.zeros((5, 6), np.int16)
    if factor <= 0:
        mask[2, 2] = 1
    for out in (dilate_lesions(mask, factor), DilateGT(factor)(mask)[0]):
        np.testing.assert_array_equal(out, mask)
        assert out.dtype == np.int16


def test_arrays_tensors_lists_and_plans_are_dilated_alike():
    rng = np.random.default_rng(3)
    classes = (rng.random((3, 20, 20)) > 0.95).astype(np.float32)
    classes[1] = 0
    expected = np.stack([reference(mask, 0.8) for mask in classes])
    transform, metadata = DilateGT(0.8), {"zooms": [1, 1], "data_type": "gt"}
    np.testing.assert_allclose(transform(list(classes), [metadata] * 3)[0], expected, atol=1e-6)
    np.testing.assert_allclose(transform(torch.from_numpy(classes), metadata)[0], expected, atol=1e-6)
    plan = Pipeline.from_config({"DilateGT": {"dilation_factor": 0.8}}).plan((20, 20), (1, 1), rng)
    np.testing.assert_allclose(plan.apply(classes, "gt", 1), expected, atol=1e-6)


def test_500_lesions_of_a_large_volume_are_quick_and_the_input_stays():
    rng = np.random.default_rng(0)
    mask = np.zeros((256, 256, 100), np.float32)
    mask[tuple(rng.integers(4, side - 4, 500) for side in mask.shape)] = 1
    mask = binary_dilation(mask, iterations=2).astype(np.float32)
    before = mask.copy()
    start = time.perf_counter()
    assert dilate_lesions(mask, 0.5).sum() > mask.sum()
    assert (
        time.perf_counter() - start < 10
    )  # below a second; dilating the whole volume 500 times takes minutes
    np.testing.assert_array_equal(mask, before)
