"""Windows cover a volume, and the canvas puts it together again."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ivadomed.errors import DataError
from ivadomed.windows import Canvas, Window, Windows, starts, tile


@given(st.integers(1, 40), st.data())
def test_starts_cover_the_axis_and_stay_inside(extent, data):
    length = data.draw(st.integers(1, extent))
    stride = data.draw(st.integers(1, length))
    firsts = starts(extent, length, stride)
    covered = np.zeros(extent, int)
    for first in firsts:
        assert 0 <= first <= extent - length
        covered[first : first + length] += 1
    assert (covered > 0).all()
    assert len(firsts) == len(set(firsts))


def test_last_window_moves_back():
    assert starts(48, 32, 28) == [0, 16]
    assert starts(48, 32, 16) == [0, 16]
    assert starts(32, 32, 5) == [0]


SIZES = st.tuples(*[st.integers(1, 10)] * 3)


@given(SIZES, st.data(), st.randoms())
@settings(max_examples=60, deadline=None)
def test_a_tiled_volume_comes_back_whatever_the_order(shape, data, random):
    length = tuple(data.draw(st.integers(1, n)) for n in shape)
    stride = tuple(data.draw(st.integers(1, n)) for n in length)
    volume = np.random.default_rng(0).random((2, *shape)).astype(np.float32)
    windows = [Window(0, start, length) for start in tile(shape, length, stride)]
    random.shuffle(windows)
    canvas = Canvas((2, *shape), len(windows))
    for window in windows:
        assert not canvas.complete
        canvas.add(window, volume[(slice(None), *window.slices)])
    assert canvas.complete
    np.testing.assert_allclose(canvas.mean(), volume, rtol=1e-5)


@given(SIZES, st.tuples(*[st.integers(1, 4)] * 3))
@settings(max_examples=40, deadline=None)
def test_windows_side_by_side_hold_every_voxel_once(length, times):
    shape = tuple(n * k for n, k in zip(length, times, strict=True))
    seen = np.zeros(shape, int)
    for start in tile(shape, length, length):
        seen[Window(0, start, length).slices] += 1
    assert (seen == 1).all()


@given(st.lists(st.builds(Window, st.integers(0, 2**31 - 1), SIZES, SIZES)))
@settings(max_examples=40, deadline=None)
def test_windows_kept_as_numbers_come_back(windows):
    kept = Windows(windows)
    assert [kept[place] for place in range(len(kept))] == windows


def test_overlap_is_a_weighted_mean_and_gaps_are_zero():
    canvas = Canvas((1, 1, 1, 4), 2)
    canvas.add(Window(0, (0, 0, 0), (1, 1, 2)), np.full((1, 1, 1, 2), 4.0), weight=3.0)
    canvas.add(Window(0, (0, 0, 1), (1, 1, 2)), np.full((1, 1, 1, 2), 8.0), weight=1.0)
    np.testing.assert_allclose(canvas.mean().ravel(), [4, 5, 8, 0])


def test_a_window_that_does_not_fit_says_what_to_do():
    with pytest.raises(DataError, match=r"patch of 8x8 .* image of 4x9 .*CenterCrop"):
        list(tile((4, 9), (8, 8), (8, 8)))
