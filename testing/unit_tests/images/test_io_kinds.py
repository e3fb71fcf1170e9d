"""Images as other programs hand them over: units, formats of nibabel, types of arrays, pointers, long axes."""

import nibabel as nib
import numpy as np
import pytest

from ivadomed.errors import DataError
from ivadomed.images.io import as_image, make_nifti, read_grid, read_image, write_nifti
from ivadomed.images.labels import as_region
from ivadomed.images.midslice import get_midslice_average
from ivadomed.inference.outputs import split_classes
from ivadomed.postprocessing.masks import label_file_from_coordinates, threshold_predictions

AFFINE = np.array([[-1.5, 0, 0, 10], [0, 0, 2.0, -20], [0, 3.0, 0, 30], [0, 0, 0, 1]])
DATA = np.arange(24, dtype=np.float32).reshape(2, 3, 4)


@pytest.fixture
def in_unit(tmp_path):
    """Write the image with an affine in a unit, and return its path."""

    def write(unit: str, per_mm: float):
        affine = np.diag([per_mm, per_mm, per_mm, 1]) @ AFFINE
        image = nib.Nifti1Image(DATA, affine)
        image.header.set_xyzt_units(unit)
        nib.save(image, tmp_path / f"{unit}.nii.gz")
        return tmp_path / f"{unit}.nii.gz"

    return write


@pytest.mark.parametrize(("unit", "per_mm"), [("mm", 1), ("micron", 1000), ("meter", 0.001), ("unknown", 1)])
def test_affines_are_in_mm_and_results_in_the_unit_of_their_image(in_unit, tmp_path, unit, per_mm):
    path = in_unit(unit, per_mm)
    image = read_image(path)
    np.testing.assert_allclose(image.affine, AFFINE, rtol=1e-6)
    np.testing.assert_allclose(image.zooms, (1.5, 3, 2), rtol=1e-6)
    np.testing.assert_allclose(read_grid(path).affine, AFFINE, rtol=1e-6)
    np.testing.assert_allclose(as_image(nib.load(path)).affine, AFFINE, rtol=1e-6)
    write_nifti(tmp_path / "out.nii.gz", DATA > 3, image.affine, image.header, np.uint8)
    before, after = nib.load(path), nib.load(tmp_path / "out.nii.gz")
    np.testing.assert_allclose(after.affine, before.affine, rtol=1e-6)
    for key in ("xyzt_units", "pixdim", "srow_x", "qform_code", "sform_code"):
        np.testing.assert_allclose(after.header[key], before.header[key], rtol=1e-6)


def test_masks_made_of_images_in_micrometres_lie_where_they_did(in_unit):
    image = nib.load(in_unit("micron", 1000))
    for made in (
        threshold_predictions(image, 3),
        label_file_from_coordinates(image, [[0, 1, 2]]),
        *split_classes(image),
    ):
        np.testing.assert_allclose(made.affine, image.affine, rtol=1e-6)
        assert made.header["xyzt_units"] == image.header["xyzt_units"]


def test_a_slice_of_an_image_in_micrometres_lies_where_it_did(in_unit):
    one = get_midslice_average(in_unit("micron", 1000), 1, slice_axis=0)
    place = nib.load(in_unit("micron", 1000)).affine @ [
        0,
        0,
        0,
        1,
    ]  # RAS: the second of two is the first stored
    np.testing.assert_allclose(one.affine @ [0, 0, 0, 1], place, rtol=1e-6)


@pytest.mark.parametrize("header", [None, nib.Nifti1Header(), nib.Nifti2Header()])
def test_more_voxels_than_nifti_1_counts(tmp_path, header):
    data = np.zeros((40000, 2, 1), np.uint8)
    data[39999] = 1
    write_nifti(tmp_path / "a.nii.gz", data, np.eye(4), header)
    assert isinstance(nib.load(tmp_path / "a.nii.gz"), nib.Nifti2Image)
    np.testing.assert_array_equal(read_image(tmp_path / "a.nii.gz").data, data)
    assert not isinstance(make_nifti(data[:32767], np.eye(4), header), nib.Nifti2Image)


@pytest.mark.parametrize(
    "kind",
    [nib.AnalyzeImage, nib.Spm99AnalyzeImage, nib.MGHImage, nib.Nifti2Image, nib.spatialimages.SpatialImage],
)
def test_images_of_other_formats_of_nibabel(kind):
    given = kind(DATA, np.diag([1.0, 2, 3, 1]))
    image = as_image(given)
    np.testing.assert_array_equal(image.data, DATA)
    np.testing.assert_allclose(image.affine, given.affine)
    made = make_nifti(image.data, image.affine, image.header)
    np.testing.assert_allclose(made.affine, given.affine)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (nib.spatialimages.SpatialImage(DATA, None), "the given image: has no affine"),
        (nib.Nifti1Image(DATA * 1j, np.eye(4)), "the given image: has complex voxels"),
        (DATA * 1j, "the given array: has complex voxels"),
        (DATA.astype(str), "the given array: has voxels of type <U32; expected numbers"),
        (DATA.astype(object), "the given array: has voxels of type object"),
        (np.zeros((0, 3, 4)), r"array of shape \(0, 3, 4\)"),
        (DATA[0, 0], r"array of shape \(4,\)"),
        ([1, 2], "an input is a list; expected a path, a nibabel image or an array"),
    ],
)
def test_what_is_no_image_is_refused_in_one_line(given, message):
    with pytest.raises(DataError, match=message) as caught:
        as_image(given)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("dtype", [bool, np.int8, np.uint64, np.float16, ">f4", np.longdouble])
def test_types_of_arrays(dtype):
    image = as_image(DATA.astype(dtype))
    assert image.data.dtype == np.float32
    np.testing.assert_array_equal(image.data, DATA.astype(dtype).astype(np.float32))


@pytest.mark.parametrize(
    "given", [(DATA > 5) * 255, np.where(DATA > 5, DATA, 0), np.where(DATA > 5, -2.5, 0)]
)
def test_a_region_is_what_is_not_0(given):
    np.testing.assert_array_equal(as_region(given).data, DATA > 5)


def test_a_soft_region_stays_soft():
    np.testing.assert_array_equal(as_region(DATA / 64).data, np.float32(DATA / 64))
    with pytest.raises(DataError, match=r"^the given prior: has NaN"):
        as_region(np.full((2, 2, 2), np.nan))


@pytest.mark.parametrize("name", ["a.nii.gz", "a.png"])
@pytest.mark.parametrize(
    "content",
    [
        "/annex/objects/MD5E-s4--00.nii.gz\n",
        "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 4\n",
        None,
    ],
)
def test_content_that_was_not_fetched(tmp_path, name, content):
    path = tmp_path / name
    if content is None:
        path.symlink_to(tmp_path / ".git" / "annex" / "objects" / "x")
    else:
        path.write_text(content)
    for read in (read_image, read_grid, as_region):
        with pytest.raises(
            DataError, match=rf"{name}: is a pointer to missing content; .*fetch it first \(git annex get"
        ):
            read(path)
