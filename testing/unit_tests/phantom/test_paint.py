"""Distances with known values, and the covered share of a voxel."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ivadomed.phantom.paint import capsule, coverage, ellipse, rounded_box, smooth_union


def test_coverage_is_exact_for_a_plane():
    assert coverage(np.array([-1.0, -0.25, 0.0, 0.25, 1.0]), 1.0).tolist() == [1.0, 0.75, 0.5, 0.25, 0.0]


def test_ellipse_is_exact_on_its_axes():
    points = np.array([0.0, 5.0, 7.0])
    assert ellipse(points[1:], np.zeros(2), 5.0, 3.0) == pytest.approx([0.0, 2.0])
    assert ellipse(np.zeros(1), np.array([4.0]), 5.0, 3.0) == pytest.approx([1.0])


@given(st.floats(-9, 9), st.floats(-9, 9))
def test_ellipse_has_the_right_sign(u, v):
    value = (u / 5) ** 2 + (v / 3) ** 2 - 1
    if abs(value) > 1e-6:
        assert np.sign(ellipse(np.array([u]), np.array([v]), 5.0, 3.0)[0]) == np.sign(value)


def test_capsule_and_box():
    u, v = np.array([-2.0, 2.0, 5.0]), np.array([0.0, 3.0, 0.0])
    assert capsule(u, v, (0, 0), (4, 0), 1.0) == pytest.approx([1.0, 2.0, 0.0])
    assert capsule(u, v, (0, 0), (4, 0), 1.0, 2.0)[2] == pytest.approx(-1.0)
    assert rounded_box(np.array([4.0, 0.0]), np.array([0.0, 0.0]), 3.0, 2.0, 0.5) == pytest.approx(
        [1.0, -2.0]
    )


@given(st.floats(-5, 5), st.floats(-5, 5))
def test_smooth_union_contains_both(first, second):
    joined = smooth_union(np.array([first]), np.array([second]), 0.5)[0]
    assert min(first, second) - 0.125 - 1e-9 <= joined <= min(first, second) + 1e-9
