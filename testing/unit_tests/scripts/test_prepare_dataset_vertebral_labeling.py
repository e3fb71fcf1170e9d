"""``ivadomed_prepare_dataset_vertebral_labeling`` on the phantom, whose discs are known."""

import shutil

import nibabel as nib
import numpy as np
import pytest

from ivadomed.scripts.prepare_dataset_vertebral_labeling import main, mask2label

SUBJECT = "sub-002"


@pytest.fixture
def data(study, tmp_path):
    return shutil.copytree(study, tmp_path / "data")


def label_of(data, subject=SUBJECT):
    return data / "derivatives" / "labels" / subject / "anat" / f"{subject}_T2w_labels-disc-manual.nii.gz"


def test_points_of_a_label(tmp_path):
    voxels = np.zeros((4, 5, 6), np.uint8)
    voxels[1, 2, 3], voxels[2, 2, 4], voxels[3, 0, 0], voxels[0, 0, 5] = 5, 3, 49, 1
    path = tmp_path / "label.nii.gz"
    nib.save(nib.Nifti1Image(voxels[::-1], np.diag([-1, 1, 1, 1])), path)
    assert mask2label(path) == mask2label(path, -1) == [[2, 2, 4, 3], [1, 2, 3, 5]]
    assert mask2label(path, 49) == [[3, 0, 0, 49]]
    assert mask2label(path, 7) == []


def test_slices_and_heatmaps(data, capsys):
    before = {p: p.read_bytes() for p in data.rglob("*.nii.gz")}
    assert main(["-p", str(data), "-s", "_T2w", "-a", "0"]) == 0
    assert "12 files in" in capsys.readouterr().out
    assert all(p.read_bytes() == content for p, content in before.items())
    image = nib.as_closest_canonical(nib.load(data / SUBJECT / "anat" / f"{SUBJECT}_T2w_mid.nii.gz"))
    label = label_of(data)
    path = label.with_name(f"{SUBJECT}_T2w_mid_heatmap0.nii.gz")
    heatmap = nib.as_closest_canonical(nib.load(path))
    discs = nib.as_closest_canonical(nib.load(label))
    assert image.shape == heatmap.shape == (1, *discs.shape[1:])
    np.testing.assert_allclose(image.affine, heatmap.affine)
    heat = heatmap.get_fdata()[0]
    assert heat.max() == 1
    points = np.argwhere(discs.get_fdata() > 0)
    near = np.zeros(heat.shape, bool)
    for _, y, z in points:
        near[max(0, y - 5) : y + 6, max(0, z - 5) : z + 6] = True
        # A pixel off, for a kernel of even size has no middle one.
        assert heat[max(0, y - 1) : y + 2, max(0, z - 1) : z + 2].max() > 0.7
    np.testing.assert_allclose(heat[~near], 0, atol=1e-6)
    assert len(points) > 0


def test_one_disc(data):
    values = sorted({value for *_, value in mask2label(label_of(data))})
    assert main(["--path", str(data), "--suffix", "_T2w", "--aim", str(values[1])]) == 0
    path = label_of(data).with_name(f"{SUBJECT}_T2w_mid_heatmap{values[1]}.nii.gz")
    heatmap = nib.as_closest_canonical(nib.load(path)).get_fdata()[0]
    [[_, y, z, _]] = mask2label(label_of(data), values[1])
    assert np.abs(np.unravel_index(heatmap.argmax(), heatmap.shape) - np.array([y, z])).max() <= 1


def test_errors_are_one_line(data, tmp_path, capsys):
    def error_of(*arguments):
        assert main(["-p", str(data), *arguments]) == 1
        [line] = capsys.readouterr().err.strip().splitlines()
        return line

    assert "has no image sub-*/anat/*_T9w.nii.gz" in error_of("-s", "_T9w")
    assert "has disc 77 in its label" in error_of("-s", "_T2w", "-a", "77")
    nib.save(nib.Nifti1Image(np.full((3, 3, 3), 3, np.uint8), np.eye(4)), label_of(data))
    assert "lies on another grid" in error_of("-s", "_T2w")
