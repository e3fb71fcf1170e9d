"""Images and labels by file name."""

from dataclasses import replace

import imageio.v3 as iio
import nibabel as nib
import numpy as np
import pytest

from ivadomed.compat.pairs import SegmentationPair, case_of, filename_pair_of
from ivadomed.errors import DataError
from ivadomed.images.labels import LabelFile
from ivadomed.loader.cases.case import Case


def pair_of(case: Case, **options) -> SegmentationPair:
    inputs, labels, _, metadata = filename_pair_of(case)
    return SegmentationPair(inputs, labels, metadata, **options)


@pytest.mark.parametrize(("slice_axis", "order"), [(2, (0, 1, 2)), (1, (2, 0, 1)), (0, (2, 1, 0))])
def test_voxels_shapes_and_metadata_are_in_hwd_order(make_case, slice_axis, order):
    case = make_case(zooms=(1.0, 1.5, 2.0), channels=2)
    pair = pair_of(case, slice_axis=slice_axis)
    images, labels = pair.get_pair_data()
    shape = tuple(np.take((12, 14, 5), order))
    assert pair.get_pair_shapes() == (shape, shape)
    for path, image in zip(case.images, images, strict=True):
        np.testing.assert_allclose(image, nib.load(path).get_fdata().transpose(order), rtol=1e-6)
    np.testing.assert_array_equal(labels[0], nib.load(case.targets[0][0].path).get_fdata().transpose(order))
    assert labels[0].dtype == np.uint8
    metadata = pair.get_pair_metadata(3, coord=[0, 4, 2, 6])
    assert len(metadata["input_metadata"]) == 2
    record = metadata["input_metadata"][0]
    assert record["zooms"] == tuple(np.take((1.0, 1.5, 2.0), order))
    assert (record["slice_index"], record["coord"], record["data_type"]) == (3, [0, 4, 2, 6], "im")
    assert record["contrast"] == "T1w"
    assert metadata["gt_metadata"][0]["data_type"] == "gt"


def test_slices(make_case):
    pair = pair_of(make_case(classes=2))
    images, labels = pair.get_pair_data()
    cut = pair.get_pair_slice(2)
    np.testing.assert_array_equal(cut["input"][0], images[0][..., 2])
    np.testing.assert_array_equal(cut["gt"][1], labels[1][..., 2])
    # Balls of radius 3 and 2 around slice 2 of 5.
    assert pair.get_pair_slice(0, "classification")["gt"] == [1, 1]
    thin = pair_of(make_case(shape=(12, 14, 7), classes=2))
    assert thin.get_pair_slice(0, "classification")["gt"] == [1, 0]


def test_raters_missing_classes_and_soft_labels(make_case, tmp_path):
    case = make_case(classes=2)
    soft = tmp_path / "soft.nii.gz"
    nib.save(nib.Nifti1Image(np.full((12, 14, 5), 0.4, np.float32), np.diag([1, 1, 2, 1])), soft)
    raters = replace(case, targets=((case.targets[0][0], case.targets[1][0]), None, (LabelFile(soft),)))
    _, labels = pair_of(raters, soft_gt=True).get_pair_data()
    assert [len(labels[0]), labels[1].any(), float(labels[2].max())] == [2, False, pytest.approx(0.4)]
    _, hard = pair_of(raters).get_pair_data()
    assert not hard[2].any()
    assert len(pair_of(raters).get_pair_metadata()["gt_metadata"][0]) == 2


def test_without_labels(make_case):
    case = make_case()
    pair = SegmentationPair(case.images, None)
    assert pair.get_pair_shapes() == ((12, 14, 5), None)
    assert pair.get_pair_data()[1] == []
    assert pair.get_pair_slice(1)["gt"] == []


def test_shapes_that_differ(make_case):
    first, second = make_case("a"), make_case("b", shape=(12, 14, 6))
    with pytest.raises(DataError, match=r"shape \(12, 14, 6\)"):
        SegmentationPair([*first.images, *second.images], None).get_pair_shapes()


def test_names_and_case_are_each_other(make_case):
    case = replace(make_case(channels=2, classes=2, roi=True), id="sub-01_T1w_0", subject="")
    again = case_of(filename_pair_of(case))
    names = ("id", "images", "targets", "contrasts", "roi")
    assert [getattr(again, n) for n in names] == [getattr(case, n) for n in names]


def test_metadata_of_each_channel(make_case):
    case = make_case(channels=2)
    pair = SegmentationPair(case.images, None, [{"contrast": "T1w"}, {"contrast": "T2w"}])
    contrasts = [m["contrast"] for m in pair.get_pair_metadata()["input_metadata"]]
    assert contrasts == ["T1w", "T2w"]
    with pytest.raises(DataError, match="1 channels given for 2"):
        SegmentationPair(case.images, None, [{}])


def test_pictures(tmp_path):
    path, label = tmp_path / "sub-1_SEM.png", tmp_path / "sub-1_SEM_seg.png"
    pixels = np.random.default_rng(0).integers(0, 255, (8, 6)).astype(np.uint8)
    iio.imwrite(path, pixels)
    iio.imwrite(label, (pixels > 100).astype(np.uint8) * 255)
    pair = SegmentationPair([path], [label], [{"PixelSize": [0.2, 0.1], "PixelSizeUnits": "um"}])
    np.testing.assert_allclose(pair.get_microscopy_pixelsize(path), (1e-4, 2e-4))
    image = pair.read_file(path)
    np.testing.assert_array_equal(image.get_fdata()[..., 0], pixels)
    np.testing.assert_allclose(image.header.get_zooms()[:2], (1e-4, 2e-4))
    np.testing.assert_array_equal(
        pair.convert_file_to_nifti(label, ".png", is_gt=True).get_fdata()[..., 0], pixels > 100
    )
    np.testing.assert_allclose(pair.get_pair_metadata()["input_metadata"][0]["zooms"][:2], (1e-4, 2e-4))
    assert sorted(p.name for p in tmp_path.iterdir()) == [path.name, label.name]
    with pytest.raises(DataError, match="no PixelSize"):
        SegmentationPair([path], None).get_microscopy_pixelsize(path)


def test_handles_are_the_images_in_ras_orientation(make_case, tmp_path):
    case = make_case(channels=2, classes=2)
    flipped = nib.load(case.images[0]).slicer[::-1]
    nib.save(flipped, case.images[0])
    pair = SegmentationPair(case.images, [case.targets[0][0].path, [case.targets[1][0].path], None])
    first, second = pair.input_handle
    np.testing.assert_array_equal(first.get_fdata(), flipped.get_fdata()[::-1])
    np.testing.assert_array_equal(second.get_fdata(), nib.load(case.images[1]).get_fdata())
    label, [rater], absent = pair.gt_handle
    np.testing.assert_array_equal(label.get_fdata(), nib.load(case.targets[0][0].path).get_fdata())
    assert rater.get_data_dtype() == np.uint8
    assert absent is None
    assert SegmentationPair(case.images, None).gt_handle == []
