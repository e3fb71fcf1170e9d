"""Orientation: every grid takes an array to HWD and back."""

from itertools import permutations, product

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nibabel.orientations import axcodes2ornt, inv_ornt_aff, ornt_transform
from scipy.spatial.transform import Rotation

from ivadomed.geometry.grid import Grid, hwd_to_ras, ras_to_hwd

SHAPE = (4, 5, 6)
CODES = ["".join(codes) for axes in permutations(("RL", "AP", "SI")) for codes in product(*axes)]


def affine_of(codes: str, zooms=(0.5, 0.75, 2.0), tilt=0.0) -> np.ndarray:
    """Affine of an image stored with these axis codes."""
    turn = ornt_transform(axcodes2ornt("RAS"), axcodes2ornt(codes))
    affine = np.diag([*zooms, 1.0]) @ inv_ornt_aff(turn, SHAPE)
    affine[:3, :3] = (
        Rotation.from_euler("xyz", [tilt, -tilt, tilt], degrees=True).as_matrix() @ affine[:3, :3]
    )
    return affine


def test_there_are_48_orientations():
    assert len(set(CODES)) == 48


@pytest.mark.parametrize("codes", CODES)
@pytest.mark.parametrize("slice_axis", [0, 1, 2])
def test_round_trip_and_agreement_with_nibabel(codes, slice_axis):
    data = np.arange(120.0).reshape(SHAPE)
    affine = affine_of(codes, tilt=8.0)
    grid = Grid(SHAPE, affine, slice_axis)
    canonical = nib.as_closest_canonical(nib.Nifti1Image(data, affine))
    hwd = grid.to_hwd(data)
    np.testing.assert_array_equal(hwd, ras_to_hwd(canonical.get_fdata(), slice_axis))
    np.testing.assert_array_equal(grid.to_native(hwd), data)
    assert grid.hwd_shape == hwd.shape
    right, front, up = canonical.header.get_zooms()
    expected = {0: (up, front, right), 1: (up, right, front), 2: (right, front, up)}[slice_axis]
    assert grid.zooms == pytest.approx(expected)


def test_depth_is_the_slice_axis():
    ras = np.zeros((2, 3, 4))
    assert [ras_to_hwd(ras, axis).shape for axis in (0, 1, 2)] == [(4, 3, 2), (4, 2, 3), (2, 3, 4)]


@given(st.integers(0, 2), st.integers(1, 3))
@settings(max_examples=20)
def test_ras_round_trip_with_leading_axes(slice_axis, channels):
    data = np.random.default_rng(0).random((channels, 2, 3, 4))
    np.testing.assert_array_equal(hwd_to_ras(ras_to_hwd(data, slice_axis), slice_axis), data)


def test_matches_tolerates_rounding_but_no_shift_or_flip():
    affine = affine_of("RAS")
    moved = affine.copy()
    moved[0, 3] += 0.5
    grid = Grid(SHAPE, affine)
    assert grid.matches(Grid(SHAPE, affine + 1e-6))
    assert not grid.matches(Grid(SHAPE, moved))
    assert not grid.matches(Grid((4, 5, 7), affine))
    tilted = affine_of("RAS", tilt=8.0)
    assert Grid(SHAPE, tilted).matches(Grid(SHAPE, np.round(tilted, 2)))
    assert not Grid(SHAPE, np.diag([-0.5, 0.75, 2.0, 1.0])).matches(grid)  # elsewhere, not flipped


@pytest.mark.parametrize("codes", CODES)
@given(first=st.sampled_from(CODES), tilt=st.floats(-60, 60), digits=st.sampled_from([2, 3, 8]))
@settings(max_examples=15, deadline=None)
def test_the_same_voxels_in_another_order_match_and_align(codes, first, tilt, digits):
    data = np.arange(120.0).reshape(SHAPE)
    stored = nib.Nifti1Image(data, affine_of(first, tilt=tilt))
    turn = ornt_transform(axcodes2ornt(first), axcodes2ornt(codes))
    other = stored.as_reoriented(turn)
    grid, turned = Grid(SHAPE, stored.affine), Grid(other.shape, np.round(other.affine, digits))
    assert grid.matches(turned)
    np.testing.assert_array_equal(grid.align(turned, np.asarray(other.dataobj)), data)
    shifted = other.affine.copy()
    shifted[:3, 3] += 2 * other.affine[:3, 0]
    assert not grid.matches(Grid(other.shape, shifted))
    with pytest.raises(ValueError, match="are no voxels of"):
        grid.align(Grid(other.shape, shifted), data)


def test_classes_keep_their_place_when_they_are_aligned():
    data = np.arange(240.0).reshape(*SHAPE, 2)
    turned = nib.Nifti1Image(data, affine_of("RAS")).as_reoriented(axcodes2ornt("PIR"))
    aligned = Grid(SHAPE, affine_of("RAS")).align(
        Grid(turned.shape[:3], turned.affine), np.asarray(turned.dataobj)
    )
    np.testing.assert_array_equal(aligned, data)
