"""Reading and writing image files."""

import gzip

import imageio.v3 as iio
import nibabel as nib
import numpy as np
import pytest

from ivadomed.errors import DataError
from ivadomed.images import pictures
from ivadomed.images.io import (
    make_nifti,
    read_classes,
    read_grid,
    read_image,
    split_extension,
    write_nifti,
    write_picture,
)


@pytest.fixture
def oblique():
    affine = np.array([[0.0, 0.1, 2.0, 5], [-0.7, 0, 0.1, 3], [0, 0.9, 0, 1], [0, 0, 0, 1]])
    image = nib.Nifti1Image(np.random.default_rng(0).random((4, 5, 6)).astype(np.float32), affine)
    image.set_qform(affine, 1)
    image.set_sform(affine, 2)
    image.header["descrip"] = b"scanner"
    return image


def test_output_keeps_grid_and_header_but_has_its_own_type(tmp_path, oblique):
    nib.save(oblique, tmp_path / "in.nii.gz")
    image = read_image(tmp_path / "in.nii.gz")
    write_nifti(tmp_path / "out.nii.gz", image.data > 0.5, image.affine, image.header, np.uint8)
    out = nib.load(tmp_path / "out.nii.gz")
    np.testing.assert_array_equal(np.asanyarray(out.dataobj), oblique.get_fdata() > 0.5)
    assert out.get_data_dtype() == np.uint8
    np.testing.assert_allclose(out.affine, oblique.affine)
    assert out.header["qform_code"] == 1
    assert out.header["sform_code"] == 2
    assert out.header["descrip"] == b"scanner"


def test_scaling_of_the_input_is_not_inherited(tmp_path, oblique):
    oblique.header.set_data_dtype(np.int16)
    nib.save(oblique, tmp_path / "scaled.nii.gz")
    image = read_image(tmp_path / "scaled.nii.gz")
    soft = np.linspace(0, 1, 120, dtype=np.float32).reshape(4, 5, 6)
    write_nifti(tmp_path / "soft.nii.gz", soft, image.affine, image.header)
    np.testing.assert_array_equal(nib.load(tmp_path / "soft.nii.gz").get_fdata(dtype=np.float32), soft)


def test_trailing_axes_of_one_are_dropped_and_real_volumes_refused(tmp_path):
    nib.save(nib.Nifti1Image(np.zeros((2, 3, 4, 1), np.float32), np.eye(4)), tmp_path / "one.nii")
    assert read_image(tmp_path / "one.nii").data.shape == (2, 3, 4)
    nib.save(nib.Nifti1Image(np.zeros((2, 3, 4, 7), np.float32), np.eye(4)), tmp_path / "seven.nii")
    with pytest.raises(DataError, match=r"seven.nii: has 7 volumes.*extract"):
        read_image(tmp_path / "seven.nii")


def test_a_single_slice_is_three_dimensional(tmp_path):
    nib.save(nib.Nifti1Image(np.zeros((2, 3), np.float32), np.eye(4)), tmp_path / "flat.nii")
    assert read_image(tmp_path / "flat.nii").data.shape == (2, 3, 1)
    assert read_grid(tmp_path / "flat.nii").shape == (2, 3, 1)


@pytest.mark.parametrize("content", [b"", b"not a nifti", "truncated"])
def test_damaged_files_are_named(tmp_path, oblique, content):
    path = tmp_path / "bad.nii.gz"
    if content == "truncated":
        nib.save(oblique, path)
        content = path.read_bytes()[:-40]
    elif content:
        content = gzip.compress(content)
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"bad.nii.gz: .*replace or remove"):
        read_image(path)


def test_absent_and_foreign_files(tmp_path):
    with pytest.raises(DataError, match="no such image"):
        read_image(tmp_path / "nothing.nii.gz")
    (tmp_path / "x.txt").write_text("x")
    with pytest.raises(DataError, match=r"not an image file; expected one of \.nii\.gz"):
        read_image(tmp_path / "x.txt")


@pytest.mark.parametrize("extension", [".png", ".tif", ".ome.tif", ".jpg"])
def test_grey_pictures(tmp_path, extension):
    pixels = np.tile(np.arange(0, 240, 10, dtype=np.uint8), (16, 1))
    write_picture(tmp_path / f"a{extension}", pixels)
    image = read_image(tmp_path / f"a{extension}", pixel_size=(0.2, 0.1))
    assert image.data.shape == (16, 24, 1)
    np.testing.assert_allclose(image.data[..., 0], pixels, atol=4 if extension == ".jpg" else 0)
    assert image.zooms == (0.2, 0.1, 1.0)


def test_colour_becomes_luma_and_alpha_is_dropped(tmp_path):
    pixels = np.zeros((2, 3, 4), np.uint8)
    pixels[..., 0], pixels[..., 1], pixels[..., 2], pixels[..., 3] = 200, 100, 50, 7
    iio.imwrite(tmp_path / "c.png", pixels)
    np.testing.assert_allclose(
        read_image(tmp_path / "c.png").data, 0.299 * 200 + 0.587 * 100 + 0.114 * 50, rtol=1e-6
    )


def test_a_faint_prediction_picture_keeps_its_values(tmp_path):
    write_picture(tmp_path / "p.png", np.array([[0, 51]], np.uint8))
    np.testing.assert_allclose(read_classes(tmp_path / "p.png").data.ravel(), [0, 0.2], rtol=1e-6)


def test_colours_of_nifti_become_grey(tmp_path):
    colours = np.zeros((2, 3, 1), [("R", "u1"), ("G", "u1"), ("B", "u1")])
    colours["R"], colours["G"], colours["B"] = 200, 100, 50
    nib.save(nib.Nifti1Image(colours, np.eye(4)), tmp_path / "rgb.nii")
    expected = np.full((2, 3, 1), 0.299 * 200 + 0.587 * 100 + 0.114 * 50)
    np.testing.assert_allclose(read_image(tmp_path / "rgb.nii").data, expected, rtol=1e-6)


def test_complex_voxels_are_refused(tmp_path):
    nib.save(nib.Nifti1Image(np.full((2, 3, 4), 1j, np.complex64), np.eye(4)), tmp_path / "c.nii")
    with pytest.raises(DataError, match=r"c\.nii: has complex voxels.*magnitude"):
        read_image(tmp_path / "c.nii")


@pytest.mark.parametrize(("place", "value"), [((0, 3), np.nan), ((0, 0), 0)])
def test_headers_that_describe_no_grid_are_refused(tmp_path, place, value):
    image = nib.Nifti1Image(np.ones((2, 3, 4), np.float32), None)
    affine = np.eye(4)
    affine[place] = value
    image.header.set_sform(affine, 1)
    nib.save(image, tmp_path / "a.nii")
    with pytest.raises(DataError, match=r"a\.nii: .* not a voxel grid; fix the header"):
        read_grid(tmp_path / "a.nii")


@pytest.mark.parametrize("offset", [353, 1e6, 1e30, np.inf, np.nan, -1])
@pytest.mark.parametrize("extension", [".nii", ".nii.gz"])
def test_voxels_that_begin_behind_the_end_of_the_file_are_refused(tmp_path, offset, extension):
    header = bytearray(nib.Nifti1Image(np.ones((2, 3, 4), np.int16), np.eye(4)).to_bytes())
    header[108:112] = np.float32(offset).tobytes()
    path = tmp_path / f"a{extension}"
    path.write_bytes(gzip.compress(bytes(header)) if extension == ".nii.gz" else bytes(header))
    with pytest.raises(DataError, match=r"a\.nii.*: .*; replace or remove it"):
        read_image(path)


@pytest.mark.parametrize("extension", [".nii", ".nii.gz", ".png", ".tif", ".jpg"])
def test_images_that_do_not_fit_into_the_memory_are_refused_by_their_header(tmp_path, monkeypatch, extension):
    path = tmp_path / f"a{extension}"
    if extension.startswith(".nii"):
        write_nifti(path, np.ones((16, 24, 1), np.uint8), np.eye(4))
    else:
        write_picture(path, np.ones((16, 24), np.uint8))
    monkeypatch.setattr("ivadomed.runtime.memory.available_memory", lambda: 4 * 16 * 24)
    assert read_image(path).data.size == 16 * 24
    monkeypatch.setattr("ivadomed.runtime.memory.available_memory", lambda: 4 * 16 * 24 - 1)
    size, _ = pictures._FORMATS.get(extension, (None, None))
    monkeypatch.setitem(
        pictures._FORMATS, extension, (size, lambda path: pytest.fail("the pixels were read"))
    )
    with pytest.raises(DataError, match=rf"a\{extension}: its 16x24.* voxels take .* GB of memory"):
        read_image(path)


def test_split_extension():
    assert split_extension("a.b/sub-1_SEM.ome.tif") == ("a.b/sub-1_SEM", ".ome.tif")
    assert split_extension("sub-1_T1w.nii.gz") == ("sub-1_T1w", ".nii.gz")


def test_make_nifti_without_a_header():
    image = make_nifti(np.zeros((2, 3, 4), np.float32), np.diag([1.0, 2, 3, 1]))
    assert image.header.get_zooms() == (1, 2, 3)
    assert image.header.get_xyzt_units()[0] == "mm"
