"""Windows cover a volume, and the canvas puts it together again."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ivadomed.errors import DataError
from ivadomed.geometry.windows import BLENDS, Canvas, Window, Windows, starts, tile


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


def windows_of(shape, length, stride):
    return [Window(0, start, length) for start in tile(shape, length, stride)]


@given(
    st.tuples(*[st.integers(4, 10)] * 3),
    st.tuples(*[st.integers(1, 4)] * 3),
    st.sampled_from(BLENDS),
    st.booleans(),
    st.randoms(),
)
@settings(max_examples=80, deadline=None)
def test_a_tiled_volume_comes_back_whatever_the_order(shape, length, blend, overlap, random):
    stride = tuple(max(1, n // 2) for n in length) if overlap else length
    volume = np.random.default_rng(0).random((2, *shape)).astype(np.float32)
    windows = windows_of(shape, length, stride)
    random.shuffle(windows)
    canvas = Canvas((2, *shape), windows, blend)
    for window in windows:
        assert not canvas.complete
        canvas.add(window, volume[(slice(None), *window.slices)])
    assert canvas.complete
    np.testing.assert_allclose(np.stack(list(canvas.pop_classes())), volume, rtol=1e-5)


def answers(blend, values):
    """Windows of 4 voxels at 0 and 2 of an axis of 6, each with one value all over."""
    windows = windows_of((1, 1, 6), (1, 1, 4), (1, 1, 2))
    canvas = Canvas((1, 1, 1, 6), windows, blend)
    for window, value in zip(windows, values, strict=True):
        canvas.add(window, np.full((1, 1, 1, 4), value, np.float32))
    [mean] = canvas.pop_classes()
    return mean.ravel()


def test_overlap_is_the_mean():
    np.testing.assert_allclose(answers("mean", (4, 8)), [4, 4, 6, 6, 8, 8])


def test_the_middle_of_a_window_counts_more():
    # Standard deviation 4 / 8 = 0.5: weights exp(-2 * 1.5**2) and exp(-2 * 0.5**2) at the border and in the middle.
    border, middle = np.exp(-4.5), np.exp(-0.5)
    share = middle / (middle + border)
    expected = [4, 4, 4 * share + 8 * (1 - share), 4 * (1 - share) + 8 * share, 8, 8]
    np.testing.assert_allclose(answers("gaussian", (4, 8)), expected, rtol=1e-6)


def test_where_no_window_lies_is_zero():
    windows = [Window(0, (0, 0, z), (2, 2, 1)) for z in (0, 2)]
    canvas = Canvas((1, 2, 2, 3), windows)
    for window in windows:
        canvas.add(window, np.ones((1, 2, 2, 1), np.float32))
    [mean] = canvas.pop_classes()
    np.testing.assert_array_equal(mean[0, 0], [1, 0, 1])


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


def test_a_window_that_does_not_fit_says_what_to_do():
    with pytest.raises(DataError, match=r"patch of 8x8 .* image of 4x9 .*CenterCrop"):
        list(tile((4, 9), (8, 8), (8, 8)))
