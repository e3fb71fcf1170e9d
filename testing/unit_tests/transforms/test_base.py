"""The documented call: samples and metadata in, samples and metadata out, twice the same geometry."""

import copy
import pickle

import numpy as np
import pytest
import torch

from ivadomed.errors import DataError
from ivadomed.loader.sample_meta_data import SampleMetadata
from ivadomed.transforms import (
    AdditiveGaussianNoise,
    CenterCrop,
    Clahe,
    DilateGT,
    ElasticTransform,
    HistogramClipping,
    NormalizeInstance,
    NumpyToTensor,
    RandomAffine,
    RandomReverse,
    RandomShiftIntensity,
    Resample,
    ROICrop,
)

X = np.random.default_rng(0).random((24, 20), dtype=np.float32)


def meta(**content):
    return SampleMetadata({"zooms": [0.5, 0.7, 2.0], "crop_params": {}, "data_type": "im", **content})


@pytest.mark.parametrize(
    "transform",
    [RandomAffine(20, [0.1, 0.1], [0.1, 0.1]), ElasticTransform([20, 30], [3, 4], p=1), RandomReverse()],
    ids=lambda t: type(t).__name__,
)
def test_second_call_with_the_metadata_repeats_the_first(transform):
    image, metadata = transform([X], [meta()])
    label, _ = transform([X], metadata)
    np.testing.assert_array_equal(image[0], label[0])
    undone, _ = transform.undo_transform(image, metadata)
    assert undone[0].shape == X.shape


def test_arguments_are_left_alone():
    metadata = meta()
    before = copy.deepcopy(metadata.metadata)
    x = X.copy()
    CenterCrop([8, 30])([x], [metadata])
    RandomAffine(10, [0.1, 0.1])([x], [metadata])
    assert metadata.metadata == before
    np.testing.assert_array_equal(x, X)


def test_channels_share_the_draw():
    (a, b), metadata = RandomAffine(30)([X, X], [meta(), meta()])
    np.testing.assert_array_equal(a, b)
    assert metadata[0]["rotation"] == metadata[1]["rotation"]


def test_draws_follow_torchs_seed():
    results = []
    for _ in range(2):
        torch.manual_seed(3)
        results.append(RandomAffine(30)(X)[0])
    np.testing.assert_array_equal(*results)
    assert not np.array_equal(results[0], RandomAffine(30)(X)[0])


def test_numbers_given_in_the_metadata_are_used():
    _, metadata = RandomAffine(30)(
        X, meta(rotation=[0.3, [0, 1]], scale=[1.1, 1.0, 1.0], translation=(1, 2, 0))
    )
    assert metadata["rotation"] == [0.3, [0, 1]]
    assert metadata["steps"]["RandomAffine"].drawn["translation"] == [1, 2]


def test_undo_of_an_affine_zeroes_what_the_translation_moved_out():
    y, metadata = RandomAffine(0)(X, meta(rotation=[0.0, [0, 1]], scale=[1, 1], translation=(2, -3)))
    undone, _ = RandomAffine(0).undo_transform(y, metadata)
    np.testing.assert_allclose(undone[2:, :-3], X[2:, :-3], atol=1e-4)
    assert not undone[:2].any()
    assert not undone[:, -3:].any()


def test_order_follows_the_data_type():
    image, _ = Resample(0.3, 0.3)(X, meta())
    label, _ = Resample(0.3, 0.3)(X, meta(data_type="gt"))
    assert image.shape == label.shape
    assert not np.allclose(image, label)


def test_another_shape_is_planned_anew():
    _, metadata = CenterCrop([8, 8])(X, meta())
    out, _ = CenterCrop([8, 8])(X[:12, :12], metadata)
    np.testing.assert_array_equal(out, X[2:10, 2:10])


def test_containers_come_back_as_they_went():
    crop = CenterCrop([8, 8])
    array, record = crop(X)
    assert isinstance(array, np.ndarray)
    assert isinstance(record, dict)
    tensor, record = crop(torch.from_numpy(X)[None], meta())
    assert isinstance(tensor, torch.Tensor)
    assert tensor.shape == (1, 8, 8)
    assert isinstance(record, SampleMetadata)
    some, records = crop([X, None], [meta(), meta()])
    assert some[1] is None
    assert len(records) == 2
    assert crop([], []) == ([], [])
    assert crop(None, None) == (None, None)


def test_roi_then_image():
    roi = np.zeros((24, 20), np.uint8)
    roi[10, 8] = 1
    crop = ROICrop([6, 4])
    _, metadata = crop([roi], [meta()])
    assert metadata[0]["crop_params"] == {"ROICrop": (7, 6)}
    image, _ = crop([X], metadata)
    np.testing.assert_array_equal(image[0], X[7:13, 6:10])
    # crop_params alone, without the step, place the box as well.
    again, _ = crop([X], [meta(crop_params={"ROICrop": (7, 6)})])
    np.testing.assert_array_equal(again[0], image[0])


def test_undo_needs_the_record():
    with pytest.raises(DataError, match=r"CenterCrop\.undo_transform"):
        CenterCrop([8, 8]).undo_transform(X, meta())
    np.testing.assert_array_equal(NormalizeInstance().undo_transform(X)[0], X)


def test_shift_is_subtracted_again():
    shift = RandomShiftIntensity([5, 6], prob=1)
    out, metadata = shift([X], [meta()])
    assert 5 <= metadata[0]["offset"] <= 6
    np.testing.assert_allclose(shift.undo_transform(out, metadata)[0][0], X, atol=1e-5)
    np.testing.assert_array_equal(shift.undo_transform(X, None)[0], X)


def test_tensor_and_back():
    tensor, _ = NumpyToTensor()([X, X])
    assert tensor.shape == (2, 24, 20)
    arrays, _ = NumpyToTensor().undo_transform(tensor)
    np.testing.assert_array_equal(arrays[1], X)
    assert NumpyToTensor()(tensor)[0] is tensor


def test_metadata_with_steps_survive_a_worker():
    y, metadata = ElasticTransform([20, 30], [3, 4], p=1)([X], [meta()])
    again = pickle.loads(pickle.dumps(metadata))
    np.testing.assert_array_equal(ElasticTransform([1, 1], [1, 1])([X], again)[0][0], y[0])


CALLS = {
    "Resample": Resample(0.8, 0.6, 1.3),
    "CenterCrop": CenterCrop([10, 30]),
    "RandomAffine": RandomAffine(10, [0.1, 0.1], [0.1, 0.1]),
    "ElasticTransform": ElasticTransform([20, 30], [3, 4], p=1),
    "RandomReverse": RandomReverse(),
    "RandomShiftIntensity": RandomShiftIntensity([2, 5], 1),
    "AdditiveGaussianNoise": AdditiveGaussianNoise(0, 2),
    "HistogramClipping": HistogramClipping(10, 80),
    "NormalizeInstance": NormalizeInstance(),
    "Clahe": Clahe(3.0, (8, 8)),
    "DilateGT": DilateGT(0.3),
}
WHOLE = [np.uint8, np.int16, np.int64]


@pytest.mark.parametrize("dtype", [*WHOLE, bool, np.float32, np.float64])
@pytest.mark.parametrize("name", CALLS)
def test_types_stay(name, dtype):
    x = (X * (100 if dtype in WHOLE and name != "DilateGT" else 1)).round().astype(dtype)
    out, metadata = CALLS[name]([x, x], [meta(), meta()])
    back, _ = CALLS[name].undo_transform(out, metadata)
    makes_floats = name in ("NormalizeInstance", "Clahe", "DilateGT") and dtype in (*WHOLE, bool)
    expected = np.float32 if makes_floats else dtype
    assert [array.dtype for array in (*out, *back)] == [expected] * 4


def test_whole_numbers_are_rounded_halves_up_and_stay_in_their_range():
    x = np.array([[1, 2, 5, 250]], np.uint8)
    out, _ = Resample(1, 0.5, 1)([x], [meta(zooms=[1, 1])])
    floats, _ = Resample(1, 0.5, 1)([x.astype(np.float64)], [meta(zooms=[1, 1], data_type="gt")])
    labels, _ = Resample(1, 0.5, 1)([x], [meta(zooms=[1, 1], data_type="gt")])
    np.testing.assert_array_equal(labels[0], np.floor(floats[0] + 0.5))
    assert out[0].dtype == np.uint8
    noisy, _ = AdditiveGaussianNoise(300, 0)([x], [meta()])
    assert noisy[0].tolist() == [[255] * 4]
    negative, _ = Resample(1, 0.5, 1)([np.array([[-1, -2]], np.int16)], [meta(zooms=[1, 1], data_type="gt")])
    assert negative[0].tolist() == [[-1, -1, -2, -2]]
