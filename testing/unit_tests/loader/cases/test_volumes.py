"""Reading the files of a case."""

import threading
from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest

from ivadomed.errors import DataError
from ivadomed.loader.cases import volumes as module
from ivadomed.loader.cases.volumes import pixel_size_mm, read_ahead, read_volume


def test_shapes_and_order(make_case):
    case = make_case(channels=2, classes=2, roi=True)
    volume = read_volume(case, slice_axis=0)
    assert volume.image.shape == (2, 5, 14, 12)
    assert volume.target.shape == (2, 5, 14, 12)
    assert volume.roi.shape == (5, 14, 12)
    first = nib.load(case.images[0]).get_fdata(dtype=np.float32)
    np.testing.assert_array_equal(volume.image[0], first.transpose(2, 1, 0))


def test_a_class_without_a_file_is_empty(make_case):
    case = make_case(classes=1)
    volume = read_volume(replace(case, targets=(None, *case.targets)), 2)
    assert not volume.target[0].any()
    assert volume.target[1].any()


def test_labels_are_binarized_unless_soft(make_case, tmp_path):
    case = make_case(shape=(4, 4, 2))
    soft = np.full((4, 4, 2), 0.3, np.float32)
    soft[0] = 0.7
    nib.save(nib.Nifti1Image(soft, nib.load(case.images[0]).affine), case.targets[0][0].path)
    assert set(np.unique(read_volume(case, 2).target)) == {0, 1}
    np.testing.assert_allclose(np.unique(read_volume(case, 2, soft_gt=True).target), [0.3, 0.7])


def test_label_on_another_grid_is_refused_with_both_names(make_case):
    case = make_case()
    label = nib.load(case.targets[0][0].path)
    shifted = label.affine.copy()
    shifted[2, 3] += 1
    nib.save(nib.Nifti1Image(np.asarray(label.dataobj), shifted), case.targets[0][0].path)
    with pytest.raises(
        DataError, match=r"sub-01_T1w_seg0.nii.gz lies on another grid than .*sub-01_T1w_0.nii.gz"
    ):
        read_volume(case, 2)


def test_labels_masks_and_channels_may_be_stored_in_another_order(make_case, stored_as):
    case = make_case(channels=2, classes=2, roi=True)
    before = read_volume(case, 0)
    for path in (case.images[1], case.targets[0][0].path, case.roi.path):
        stored_as(path)
    after = read_volume(case, 0)
    for name in ("image", "target", "roi"):
        np.testing.assert_array_equal(getattr(after, name), getattr(before, name))
    np.testing.assert_array_equal(after.grid.affine, before.grid.affine)


@pytest.mark.parametrize(
    ("value", "fault"),
    [
        (np.nan, "has NaN or infinite"),
        (np.inf, "has NaN or infinite"),
        (-1e30, r"has voxels up to 1e\+30, whose variance exceeds 32-bit floats"),
    ],
)
def test_values_without_a_variance_are_refused(make_case, value, fault):
    case = make_case()
    image = nib.load(case.images[0])
    data = image.get_fdata(dtype=np.float32)
    data[1, 2, 3] = value
    nib.save(nib.Nifti1Image(data, image.affine), case.images[0])
    with pytest.raises(DataError, match=rf"sub-01_T1w_0.nii.gz: {fault}"):
        read_volume(case, 2)


def test_pixel_size():
    assert pixel_size_mm({}) is None
    assert pixel_size_mm({"PixelSize": [0.2, 0.5], "PixelSizeUnits": "um"}) == pytest.approx((0.0005, 0.0002))
    assert pixel_size_mm({"PixelSize": [0.1], "PixelSizeUnits": "mm"}) == (0.1, 0.1)
    with pytest.raises(DataError, match="PixelSizeUnits mm, um or nm"):
        pixel_size_mm({"PixelSize": [1, 1], "PixelSizeUnits": "inch"})
    for size in (True, [True, True], [0.1, None], [[0.1, 0.1]]):
        with pytest.raises(
            DataError, match="in the sidecar is not a pixel size; expected one to three positive"
        ):
            pixel_size_mm({"PixelSize": size})


def test_reading_ahead_keeps_the_order_and_is_one_case_ahead(make_case, monkeypatch):
    cases = [make_case(f"sub-{i}") for i in range(4)]
    read, threads = [], set()
    original = module.read_volume

    def spy(one, *arguments):
        read.append(one.id)
        threads.add(threading.get_ident())
        return original(one, *arguments)

    monkeypatch.setattr(module, "read_volume", spy)
    stream = read_ahead(cases, 2, with_target=False)
    first, volume = next(stream)
    assert first is cases[0]
    assert volume.target is None
    assert set(read) <= {"sub-0", "sub-1"}
    rest = list(stream)
    assert [one.id for one, _ in rest] == ["sub-1", "sub-2", "sub-3"]
    assert read == ["sub-0", "sub-1", "sub-2", "sub-3"]
    assert threading.get_ident() not in threads
    assert list(read_ahead([], 2)) == []


def test_a_damaged_image_stops_at_its_place(make_case):
    cases = [make_case(f"sub-{i}") for i in range(3)]
    cases[1].images[0].write_bytes(b"garbage")
    stream = read_ahead(cases, 2)
    assert next(stream)[0].id == "sub-0"
    with pytest.raises(DataError, match=r"sub-1_0.nii.gz"):
        next(stream)


def test_a_box_is_cut_off_at_the_image_and_refused_beyond_it(make_case):
    case = make_case()  # 12 x 14 x 5
    assert read_volume(case, 2).box is None
    assert read_volume(replace(case, box=(3, 30, 0, 4, 2, 4)), 2).box == (3, 11, 0, 4, 2, 4)
    with pytest.raises(
        DataError, match=r"sub-01_T1w_0.nii.gz: the bounding box .* outside .* 12x14x5 voxels"
    ):
        read_volume(replace(case, box=(12, 30, 0, 4, 2, 4)), 2)
