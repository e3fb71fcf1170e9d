"""Animated GIFs, read back by Pillow."""

import numpy as np
from PIL import Image, ImageSequence

from ivadomed.visualize import AnimatedGif


def test_frames_come_in_order_with_their_labels_and_repeat(tmp_path):
    gif = AnimatedGif((60, 80))
    for level in (0.0, 0.5, 1.0):
        gif.add(np.full((60, 80), level), f"Epoch {level}")
    gif.save(tmp_path / "a.gif")
    with Image.open(tmp_path / "a.gif") as file:
        assert file.info["loop"] == 0  # without end
        frames = [np.asarray(frame.convert("L")) for frame in ImageSequence.Iterator(file)]
    assert [frame.shape for frame in frames] == [(90, 80)] * 3  # 30 rows for the label
    np.testing.assert_allclose([frame[60, 40] for frame in frames], [0, 127, 255], atol=2)
    assert all(frame[:25].min() < 100 for frame in frames)  # dark letters on white
    assert (frames[0][:25] != frames[1][:25]).any()


def test_colours_stay(tmp_path):
    gif = AnimatedGif((40, 40))
    gif.add(np.full((40, 40, 3), (213, 94, 0), np.uint8))
    gif.save(tmp_path / "a.gif")
    with Image.open(tmp_path / "a.gif") as file:
        np.testing.assert_allclose(np.asarray(file.convert("RGB"))[50, 20], (213, 94, 0), atol=3)
