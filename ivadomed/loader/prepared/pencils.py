"""Layout of 3D volumes on disk, so that reading a patch touches little more than the patch.

A volume [C, H, W, D] is cut into pencils: columns of 8 x 8 voxels across W and D that run along all of H. A patch
of h x w x d voxels then lies in about (w/8) x (d/8) runs of h x 64 neighbouring values each, whatever the size of
the volume; in plain order it would be spread over h x w runs of d values.
"""

from __future__ import annotations

import numpy as np

from ivadomed.geometry.windows import Window

SIDE = 8


def packed_shape(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Shape [C, nW, nD, H, 8, 8] of the pencils of a volume [C, H, W, D]."""
    channels, height, width, depth = shape
    return channels, -(-width // SIDE), -(-depth // SIDE), height, SIDE, SIDE


def pack(volume: np.ndarray) -> np.ndarray:
    """[C, H, W, D] to pencils; W and D are padded with zeros to multiples of 8."""
    channels, height, width, depth = volume.shape
    _, n_width, n_depth, *_ = packed_shape(volume.shape)
    margin = ((0, 0), (0, 0), (0, n_width * SIDE - width), (0, n_depth * SIDE - depth))
    blocks = np.pad(volume, margin).reshape(channels, height, n_width, SIDE, n_depth, SIDE)
    return np.ascontiguousarray(blocks.transpose(0, 2, 4, 1, 3, 5))


def read(pencils: np.ndarray, window: Window) -> np.ndarray:
    """The voxels [C, h, w, d] of a window; of a memory-mapped array only the pencils it meets are read."""
    height, width, depth = window.slices
    columns, rows = (slice(s.start // SIDE, -(-s.stop // SIDE)) for s in (width, depth))
    met = pencils[:, columns, rows, height].transpose(0, 3, 1, 4, 2, 5)
    channels, h, n_width, _, n_depth, _ = met.shape
    patch = met.reshape(channels, h, n_width * SIDE, n_depth * SIDE)
    first_w, first_d = width.start - columns.start * SIDE, depth.start - rows.start * SIDE
    return patch[:, :, first_w : first_w + window.size[1], first_d : first_d + window.size[2]]
