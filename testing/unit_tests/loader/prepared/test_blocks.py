"""The layout of volumes on disk."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from ivadomed.geometry.windows import Window
from ivadomed.loader.prepared.files import blocked_shape, read_blocks, to_blocks

SHAPES = st.tuples(st.integers(1, 2), st.integers(1, 20), st.integers(1, 20), st.integers(1, 20))


@given(SHAPES, st.data())
@settings(max_examples=60, deadline=None)
def test_every_window_comes_back(shape, data):
    volume = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    size = tuple(data.draw(st.integers(1, n)) for n in shape[1:])
    start = tuple(data.draw(st.integers(0, n - s)) for n, s in zip(shape[1:], size, strict=True))
    window = Window(0, start, size)
    blocks = to_blocks(volume)
    assert blocks.shape == blocked_shape(shape)
    np.testing.assert_array_equal(read_blocks(blocks, window), volume[(slice(None), *window.slices)])


def test_a_patch_lies_in_few_pages():
    """64 x 64 x 64 of 256 x 256 x 200: at most twice the patch's bytes in pages of 4096 bytes."""
    shape = blocked_shape((1, 256, 256, 200))
    # Each block is replaced by its place in the file, row by row.
    rows = np.arange(np.prod(shape[:4]), dtype=np.int64).reshape(shape[:4])
    for start in ((0, 0, 0), (64, 128, 64), (37, 51, 83)):
        h, w, d = start
        met = rows[:, w // 8 : -(-(w + 64) // 8), d // 8 : -(-(d + 64) // 8), h : h + 64].ravel() * 64 * 4
        pages = np.unique(np.concatenate([met // 4096, (met + 255) // 4096]))
        assert len(pages) * 4096 <= 2 * 64**3 * 4
