"""Lattices, grids, orientations and smooth fields."""

import nibabel as nib
import numpy as np
import pytest

from ivadomed.phantom.lattice import oblique_grid, random_waves


@pytest.fixture
def grid():
    return oblique_grid(
        (4, 5, 6), (1.0, 2.0, 3.0), np.array([10.0, -5.0, 3.0]), np.array([4.0, -3.0, 2.0]), "PIR"
    )


def test_grid_has_its_middle_and_zooms(grid):
    assert nib.affines.apply_affine(grid.affine, [1.5, 2.0, 2.5]) == pytest.approx([10.0, -5.0, 3.0])
    assert nib.affines.voxel_sizes(grid.affine) == pytest.approx([1.0, 2.0, 3.0])
    assert nib.aff2axcodes(grid.affine) == ("R", "A", "S")


def test_slabs_cover_the_grid_with_the_right_coordinates(grid):
    whole = np.full((*grid.shape, 3), np.nan)
    for place, lattice in grid.slabs(voxels=40):
        assert place.stop - place.start <= 2
        for axis in range(3):
            whole[:, :, place, axis] = lattice.coordinate(axis)
    expected = nib.affines.apply_affine(grid.affine, np.stack(np.indices(grid.shape), axis=-1))
    np.testing.assert_allclose(whole, expected, atol=1e-4)


def test_subdivided_points_average_to_the_voxel_centre(grid):
    ((_, lattice),) = grid.slabs()
    fine = lattice.subdivided(3).coordinate(2)
    np.testing.assert_allclose(fine.reshape(4, 5, 6, 3).mean(axis=-1), lattice.coordinate(2), atol=1e-4)


def test_nifti_has_the_orientation_and_the_same_world_positions(grid):
    data = np.zeros(grid.shape, np.uint8)
    data[3, 1, 4] = 7
    image = grid.to_nifti(data)
    assert nib.aff2axcodes(image.affine) == ("P", "I", "R")
    assert image.shape == (5, 6, 4)
    (voxel,) = np.argwhere(np.asanyarray(image.dataobj) == 7)
    world = nib.affines.apply_affine(image.affine, voxel)
    assert world == pytest.approx(nib.affines.apply_affine(grid.affine, [3, 1, 4]))
    assert grid.nearest_voxel(world) == (3, 1, 4)
    assert (int(image.header["qform_code"]), int(image.header["sform_code"])) == (1, 1)
    np.testing.assert_allclose(image.get_qform(), image.get_sform(), atol=1e-4)


def test_points_outside_have_no_voxel(grid):
    assert grid.nearest_voxel(np.array([100.0, 0.0, 0.0])) is None


def test_waves_equal_their_cosines(grid):
    waves = random_waves(np.random.default_rng(0), 3, (5.0, 20.0))
    ((_, lattice),) = grid.slabs()
    points = nib.affines.apply_affine(grid.affine, np.stack(np.indices(grid.shape), axis=-1))
    expected = np.cos(points @ waves.vectors.T + waves.phases).sum(axis=-1) * np.sqrt(2 / 3)
    np.testing.assert_allclose(waves(lattice), expected, atol=1e-4)
