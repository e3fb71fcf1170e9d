"""Means over mirrored samples."""

from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ivadomed.errors import ConfigError
from ivadomed.inference import segment_volume
from ivadomed.inference.averaging import MirroredForward
from ivadomed.inference.options import mirror_axes_with
from ivadomed.loader.samples import Batch


def batch_of(image):
    return Batch(torch.as_tensor(np.array(image), dtype=torch.float32), None, None, ())


def ramp(batch):
    """Each sample times the index along its first axis: it sees where a voxel lies."""
    image = batch.image
    return image * torch.arange(image.shape[2]).reshape(-1, *[1] * (image.ndim - 3))


def test_by_hand():
    image = np.array([[[[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]]])
    # Rows 0, 1, 2 are multiplied by 0, 1, 2, and by 2, 1, 0 when mirrored: 1 in the mean.
    np.testing.assert_allclose(MirroredForward(ramp, (0,))(batch_of(image)), image)
    np.testing.assert_allclose(MirroredForward(ramp, (1,))(batch_of(image)), ramp(batch_of(image)))
    np.testing.assert_allclose(MirroredForward(ramp, (0, 1))(batch_of(image)), image)


@settings(max_examples=20, deadline=None)
@given(st.sets(st.sampled_from([0, 1, 2])), st.integers(0, 2**31))
def test_the_mean_over_all_mirror_images(axes, seed):
    rng = np.random.default_rng(seed)
    image, weights = rng.normal(size=(2, 1, 3, 4, 2)), rng.normal(size=(3, 4, 2))
    calls = []

    def forward(batch):
        calls.append(1)
        return batch.image * torch.tensor(weights, dtype=torch.float32)

    result = MirroredForward(forward, sorted(axes))(batch_of(image))
    mirrored = [
        np.flip(weights, [axis for axis, on in zip(sorted(axes), chosen, strict=True) if on])
        for chosen in product([False, True], repeat=len(axes))
    ]
    np.testing.assert_allclose(result, image * np.mean(mirrored, axis=0), atol=1e-5)
    assert len(calls) == 2 ** len(axes)


@pytest.mark.parametrize("kind", ["pt", "onnx"])
def test_a_mirrored_image_gives_the_mirrored_prediction(package, image, kind):
    def soft(options):
        [mask], _ = segment_volume(folder, data, gpu_id=None, options=options)
        return np.asanyarray(mask.dataobj)

    folder = package(kinds=(kind,), mirror_axes=[0, 1], postprocessing={})
    data = np.random.default_rng(0).random((12, 10, 3)).astype(np.float32)
    result, plain = soft({}), soft({"mirror_axes": []})
    np.testing.assert_allclose(soft({"mirror_axes": [1, 0]}), result, atol=1e-6)
    assert np.abs(result - plain).max() > 1e-3
    data = data[::-1]
    np.testing.assert_allclose(soft({}), result[::-1], atol=1e-5)
    assert np.abs(soft({"mirror_axes": []}) - plain[::-1]).max() > 1e-3


@pytest.mark.parametrize(
    ("given", "of_model", "is_2d", "expected"),
    [
        (None, None, True, ()),
        (None, (0, 1), True, (0, 1)),
        ([], (0,), True, ()),
        ([2, 0], None, False, (0, 2)),
    ],
)
def test_the_option_wins_over_the_model(given, of_model, is_2d, expected):
    assert mirror_axes_with({"mirror_axes": given}, of_model, is_2d) == expected


@pytest.mark.parametrize(
    ("given", "is_2d"), [([2], True), ([3], False), ([0, 0], False), (0, True), ("0", True), (True, True)]
)
def test_axes_that_a_sample_does_not_have(given, is_2d):
    with pytest.raises(ConfigError, match=r"mirror_axes: .*; expected some of the axes \[0, 1"):
        mirror_axes_with({"mirror_axes": given}, None, is_2d)


def test_a_packaged_2d_model_with_a_third_axis(package, image):
    with pytest.raises(ConfigError, match=r"mirror_axes: \[0, 2\], but samples of this 2D model"):
        segment_volume(package(mirror_axes=[0, 2]), image(), gpu_id=None)
