"""Where labels lie, and intensities of CT; expected numbers are worked out by hand."""

import nibabel as nib
import numpy as np
import pytest

from ivadomed.images.labels import LabelFile
from ivadomed.suggest.foreground import LabelledImage, images_to_read, look_at_foreground

SHAPE = (10, 20, 8)
ZOOMS = (2.0, 1.0, 3.0)


@pytest.fixture
def labelled(tmp_path):
    def write(image, *masks, contrast="T1w", name="a"):
        paths = [tmp_path / f"{name}{k}.nii.gz" for k in range(len(masks) + 1)]
        for data, path in zip((image, *masks), paths, strict=True):
            nib.save(nib.Nifti1Image(np.asarray(data, np.int16), np.diag([*ZOOMS, 1])), path)
        return LabelledImage(paths[0], contrast, tuple(map(LabelFile, paths[1:])))

    return write


def box(*bounds):
    data = np.zeros(SHAPE)
    data[tuple(slice(low, high) for low, high in bounds)] = 1
    return data


def test_boxes_around_all_classes(labelled):
    image = labelled(np.ones(SHAPE), box((4, 6), (2, 8), (0, 8)), box((5, 9), (7, 9), (3, 4)))
    found = look_at_foreground([image], complete=True)
    # 4 to 9 of 10, 2 to 9 of 20, all of 8; about the centre 4, 8 and 4 voxels to one side.
    np.testing.assert_array_equal(found.extent, [[5 * 2, 7 * 1, 8 * 3]])
    np.testing.assert_array_equal(found.reach, [[8 * 2, 16 * 1, 8 * 3]])
    assert found.complete
    assert found.ct is None


def test_empty_and_faulty_labels_are_passed_over(labelled, tmp_path):
    (tmp_path / "broken.nii.gz").write_bytes(b"no image")
    broken = LabelledImage(tmp_path / "a0.nii.gz", "T1w", (LabelFile(tmp_path / "broken.nii.gz"),))
    items = [
        labelled(np.ones(SHAPE), box((4, 6), (2, 8), (0, 8))),
        labelled(np.ones(SHAPE), 0 * box(), name="b"),
    ]
    assert look_at_foreground(items, complete=True).complete
    found = look_at_foreground([*items, broken], complete=True)
    assert not found.complete
    assert len(found.extent) == 1


@pytest.mark.parametrize(("contrast", "air", "is_ct"), [("CT", 0, True), ("x", -1000, True), ("x", 0, False)])
def test_ct_by_its_name_or_by_air(labelled, contrast, air, is_ct):
    mask = box((2, 8), (2, 12), (1, 6))
    image = np.where(mask, 0, air)
    image[mask > 0] = np.arange(300) + 100  # 100 to 399
    found = look_at_foreground([labelled(image, mask, contrast=contrast)], complete=True).ct
    assert (found is not None) == is_ct
    if found:
        assert (found.images, found.mean) == (1, 249.5)
        assert (found.lower, found.upper) == pytest.approx((100 + 0.005 * 299, 100 + 0.995 * 299))
        assert found.std == pytest.approx(np.sqrt((300**2 - 1) / 12), rel=1e-5)


def test_all_small_labels_are_read_and_some_large_ones():
    assert images_to_read(200, 40**3) == 200
    assert images_to_read(5000, 40**3) == 1000
    assert images_to_read(200, 512 * 512 * 300) == 8
    assert images_to_read(3, 512 * 512 * 300) == 3
