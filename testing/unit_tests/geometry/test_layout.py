"""Arrays whose axes lie in memory in another order."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ivadomed.geometry.layout import contiguous, copy_voxels, empty_like

SHAPES = st.lists(st.integers(1, 70), min_size=1, max_size=4).filter(lambda shape: np.prod(shape) < 2e5)


@st.composite
def arrays(draw, shape):
    """An array of this shape with its axes in any order in memory, some of them backwards or with gaps."""
    order = draw(st.permutations(range(len(shape))))
    steps = [draw(st.sampled_from((1, -1, 2))) for _ in shape]
    dtype = draw(st.sampled_from((np.float32, np.uint8, np.float64)))
    room = [shape[axis] * abs(steps[axis]) for axis in order]
    values = np.random.default_rng(0).integers(0, 255, room).astype(dtype)
    view = values.transpose(np.argsort(order))[tuple(slice(None, None, step) for step in steps)]
    assert view.shape == tuple(shape)
    return view


@given(st.data())
def test_every_voxel_arrives_whatever_the_orders(data):
    shape = data.draw(SHAPES)
    source, target = data.draw(arrays(shape)), data.draw(arrays(shape))
    before = source.copy()
    copy_voxels(target, source)
    np.testing.assert_array_equal(target, source)
    np.testing.assert_array_equal(source, before)


@given(st.data())
def test_contiguous_copies_what_is_not(data):
    source = data.draw(arrays(data.draw(SHAPES)))
    found = contiguous(source)
    assert found.flags.c_contiguous
    assert found.dtype == source.dtype
    np.testing.assert_array_equal(found, source)
    assert contiguous(found) is found


@given(st.data(), st.integers(1, 3))
def test_room_has_the_order_of_an_array(data, count):
    source = data.draw(arrays(data.draw(SHAPES)))
    room = empty_like(source, count)
    assert room.dtype == np.float32
    assert room.shape == (count, *source.shape)
    axes = [axis for axis in range(source.ndim) if source.shape[axis] > 1]
    one = sorted(axes, key=lambda axis: abs(source.strides[axis]))
    assert one == sorted(axes, key=lambda axis: room.strides[axis + 1])


def test_values_that_are_repeated_are_copied():
    source = np.broadcast_to(np.arange(40.0)[:, None], (40, 50))
    target = np.zeros((40, 50))
    copy_voxels(target, source)
    np.testing.assert_array_equal(target, source)


@pytest.mark.parametrize("shape", [(), (0,), (3, 0, 50)])
def test_arrays_without_axes_or_voxels(shape):
    copy_voxels(np.zeros(shape), np.ones(shape))
    assert contiguous(np.ones(shape)).shape == shape
