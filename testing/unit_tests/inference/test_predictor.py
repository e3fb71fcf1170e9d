"""A model that stays loaded: inputs in memory, progress, threads."""

from concurrent.futures import ThreadPoolExecutor

import nibabel as nib
import numpy as np
import pytest

from ivadomed.errors import DataError, ModelError
from ivadomed.inference import Predictor, packaged, segment_volume


def values(images):
    return np.stack([np.asanyarray(i.dataobj) for i in images])


def test_files_images_and_arrays_give_the_same(package, image):
    folder, path = package(), image()
    predict = Predictor(folder, "cpu")
    assert predict.class_names == ["_seg-manual"]
    assert predict.contrasts == ["T1w"]
    expected, _ = segment_volume(folder, path, gpu_id=None)
    np.testing.assert_array_equal(values(predict(path)), values(expected))
    in_memory = predict(nib.load(path))
    np.testing.assert_array_equal(values(in_memory), values(expected))
    np.testing.assert_array_equal(in_memory[0].affine, nib.load(path).affine)
    # An array lies in RAS at the origin, so the same voxels as RAS give the same, in RAS.
    ras = nib.as_closest_canonical(nib.load(path))
    np.testing.assert_allclose(values(predict(ras.get_fdata())), values(predict(ras)), atol=1e-6)


def test_pictures_in_memory_have_two_axes(package):
    predict = Predictor(package(), "cpu")
    pixels = np.random.default_rng(0).integers(0, 256, (12, 16), np.uint8)
    [mask] = predict(pixels, {"pixel_size": [0.1, 0.2]})
    assert mask.shape == (12, 16, 1)
    np.testing.assert_allclose(nib.affines.voxel_sizes(mask.affine), [0.2, 0.1, 1])


def test_channels_as_a_list(package, image):
    folder = package(contrasts=("T1w", "T2w"))
    first, second = image(), image("sub-01_T2w.nii.gz", seed=1)
    predict = Predictor(folder, "cpu")
    expected, _ = segment_volume(folder, [first, second], gpu_id=None)
    np.testing.assert_array_equal(values(predict([first, nib.load(second)])), values(expected))


def test_the_model_is_read_once(package, image, monkeypatch):
    opened = []
    plain = packaged.open_model
    monkeypatch.setattr(packaged, "open_model", lambda *a, **k: opened.append(a) or plain(*a, **k))
    predict = Predictor(package(), "cpu")
    for seed in range(3):
        predict(image(f"sub-{seed}_T1w.nii.gz", seed=seed))
    assert len(opened) == 1


def test_progress_ends_with_all_windows(package, image):
    seen = []
    Predictor(package(training_parameters={"batch_size": 2}), "cpu")(
        image(shape=(20, 5, 18)), progress=lambda done, total: seen.append((done, total))
    )
    assert seen == [(2, 5), (4, 5), (5, 5)]


@pytest.mark.parametrize("kind", ["pt", "onnx"])
def test_threads_share_a_model(package, image, kind):
    predict = Predictor(package(kinds=(kind,)), "cpu")
    paths = [image(f"sub-{seed}_T1w.nii.gz", seed=seed) for seed in range(8)]
    alone = [values(predict(path)) for path in paths]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda path: values(predict(path)), paths))
    for one, other in zip(alone, together, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


def test_what_is_no_image_is_named(package):
    predict = Predictor(package(), "cpu")
    with pytest.raises(DataError, match=r"an input is a dict; expected a path, a nibabel image or an array"):
        predict({})
    with pytest.raises(DataError, match=r"shape \(2, 2, 2, 2\): expected \[X, Y, Z\]"):
        predict(np.zeros((2, 2, 2, 2)))
    four = nib.Nifti1Image(np.zeros((4, 4, 4, 2)), np.eye(4))
    with pytest.raises(DataError, match="the given image: has 2 volumes"):
        predict(four)
    with pytest.raises(DataError, match="input 0: has NaN"):
        predict(np.full((8, 8, 4), np.nan))


def test_a_classifier_gives_no_image(package):
    with pytest.raises(ModelError, match="classifies slices and gives no image"):
        Predictor(package(default_model={"name": "resnet18"}), "cpu")


def test_a_prior_in_memory(package, image):
    folder = package(
        transforms={"ROICrop": {"size": [8, 8]}},
        loader={"roi_params": {"suffix": "_seg", "slice_filter_roi": None}},
    )
    path = image()
    roi = np.zeros((20, 5, 18), np.uint8)
    roi[8:12, 1:4, 7:11] = 1
    mask = nib.Nifti1Image(roi, nib.load(path).affine)
    file = path.parent / "roi.nii.gz"
    nib.save(mask, file)
    predict = Predictor(folder, "cpu")
    np.testing.assert_array_equal(
        values(predict(path, {"fname_prior": mask})), values(predict(path, {"fname_prior": str(file)}))
    )
