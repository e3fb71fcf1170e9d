"""The canvas puts a volume together again."""

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ivadomed.geometry.windows import BLENDS, Window, tile
from ivadomed.inference import canvas as module
from ivadomed.inference.canvas import Canvas

CPU = torch.device("cpu")


def windows_of(shape, length, stride):
    return [Window(0, start, length) for start in tile(shape, length, stride)]


def volume_of(*shape):
    return torch.from_numpy(np.random.default_rng(0).random(shape).astype(np.float32))


SHAPES = st.tuples(*[st.integers(4, 10)] * 3)
LENGTHS = st.tuples(*[st.integers(1, 4)] * 3)


@pytest.fixture(params=[True, False], ids=["in place", "as on a GPU"])
def in_place(request, monkeypatch):
    """Sums in the volume, or beside it as those of another device."""
    monkeypatch.setattr(Canvas, "_is_in_place", request.param)


@pytest.mark.usefixtures("in_place")
@given(SHAPES, LENGTHS, st.sampled_from(BLENDS), st.booleans(), st.booleans(), st.randoms())
@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_tiled_volume_comes_back_whatever_the_order(shape, length, blend, overlap, in_one, random):
    stride = tuple(max(1, n // 2) for n in length) if overlap else length
    volume = volume_of(2, *shape)
    windows = windows_of(shape, length, stride)
    random.shuffle(windows)
    canvas = Canvas((2, *shape), windows, blend, in_one=in_one)
    for window in windows:
        assert not canvas.complete
        canvas.add(window, volume[(slice(None), *window.slices)])
    assert canvas.complete
    found = canvas.pop() if in_one else np.stack(list(canvas.pop_classes()))
    np.testing.assert_allclose(found, volume, rtol=1e-5)


@pytest.mark.usefixtures("in_place")
@given(SHAPES, LENGTHS, st.randoms())
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_predictions_that_differ_have_the_weighted_mean_of_numpy(shape, length, random):
    stride = tuple(max(1, n // 2) for n in length)
    windows = windows_of(shape, length, stride)
    random.shuffle(windows)
    canvas = Canvas((1, *shape), windows, "gaussian", CPU)
    bells = [
        np.exp(-0.5 * ((np.arange(n) - (n - 1) / 2) / (n / 8)) ** 2) if n > 1 else np.ones(1) for n in length
    ]
    weight = np.einsum("i,j,k->ijk", *bells)
    sums, weights = np.zeros(shape), np.zeros(shape)
    for number, window in enumerate(windows):
        prediction = volume_of(1, *length) + number
        sums[window.slices] += weight * prediction[0].double().numpy()
        weights[window.slices] += weight
        canvas.add(window, prediction)
    [mean] = canvas.pop_classes()
    np.testing.assert_allclose(mean, sums / weights, rtol=1e-4)


@given(SHAPES, LENGTHS)
@settings(max_examples=40)
def test_the_device_holds_one_layer_of_windows_in_order(shape, length):
    windows = windows_of(shape, length, tuple(max(1, n // 2) for n in length))
    canvas = Canvas((3, *shape), windows, "gaussian", CPU)
    axis = canvas._axis
    for window in windows:
        canvas.add(window, torch.ones(3, *length))
        held = sum(sums.numel() for band in canvas._bands for sums in band.sums)
        assert held <= 3 * np.prod(shape) // shape[axis] * length[axis]
    assert not any(band.sums for band in canvas._bands)


def test_a_device_without_room_is_left_to_the_network(monkeypatch):
    asked = []
    monkeypatch.setattr(module, "has_room", lambda device, n_bytes: asked.append((device.type, n_bytes)))
    windows = windows_of((6, 5, 4), (4, 5, 4), (2, 5, 4))
    canvas = Canvas((3, 6, 5, 4), windows, "mean", torch.device("meta"))
    assert canvas.device == CPU
    assert asked == [("meta", 4 * 3 * 4 * 5 * 4)]  # a layer of windows of 3 classes in float32


@pytest.mark.parametrize("blend", BLENDS)
def test_windows_side_by_side_are_not_added_up(blend):
    windows = windows_of((4, 4, 4), (2, 2, 2), (2, 2, 2))
    canvas = Canvas((1, 4, 4, 4), windows, blend, torch.device("meta"))
    assert canvas.device == CPU
    assert not canvas._bands


def test_patches_of_one_voxel_in_depth_are_added_up_in_rows_of_the_volume():
    windows = windows_of((8, 6, 5), (4, 4, 1), (2, 2, 1))
    assert Canvas((1, 8, 6, 5), windows)._axis == 0
    slices = [Window(0, (h, 0, z), (4, 6, 1)) for z in range(3) for h in (0, 2)]  # as those of 2D patches
    assert Canvas((1, 6, 6, 3), slices)._axis == 2


def answers(blend, values):
    """Windows of 4 voxels at 0 and 2 of an axis of 6, each with one value all over."""
    windows = windows_of((1, 1, 6), (1, 1, 4), (1, 1, 2))
    canvas = Canvas((1, 1, 1, 6), windows, blend)
    for window, value in zip(windows, values, strict=True):
        canvas.add(window, torch.full((1, 1, 1, 4), value))
    [mean] = canvas.pop_classes()
    return mean.ravel()


def test_overlap_is_the_mean():
    np.testing.assert_allclose(answers("mean", (4.0, 8.0)), [4, 4, 6, 6, 8, 8])


def test_the_middle_of_a_window_counts_more():
    # Standard deviation 4 / 8 = 0.5: weights exp(-2 * 1.5**2) and exp(-2 * 0.5**2) at the border and in the middle.
    border, middle = np.exp(-4.5), np.exp(-0.5)
    share = middle / (middle + border)
    expected = [4, 4, 4 * share + 8 * (1 - share), 4 * (1 - share) + 8 * share, 8, 8]
    np.testing.assert_allclose(answers("gaussian", (4.0, 8.0)), expected, rtol=1e-6)


@pytest.mark.parametrize("blend", BLENDS)
def test_where_no_window_lies_is_zero(blend):
    windows = [Window(0, (0, 0, z), (2, 2, 1)) for z in (0, 2)]
    canvas = Canvas((1, 2, 2, 3), windows, blend)
    for window in windows:
        canvas.add(window, torch.ones(1, 2, 2, 1))
    [mean] = canvas.pop_classes()
    np.testing.assert_array_equal(mean[0, 0], [1, 0, 1])
