"""Uncertainty maps against numbers found by hand, and their files."""

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.ndimage import generate_binary_structure, label

from ivadomed.errors import DataError
from ivadomed.inference.uncertainty import (
    MonteCarlo,
    combine_predictions,
    entropy,
    hard_threshold,
    run_uncertainty,
    structures,
    structurewise_uncertainty,
    voxelwise_uncertainty,
)


def maps_of(*samples):
    found = MonteCarlo()
    for sample in samples:
        found.add(np.asarray(sample, np.float32)[..., None])
    return found.maps()


@pytest.fixture
def shapes():
    """Two samples of a plane with two structures: one moves by a voxel, one grows from 4 to 6 voxels."""
    first, second = np.zeros((12, 12, 1)), np.zeros((12, 12, 1))
    first[1:4, 1:3], second[2:5, 1:3] = 1, 1
    first[8:10, 8:10], second[8:10, 8:11] = 1, 1
    return first, second


def test_structures_by_hand(shapes):
    maps = maps_of(*shapes)
    moved, grown = (2, 1, 0, 0), (8, 8, 0, 0)
    assert maps.iou[moved] == pytest.approx(4 / 8)
    assert maps.cv[moved] == 0  # both samples have 6 voxels
    assert maps.iou[grown] == pytest.approx(4 / 6)
    assert maps.cv[grown] == pytest.approx(1 / 5)  # 4 and 6: deviation 1, mean 5
    # Where the samples agree the entropy is 0, elsewhere that of 0.5.
    assert maps.vox[moved] == pytest.approx(0, abs=1e-4)
    assert maps.vox[1, 1, 0, 0] == pytest.approx(np.log(2), abs=1e-4)
    assert maps.avg_unc[moved] == pytest.approx(4 / 8 * np.log(2), abs=1e-4)
    for data in (maps.iou, maps.cv, maps.avg_unc):
        assert data[0, 0, 0, 0] == 0
    np.testing.assert_array_equal(maps.hard[..., 0], np.maximum(*shapes))


def test_a_structure_that_one_sample_lacks():
    there = np.zeros((8, 8, 1))
    there[2:4, 2:4] = 1
    maps = maps_of(there, np.zeros_like(there))
    assert maps.iou[2, 2, 0, 0] == 0
    assert maps.cv[2, 2, 0, 0] == pytest.approx(1)  # 4 and 0: deviation 2, mean 2


def test_of_a_structure_that_a_sample_breaks_the_larger_part_counts_whole():
    whole, broken = np.zeros((12, 3, 1)), np.zeros((12, 3, 1))
    whole[1:9, 1] = 1
    broken[1:4, 1] = broken[5:10, 1] = 1  # 3 voxels, and 5 of which 4 are in the structure
    maps = maps_of(whole, whole, whole, broken)  # from 1/4 on: 9 voxels
    assert maps.iou[1, 1, 0, 0] == pytest.approx(4 / 9)
    volumes = [8, 8, 8, 5]
    assert maps.cv[1, 1, 0, 0] == pytest.approx(np.std(volumes) / np.mean(volumes))
    equal = np.zeros_like(whole)
    equal[1:4, 1] = equal[6:9, 1] = 1  # of equal parts the first one
    assert maps_of(whole, equal).iou[8, 1, 0, 0] == pytest.approx(3 / 8)


def test_all_that_a_sample_holds_above_zero_counts():
    first = np.zeros((9, 9, 1))
    first[3:5, 3:5] = 0.9
    second = np.where(first > 0, first, 0)
    second[5, 3:5] = 0.02  # too faint for the structure, but of its object in this sample
    maps = maps_of(first, second)
    assert np.count_nonzero(maps.hard) == 4
    assert maps.iou[3, 3, 0, 0] == pytest.approx(4 / 6)
    assert maps.cv[3, 3, 0, 0] == pytest.approx(1 / 5)


def test_a_single_voxel_is_no_structure():
    sample = np.zeros((6, 6, 1))
    sample[1, 1] = sample[4, 3:5] = 1
    maps = maps_of(sample, sample)
    assert maps.iou[1, 1, 0, 0] == 0
    assert maps.iou[4, 3, 0, 0] == 1


def reference(hard, samples, vox):
    """cv, iou and avgUnc as ivadomed 2.9.10 is described to compute them."""
    neighbours = generate_binary_structure(3, 2)
    objects, count = label(hard, neighbours)
    cv, iou, average = (np.zeros(hard.shape) for _ in range(3))
    for structure in range(1, count + 1):
        inside = objects == structure
        if inside.sum() <= 1:
            continue
        shapes = []
        for sample in samples:
            labels, _ = label(sample > 0, neighbours)
            shared = np.bincount(labels[inside], minlength=1)
            shared[0] = 0
            shapes.append(labels == shared.argmax() if shared.any() else np.zeros_like(inside))
        volumes, union = [shape.sum() for shape in shapes], np.logical_or.reduce(shapes).sum()
        cv[inside] = np.std(volumes) / np.mean(volumes) if union else 0
        iou[inside] = np.logical_and.reduce(shapes).sum() / union if union else 0
        average[inside] = vox[inside].mean()
    return cv, iou, average


VALUES = st.sampled_from(np.float32([0, 0, 0, 0, 0.02, 0.3, 0.5, 0.9, 1]).tolist())


@given(
    samples=st.integers(1, 4).flatmap(
        lambda n: hnp.arrays(np.float32, (n, 6, 6, 3), elements=VALUES)
    ),
    hard=hnp.arrays(bool, (6, 6, 3)),
)  # fmt: skip
def test_structures_as_described(samples, hard):
    vox = entropy(samples.mean(axis=0))
    found = structures(hard[..., None], lambda: [sample[..., None] > 0 for sample in samples], vox[..., None])
    for data, expected in zip(found, reference(hard, samples, vox), strict=True):
        np.testing.assert_allclose(data[..., 0], expected, atol=1e-6)
    maps = maps_of(*samples)
    expected = reference(maps.hard[..., 0], samples, maps.vox[..., 0])
    for data, of_reference in zip((maps.cv, maps.iou, maps.avg_unc), expected, strict=True):
        np.testing.assert_allclose(data[..., 0], of_reference, atol=1e-6)


def test_one_sample_is_certain():
    sample = np.zeros((6, 6, 1))
    sample[2:4, 2:4] = 0.9
    maps = maps_of(sample)
    np.testing.assert_allclose(maps.soft[..., 0], sample, atol=1e-6)
    np.testing.assert_array_equal(maps.hard[..., 0], sample > 0)
    assert maps.iou[2, 2, 0, 0] == 1
    assert maps.cv[2, 2, 0, 0] == 0


def test_nothing_predicted():
    maps = maps_of(np.zeros((4, 4, 2)), np.zeros((4, 4, 2)))
    for data in (maps.soft, maps.hard, maps.vox, maps.cv, maps.iou, maps.avg_unc):
        assert not data.any()


def test_entropy_and_threshold():
    np.testing.assert_allclose(entropy(np.array([0, 0.5, 1])), [0, np.log(2), 0], atol=1e-4)
    assert [hard_threshold(n) for n in (1, 2, 4)] == [0.5, 0.5, 0.25]


def test_classes_do_not_mix(shapes):
    found = MonteCarlo()
    for sample in shapes:
        found.add(np.stack([sample, np.zeros_like(sample)], axis=-1))
    maps = found.maps()
    np.testing.assert_array_equal(maps.iou[..., :1], maps_of(*shapes).iou)
    assert not maps.iou[..., 1].any()


@pytest.fixture
def folder(shapes, tmp_path):
    """Samples of one image in files."""
    for number, sample in enumerate(shapes):
        nib.save(
            nib.Nifti1Image(sample, np.diag([2, 2, 3, 1.0])), tmp_path / f"sub-1_T1w_pred_{number:02d}.nii.gz"
        )
    return tmp_path


def data_of(path):
    return nib.load(path).get_fdata().reshape(12, 12, 1, 1)


def test_files_of_a_folder(folder, shapes):
    run_uncertainty(folder)
    maps = maps_of(*shapes)
    for path, data in maps.files(folder / "sub-1_T1w").items():
        np.testing.assert_allclose(data_of(path), data, atol=1e-6)
        np.testing.assert_array_equal(nib.load(path).affine, np.diag([2, 2, 3, 1.0]))
    np.testing.assert_array_equal(data_of(folder / "sub-1_T1w_pred.nii.gz"), maps.hard)


def test_documented_functions_give_the_same(folder, shapes):
    files = sorted(str(path) for path in folder.glob("*_pred_*"))
    hard, soft, vox = (str(folder / name) for name in ("hard.nii.gz", "soft.nii.gz", "vox.nii.gz"))
    combine_predictions(files, hard, soft, thr=0.5)
    voxelwise_uncertainty(files, vox)
    structurewise_uncertainty(files, hard, vox, str(folder / "x_unc.nii.gz"))
    maps = maps_of(*shapes)
    np.testing.assert_allclose(data_of(soft), maps.soft)
    np.testing.assert_allclose(data_of(vox), maps.vox, atol=1e-6)
    for name, data in (("cv", maps.cv), ("iou", maps.iou), ("avgUnc", maps.avg_unc)):
        np.testing.assert_allclose(data_of(folder / f"x_unc-{name}.nii.gz"), data, atol=1e-6)


def test_samples_that_do_not_belong_together_are_named(folder):
    nib.save(nib.Nifti1Image(np.zeros((3, 3, 3)), np.eye(4)), folder / "sub-1_T1w_pred_02.nii.gz")
    with pytest.raises(DataError, match=r"sub-1_T1w_pred_02.nii.gz: .*shape .*remove the samples"):
        run_uncertainty(folder)
    with pytest.raises(DataError, match="no Monte Carlo sample"):
        voxelwise_uncertainty([], "out.nii.gz")
