"""Noise floor, data types and headers of predictions."""

from pathlib import Path

import imageio.v3 as iio
import nibabel as nib
import numpy as np
import pytest

from ivadomed.errors import DataError
from ivadomed.geometry.grid import Grid
from ivadomed.inference.outputs import finish, pred_to_nib, pred_to_png, split_classes, to_nifti
from ivadomed.inference.prediction import Prediction
from ivadomed.loader.cases.case import Case

PERMUTED = np.array([[0, 0, 2.0, 5], [-0.7, 0, 0, 3], [0, 0.9, 0, 1], [0, 0, 0, 1]])
SHAPE = (6, 7, 5)


@pytest.fixture
def reference(tmp_path):
    """An int16 image with scaling, two different codes and a permuted, flipped affine."""
    image = nib.Nifti1Image(np.arange(210, dtype=np.int16).reshape(SHAPE), PERMUTED)
    image.set_sform(PERMUTED, code=1)
    image.set_qform(PERMUTED, code=2)
    image.header.set_xyzt_units("mm", "sec")
    image.header["cal_max"] = 200
    path = tmp_path / "sub-01_T1w.nii.gz"
    nib.save(image, path)
    return path


def predicted(soft, zooms=(1, 1, 1)):
    affine = np.diag([*zooms, 1.0])
    return Prediction(Case("c", (Path("c.nii.gz"),)), soft, Grid(soft.shape[:3], affine), None)


def predict(reference, soft):
    image = nib.load(reference)
    return Prediction(Case("c", (reference,)), soft, Grid(SHAPE, image.affine), image.header)


def test_values_up_to_the_noise_floor_become_zero():
    soft = np.array([0, 0.005, 0.01, 0.0101, 0.5, 1], np.float32).reshape(6, 1, 1, 1)
    data = finish(predicted(soft))
    np.testing.assert_array_equal(data.ravel(), np.array([0, 0, 0, 0.0101, 0.5, 1], np.float32))
    assert data.dtype == np.float32


@pytest.mark.parametrize(
    ("steps", "dtype"),
    [
        ({}, np.float32),
        ({"binarize_prediction": {"thr": 0.5}}, np.uint8),
        ({"binarize_prediction": {"thr": -1}}, np.float32),
        ({"binarize_maxpooling": {}}, np.uint8),
        ({"keep_largest": {}}, np.float32),
        ({"binarize_prediction": {"thr": 0.5}, "keep_largest": {}, "fill_holes": {}}, np.uint8),
        ({"keep_largest": {}, "binarize_prediction": {"thr": 0.5}}, np.uint8),
        ({"remove_noise": {"thr": 0.3}}, np.float32),
    ],
)
def test_binary_predictions_are_uint8_and_soft_ones_float32(steps, dtype):
    soft = np.random.default_rng(0).random((6, 7, 5, 2)).astype(np.float32)
    data = finish(predicted(soft), steps)
    assert data.dtype == dtype
    assert data.shape == soft.shape
    if dtype == np.uint8:
        assert set(np.unique(data)) <= {0, 1}


def test_soft_steps_keep_soft_values():
    soft = np.zeros((4, 4, 4, 1), np.float32)
    soft[0, 0, 0], soft[2:, 2:, 2:] = 0.9, 0.6
    data = finish(predicted(soft), {"keep_largest": {}})
    assert data[0, 0, 0] == 0
    assert data[3, 3, 3, 0] == np.float32(0.6)


def test_sizes_in_cubic_millimetres_use_the_voxel_size():
    soft = np.zeros((6, 6, 6, 1), np.float32)
    soft[0, 0, :2], soft[3:5, 3:5, 3] = 1, 1  # 2 and 4 voxels of 0.5 mm3
    data = finish(predicted(soft, (0.5, 0.5, 2)), {"remove_small": {"unit": "mm3", "thr": 1.5}})
    assert data.sum() == 4


def test_the_image_has_the_grid_and_the_header_of_the_input(reference):
    soft = np.random.default_rng(0).random((*SHAPE, 1)).astype(np.float32)
    image = to_nifti(predict(reference, soft), soft)
    source = nib.load(reference)
    assert image.shape == SHAPE
    np.testing.assert_array_equal(image.affine, source.affine)
    for key in ("qform_code", "sform_code", "xyzt_units"):
        assert image.header[key] == source.header[key]
    np.testing.assert_allclose(image.get_qform(), source.get_qform(), atol=1e-6)
    assert image.get_data_dtype() == np.float32
    assert image.header["cal_max"] == 0
    np.testing.assert_array_equal(image.get_fdata(dtype=np.float32), soft[..., 0])


def test_split_classes_gives_one_3d_image_each(reference, tmp_path):
    for dtype in (np.uint8, np.float32):
        data = np.random.default_rng(1).integers(0, 2, (*SHAPE, 3)).astype(dtype)
        parts = split_classes(to_nifti(predict(reference, data), data))
        assert [p.shape for p in parts] == [SHAPE] * 3
        for k, part in enumerate(parts):
            nib.save(part, tmp_path / "p.nii.gz")
            again = nib.load(tmp_path / "p.nii.gz")
            assert again.get_data_dtype() == dtype
            assert len(again.header.get_zooms()) == 3
            assert (again.header["qform_code"], again.header["sform_code"]) == (2, 1)
            np.testing.assert_array_equal(again.affine, nib.load(reference).affine)
            np.testing.assert_array_equal(np.asanyarray(again.dataobj), data[..., k])


def test_split_classes_of_a_single_class(reference):
    data = np.ones((*SHAPE, 1), np.uint8)
    [part] = split_classes(to_nifti(predict(reference, data), data))
    assert part.shape == SHAPE
    assert part.get_data_dtype() == np.uint8


@pytest.mark.parametrize("slice_axis", [0, 1, 2])
@pytest.mark.parametrize("kernel_dim", ["2d", "3d"])
def test_pred_to_nib_puts_voxels_where_nibabel_says(reference, slice_axis, kernel_dim, tmp_path):
    source = nib.load(reference)
    canonical = nib.as_closest_canonical(source).get_fdata() / 210  # RAS
    # Slices run along the slice axis; height and width are S, A | S, R | R, A (sagittal, coronal, axial).
    order = {0: (2, 1, 0), 1: (2, 0, 1), 2: (0, 1, 2)}[slice_axis]
    hwd = np.transpose(canonical, order)[None]
    if kernel_dim == "2d":
        data, places = [hwd[..., z] for z in range(hwd.shape[-1])], list(range(hwd.shape[-1]))
    else:
        data, places = [hwd], []
    out = tmp_path / "x_pred.nii.gz"
    image = pred_to_nib(
        data,
        places,
        str(reference),
        str(out),
        slice_axis,
        kernel_dim=kernel_dim,
        bin_thr=-1,
        discard_noise=False,
    )
    assert image.shape == (*SHAPE, 1)
    np.testing.assert_allclose(image.get_fdata()[..., 0], source.get_fdata() / 210, atol=1e-6)
    np.testing.assert_allclose(nib.load(out).get_fdata(), image.get_fdata())
    assert image.get_data_dtype() == np.float32
    np.testing.assert_array_equal(image.affine, source.affine)


def test_pred_to_nib_fills_missing_slices_with_zeros_in_any_order(reference):
    grid = Grid(SHAPE, nib.load(reference).affine, 2)
    height, width, _ = grid.hwd_shape
    slices = [np.full((2, height, width), value) for value in (0.3, 0.9)]
    image = pred_to_nib(slices, [3, 1], str(reference), None, 2, bin_thr=-1)
    volume = np.stack([grid.to_hwd(image.get_fdata()[..., k]) for k in range(2)])
    present = {1: 0.9, 3: 0.3}
    for z in range(volume.shape[-1]):
        np.testing.assert_allclose(volume[..., z], present.get(z, 0.0), rtol=1e-6)


@pytest.mark.parametrize(
    ("options", "values", "dtype"),
    [
        ({}, [0, 0, 0, 1, 1], np.uint8),
        ({"bin_thr": 0.2}, [0, 0, 1, 1, 1], np.uint8),
        ({"bin_thr": -1}, [0, 0, 0.3, 0.5, 1], np.float32),
        ({"bin_thr": -1, "discard_noise": False}, [0, 0.01, 0.3, 0.5, 1], np.float32),
        (
            {"bin_thr": -1, "postprocessing": {"remove_noise": {"thr": 0.4}}},
            [0, 0, 0, 0.5, 1],
            np.float32,
        ),
    ],
)
def test_pred_to_nib_threshold_noise_and_types(tmp_path, options, values, dtype):
    path = tmp_path / "r.nii.gz"
    nib.save(nib.Nifti1Image(np.zeros((1, 1, 5), np.int16), np.eye(4)), path)
    volume = np.array([0, 0.01, 0.3, 0.5, 1], np.float32).reshape(1, 1, 1, 5)
    image = pred_to_nib([volume], [], str(path), None, 2, kernel_dim="3d", **options)
    assert image.get_data_dtype() == dtype
    np.testing.assert_array_equal(np.asanyarray(image.dataobj).ravel(), np.array(values, dtype))
    assert volume[0, 0, 0, 1] == np.float32(0.01)


def test_pred_to_png_writes_one_file_per_class(tmp_path):
    classes = [np.array([[0, 0.5], [1, 0.25]]), np.array([[1, 0], [0, 1]])]
    images = [nib.Nifti1Image(c[..., None].astype(np.float32), np.eye(4)) for c in classes]
    pred_to_png(images, ["_seg-axon", "_seg-myelin"], tmp_path / "sub-1", suffix="_pred")
    assert sorted(p.name for p in Path(tmp_path).iterdir()) == [
        "sub-1_seg-axon_pred.png",
        "sub-1_seg-myelin_pred.png",
    ]
    np.testing.assert_array_equal(iio.imread(tmp_path / "sub-1_seg-axon_pred.png"), [[0, 128], [255, 64]])
    pred_to_png(
        [nib.Nifti1Image(np.full((2, 2, 1), 3, np.uint8), np.eye(4))], ["_a"], tmp_path / "m", max_value=3
    )
    assert (iio.imread(tmp_path / "m_a.png") == 255).all()


def test_pred_to_png_takes_suffixes_with_an_extension(tmp_path):
    """AxonDeepSeg passes "_seg-axon.png", as 2.9.10 wanted it."""
    image = nib.Nifti1Image(np.ones((3, 2, 1), np.uint8), np.eye(4))
    pred_to_png([image, image], ["_seg-axon.png", "_seg-myelin.png"], str(tmp_path / "rat.1"))
    pred_to_png([image], ["_class-0"], tmp_path / "m", suffix="_pred_TP-FP-FN.png", max_value=3)
    pred_to_png([image], ["_mask.PNG"], tmp_path / "n", suffix="_pred")
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "m_class-0_pred_TP-FP-FN.png",
        "n_mask_pred.PNG",
        "rat.1_seg-axon.png",
        "rat.1_seg-myelin.png",
    ]
    assert (iio.imread(tmp_path / "m_class-0_pred_TP-FP-FN.png") == 85).all()


def test_pred_to_png_writes_two_axes_and_refuses_what_is_no_picture(tmp_path):
    flat = np.array([[0, 1], [1, 1], [0, 0]], np.float32)
    pred_to_png([nib.Nifti1Image(flat, np.eye(4))], ["_seg"], tmp_path / "flat")
    np.testing.assert_array_equal(iio.imread(tmp_path / "flat_seg.png"), flat * 255)
    volume = nib.Nifti1Image(np.zeros((2, 2, 3), np.uint8), np.eye(4))
    with pytest.raises(
        DataError, match=r"v_seg\.png: the prediction has shape 2x2x3; a picture has one slice"
    ):
        pred_to_png([volume], ["_seg"], tmp_path / "v")
    with pytest.raises(DataError, match="1 predictions, but 2 suffixes"):
        pred_to_png([volume], ["_a", "_b"], tmp_path / "v")
