"""Windows cover a volume."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ivadomed.errors import DataError
from ivadomed.geometry.windows import Window, Windows, starts, tile


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
