"""``segment_volume`` on small packaged models."""

import inspect

import imageio.v3 as iio
import nibabel as nib
import numpy as np
import pytest
import torch

from ivadomed.errors import ConfigError, DataError, ModelError
from ivadomed.inference import Predictor, segment_volume
from ivadomed.models import load_model


def values(images):
    return np.stack([np.asanyarray(i.dataobj) for i in images])


def test_a_path_a_string_and_a_list_give_the_network_s_numbers(package, image):
    folder, path = package(), image()
    results = [segment_volume(folder, given, gpu_id=None)[0] for given in (path, str(path), [str(path)])]
    for result in results[1:]:
        np.testing.assert_array_equal(values(result), values(results[0]))
    # By hand: axial slices of the RAS image, each with zero mean and unit deviation.
    slices = np.moveaxis(nib.as_closest_canonical(nib.load(path)).get_fdata(dtype=np.float32), 2, 0)
    slices = (slices - slices.mean((1, 2), keepdims=True)) / slices.std((1, 2), keepdims=True)
    with torch.no_grad():
        soft = load_model(folder / "seg.pt")(torch.from_numpy(slices)[:, None])[:, 0].numpy()
    expected = nib.Nifti1Image(np.moveaxis(soft, 0, 2), nib.as_closest_canonical(nib.load(path)).affine)
    [result] = results[0]
    np.testing.assert_allclose(nib.as_closest_canonical(result).get_fdata(), expected.get_fdata(), atol=1e-4)


def test_grid_header_type_and_names(package, image):
    path = image()
    images, names = segment_volume(package(classes=("_seg-manual", "_lesion-manual")), path, gpu_id=None)
    assert names == ["_seg-manual", "_lesion-manual"]
    source = nib.load(path)
    for one in images:
        assert one.shape == source.shape
        np.testing.assert_array_equal(one.affine, source.affine)
        assert (one.header["qform_code"], one.header["sform_code"]) == (1, 2)
        assert one.get_data_dtype() == np.float32
    soft = values(images)
    assert soft.min() >= 0
    assert soft.sum(axis=0).max() <= 1 + 1e-5
    assert not ((soft > 0) & (soft <= 0.01)).any()


def test_a_class_of_several_raters_has_the_name_of_the_first(package, image):
    folder = package(classes=(["_seg-a", "_seg-b"],))
    assert segment_volume(folder, image(), gpu_id=None)[1] == ["_seg-a"]


def test_torch_and_onnx_agree(package, image):
    path = image()
    results = [
        values(segment_volume(package(kind, kinds=(kind,)), path, gpu_id=None)[0])
        for kind in ("pt", "onnx", "module")
    ]
    np.testing.assert_allclose(results[1], results[0], atol=1e-4)
    np.testing.assert_array_equal(results[2], results[0])  # a published file: the module itself, pickled


def test_channels_are_taken_in_the_given_order(package, image):
    folder = package(contrasts=("T1w", "T2w"))
    first, second = image(), image("sub-01_T2w.nii.gz", seed=1)
    one = values(segment_volume(folder, [first, second], gpu_id=None)[0])
    other = values(segment_volume(folder, [second, first], gpu_id=None)[0])
    assert np.abs(one - other).max() > 1e-3


@pytest.mark.parametrize("count", [0, 1, 3])
def test_a_wrong_number_of_images_names_the_contrasts(package, image, count):
    folder = package(contrasts=("T1w", "T2w"))
    with pytest.raises(
        DataError, match=rf"takes 2 images \(T1w, T2w\), got {count}; pass one image per channel"
    ):
        segment_volume(folder, [image()] * count, gpu_id=None)


def test_images_on_different_grids_are_refused(package, image):
    folder = package(contrasts=("T1w", "T2w"))
    with pytest.raises(DataError, match=r"sub-01_T2w.nii.gz lies on another grid than .*sub-01_T1w.nii.gz"):
        segment_volume(folder, [image(), image("sub-01_T2w.nii.gz", (20, 5, 19))], gpu_id=None)


def test_channels_and_priors_stored_in_another_order_give_the_same(package, image, stored_as):
    folder = package(
        contrasts=("T1w", "T2w"),
        transforms={"ROICrop": {"size": [6, 6]}, "NormalizeInstance": {"applied_to": ["im"]}},
        loader={"roi_params": {"suffix": "_seg-manual"}},
    )
    first, second = image(), image("sub-01_T2w.nii.gz", seed=1)
    prior = prior_of(first, (slice(8, 11), slice(0, 3), slice(4, 8)))
    options = {"fname_prior": str(prior), "binarize_prediction": 0}
    expected = values(segment_volume(folder, [first, second], gpu_id=None, options=options)[0])
    stored_as(second)
    stored_as(prior)
    found = values(segment_volume(folder, [first, second], gpu_id=None, options=options)[0])
    np.testing.assert_array_equal(found, expected)


def test_options_change_the_model_s_postprocessing(package, image):
    path = image()
    folder = package(postprocessing={"binarize_prediction": {"thr": 0.5}})
    soft = segment_volume(folder, path, gpu_id=None, options={"binarize_prediction": 0})[0]
    binary = segment_volume(folder, path, gpu_id=None, options={"binarize_prediction": None, "unknown": 3})[0]
    higher = segment_volume(folder, path, gpu_id=None, options={"binarize_prediction": 0.6})[0]
    assert [i[0].get_data_dtype() for i in (soft, binary, higher)] == [np.float32, np.uint8, np.uint8]
    np.testing.assert_array_equal(values(binary), values(soft) >= 0.5)
    np.testing.assert_array_equal(values(higher), values(soft) >= np.float32(0.6))


def test_options_are_not_changed(package, image):
    folder = package(
        default_model={"name": "Unet", "depth": 1, "n_filters": 2, "length_2D": [8, 8], "stride_2D": [8, 8]}
    )
    options = {"overlap_2D": [4, 2], "remove_small": ["3vox"], "keep_largest": 1}
    segment_volume(folder, image(), gpu_id=None, options=options)
    assert options == {"overlap_2D": [4, 2], "remove_small": ["3vox"], "keep_largest": 1}


def test_no_patch_equals_a_model_without_patches(package, image):
    path = image()
    patched = package(
        "patched",
        default_model={"name": "Unet", "depth": 1, "n_filters": 2, "length_2D": [8, 8], "stride_2D": [8, 8]},
    )
    whole = values(segment_volume(package(), path, gpu_id=None)[0])
    np.testing.assert_array_equal(
        values(segment_volume(patched, path, gpu_id=None, options={"no_patch": True})[0]), whole
    )
    assert not np.array_equal(values(segment_volume(patched, path, gpu_id=None)[0]), whole)


def prior_of(path, places):
    source = nib.load(path)
    data = np.zeros(source.shape, np.uint8)
    data[places] = 1
    prior = path.with_name("prior.nii.gz")
    nib.save(nib.Nifti1Image(data, source.affine), prior)
    return prior


@pytest.mark.parametrize("threshold", [None, 0, 5])
def test_a_prior_is_what_the_model_crops_around(package, image, threshold):
    path = image()
    folder = package(
        transforms={"ROICrop": {"size": [6, 6]}, "NormalizeInstance": {"applied_to": ["im"]}},
        loader={"roi_params": {"suffix": "_seg-manual", "slice_filter_roi": threshold}},
    )
    prior = prior_of(path, (slice(8, 11), slice(0, 3), slice(4, 8)))
    [result] = segment_volume(folder, path, gpu_id=None, options={"fname_prior": str(prior)})[0]
    found = np.argwhere(np.asanyarray(result.dataobj) > 0)
    # 6 x 6 voxels in each slice with a prior; slices run along the file's second axis.
    assert len(found) == 6 * 6 * 3
    assert set(found[:, 1]) == {0, 1, 2}
    assert found[:, 0].min() <= 8 <= 10 <= found[:, 0].max()
    assert found[:, 2].min() <= 4 <= 7 <= found[:, 2].max()
    with pytest.raises(DataError, match="region of interest"):
        segment_volume(folder, path, gpu_id=None)


def test_a_prior_does_not_change_a_model_that_has_no_roi(package, image):
    path, folder = image(), package()
    prior = prior_of(path, (slice(8, 11), slice(0, 3), slice(4, 8)))
    without = values(segment_volume(folder, path, gpu_id=None)[0])
    given = values(segment_volume(folder, path, gpu_id=None, options={"fname_prior": str(prior)})[0])
    np.testing.assert_array_equal(given, without)


def test_pictures_take_their_pixel_size_from_the_options(package, tmp_path):
    pixels = np.random.default_rng(0).integers(0, 255, (24, 16)).astype(np.uint8)
    iio.imwrite(tmp_path / "cut.png", pixels)
    folder = package(transforms={"Resample": {"hspace": 0.002, "wspace": 0.002}})
    options = {"pixel_size": [0.001, 0.001]}
    [result] = segment_volume(folder, tmp_path / "cut.png", gpu_id=None, options=options)[0]
    assert result.shape == (24, 16, 1)
    np.testing.assert_allclose(nib.affines.voxel_sizes(result.affine)[:2], 0.001)
    in_microns = {"pixel_size": [1, 1], "pixel_size_units": "um"}
    [again] = segment_volume(folder, tmp_path / "cut.png", gpu_id=None, options=in_microns)[0]
    np.testing.assert_allclose(values([again]), values([result]), atol=1e-5)


def test_absent_folder_and_files_are_named(package, image, tmp_path):
    path = image()
    with pytest.raises(ModelError, match=r"nowhere: no such model folder"):
        segment_volume(tmp_path / "nowhere", path)
    folder = package()
    with pytest.raises(DataError, match=r"absent.nii.gz: no such image file"):
        segment_volume(folder, tmp_path / "absent.nii.gz", gpu_id=None)
    (folder / "seg.json").rename(folder / "config.json")
    with pytest.raises(ModelError, match=r"seg.json not found; it must have the folder's name"):
        segment_volume(folder, path)
    (folder / "seg.pt").unlink()
    with pytest.raises(ModelError, match=r"neither seg.pt nor seg.onnx found"):
        segment_volume(folder, path)


def test_a_damaged_configuration_is_named(package, image):
    folder = package()
    (folder / "seg.json").write_text("{")
    with pytest.raises(ConfigError, match=r"seg.json:1:2: is not valid JSON"):
        segment_volume(folder, image(), gpu_id=None)


@pytest.fixture
def cascade(package, tmp_path):
    """Return a function that packages a second model whose first one is in a folder."""

    def make(first, **options):
        params = {
            "object_detection_path": str(first),
            "safety_factor": options.pop("safety_factor", [1, 1, 1]),
        }
        return package(object_detection_params=params, **options)

    return make


def save_like(path, data, name):
    nib.save(nib.Nifti1Image(data, nib.load(path).affine), path.parent / name)
    return path.parent / name


# Native axes are L, S, A; the box [3:9, 1:4, 5:11] is therefore 11..16 along R, 5..10 along A, 1..3 along S.
INSIDE = (slice(3, 9), slice(1, 4), slice(5, 11))


def box_image(image):
    """An image that is bright in a box, and the mask of it."""
    data = nib.load(image()).get_fdata(dtype=np.float32)
    mask = np.zeros(data.shape, np.uint8)
    mask[INSIDE] = 1
    path = save_like(image(), np.where(mask, data + 2000, data), "box_T1w.nii.gz")
    return path, mask


def test_a_cascade_works_in_the_box_around_the_prior(cascade, image):
    path, mask = box_image(image)
    prior = save_like(path, mask, "prior.nii.gz")
    folder = cascade("path/to/data")
    [result], _ = segment_volume(folder, path, None, {"fname_prior": str(prior)})
    assert result.shape == mask.shape
    soft = result.get_fdata(dtype=np.float32)
    assert not soft[mask == 0].any()
    # By hand: the slices of the crop, each with zero mean and unit deviation, through the network.
    ras = nib.as_closest_canonical(nib.load(path)).get_fdata(dtype=np.float32)
    slices = np.moveaxis(ras[11:17, 5:11, 1:4], 2, 0)
    slices = (slices - slices.mean((1, 2), keepdims=True)) / slices.std((1, 2), keepdims=True)
    with torch.no_grad():
        expected = load_model(folder / "seg.pt")(torch.from_numpy(slices)[:, None])[:, 0].numpy()
    found = nib.as_closest_canonical(result).get_fdata()[11:17, 5:11, 1:4]
    np.testing.assert_allclose(found, np.moveaxis(expected, 0, 2), atol=1e-4)


def test_the_safety_factor_enlarges_the_box_of_the_prior(cascade, image):
    path, mask = box_image(image)
    prior = save_like(path, mask, "prior.nii.gz")
    folder = cascade("path/to/data", safety_factor=[2, 1, 1])
    [result], _ = segment_volume(folder, path, None, {"fname_prior": str(prior)})
    found = np.argwhere(result.get_fdata() > 0)
    assert (np.ptp(found, axis=0) + 1).tolist() == [11, 3, 6]


def test_a_cascade_without_prior_detects(cascade, image, threshold_model):
    path, mask = box_image(image)
    folder = cascade(threshold_model(threshold=1500))
    prior = save_like(path, mask, "prior.nii.gz")
    with_prior = segment_volume(folder, path, None, {"fname_prior": str(prior)})[0]
    np.testing.assert_array_equal(values(segment_volume(folder, path, None)[0]), values(with_prior))


def test_a_cascade_with_neither_says_what_it_needs(cascade, image):
    folder = cascade("path/to/data")
    with pytest.raises(
        DataError, match=r"fname_prior, or set .*object_detection_path .* \(path/to/data is none\)"
    ):
        segment_volume(folder, image(), None)


def test_a_prior_on_another_grid_or_empty_is_refused(cascade, image):
    path, mask = box_image(image)
    folder = cascade("path/to/data")
    other = save_like(path, mask[:-1], "other.nii.gz")
    with pytest.raises(DataError, match=r"other.nii.gz lies on another grid"):
        segment_volume(folder, path, None, {"fname_prior": str(other)})
    empty = save_like(path, mask * 0, "empty.nii.gz")
    with pytest.raises(DataError, match=r"empty.nii.gz: the mask is empty"):
        segment_volume(folder, path, None, {"fname_prior": str(empty)})


def test_a_misspelt_option_is_warned_of_once(package, image, caplog):
    folder, path = package(), image()
    predictor = Predictor(folder)
    with caplog.at_level("WARNING"):
        for _ in range(2):
            predictor(path, {"binarise_prediction": 0.5, "keep_larges": 1, "colour": "red"})
    [warning] = [record.getMessage() for record in caplog.records]
    assert "'binarise_prediction', did you mean 'binarize_prediction'?; 'keep_larges', did you" in warning
    caplog.clear()
    with caplog.at_level("WARNING"):
        segment_volume(folder, path, gpu_id=None, options={"binarise_prediction": 0.5})
    assert len(caplog.records) == 1


@pytest.mark.parametrize("number", [0, None, "left out"])
def test_a_call_of_the_manual_of_2020_says_what_to_write(package, image, number):
    folder, path, prior = package(), image(), image("prior.nii.gz")
    more = () if number == "left out" else (number,)
    with pytest.raises(
        ConfigError, match=r"gpu_id is '.*prior\.nii\.gz'.*third argument in the manual of 2020"
    ) as error:
        segment_volume(str(folder), str(path), str(prior), *more)
    written = str(error.value).split("is an option now: ")[1].replace("folder_model", "folder")
    [result], _ = eval(written.replace("fname_images", "path"), {"segment_volume": segment_volume}, locals())
    assert result.shape == nib.load(path).shape


@pytest.mark.parametrize("old", [{"fname_prior": "p.nii.gz"}, {"gpu_number": 0}, {"fname_image": "i.nii.gz"}])
def test_arguments_of_the_manual_of_2020_by_name(package, image, old):
    [name] = old
    with pytest.raises(ConfigError, match=f"segment_volume: {name}, .*; write "):
        segment_volume(package(), **{"fname_images": image(), **old})


def test_the_third_and_fourth_argument_have_types(package, image):
    folder, path = package(), image()
    for prior in (nib.load(path), nib.load(path).get_fdata(), [str(path)], path):
        with pytest.raises(ConfigError, match=r'options=\{"fname_prior"'):
            segment_volume(folder, path, prior)
    with pytest.raises(ConfigError, match="options is 0; expected a dictionary"):
        segment_volume(folder, path, None, 0)
    for gpu in (0, None, [], np.int64(0)):
        segment_volume(folder, path, gpu)
    assert list(inspect.signature(segment_volume).parameters) == [
        "folder_model",
        "fname_images",
        "gpu_id",
        "options",
    ]


@pytest.mark.parametrize(
    ("anchor", "first"), [(None, (20, 24, 55)), ("corner", (20, 24, 55)), ("center", (7, 11, 32))]
)
def test_where_the_patch_of_a_cascade_lies(threshold_model, tmp_path, anchor, first):
    """A package that does not say is one of ivadomed 2, whose patches begin at the corner of the prior's box.

    By hand: the prior is 6 x 5 x 4 voxels, the patch 32 x 32 x 32, of which along the third axis 9 are in the image.
    About the centre it begins 13, 13 and 14 voxels before the prior, and is moved back into the image.
    """
    params = {"object_detection_path": "find_cord"} | ({} if anchor is None else {"anchor": anchor})
    model = {"applied": True, "length_3D": [32, 32, 32], "stride_3D": [32, 32, 32]}
    folder = threshold_model(
        "tumour", threshold=0.5, n_axes=3, object_detection_params=params, Modified3DUNet=model
    )
    shape, prior = (64, 64, 64), np.zeros((64, 64, 64), np.uint8)
    prior[20:26, 24:29, 55:59] = 1
    files = [tmp_path / name for name in ("image.nii.gz", "prior.nii.gz")]
    for file, data in zip(files, (np.ones(shape, np.float32), prior), strict=True):
        nib.save(nib.Nifti1Image(data, np.eye(4)), file)
    [result], _ = segment_volume(folder, files[0], gpu_id=None, options={"fname_prior": str(files[1])})
    inside = np.argwhere(np.asanyarray(result.dataobj) > 0)
    assert tuple(inside.min(axis=0)) == first
    last = [min(start + 31, 63) for start in first]
    assert list(inside.max(axis=0)) == last
    assert len(inside) == np.prod([high - low + 1 for low, high in zip(first, last, strict=True)])
