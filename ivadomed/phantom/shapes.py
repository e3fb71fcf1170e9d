"""Signed distances of simple shapes (mm, negative inside) and the share of a voxel that a shape covers."""

from __future__ import annotations

import numpy as np

Array = np.ndarray
Point = tuple[float, float]


def coverage(distance: Array, width: float) -> Array:
    """Share of a voxel inside a shape, 0..1: a linear ramp of `width` mm around the surface.

    This is exact for a plane that crosses a cube along an axis, and stands in for supersampling elsewhere.
    """
    return np.clip(0.5 - distance * np.float32(1.0 / width), 0.0, 1.0)


def ellipse(u: Array, v: Array, a: Array | float, b: Array | float) -> Array:
    """First-order distance to the ellipse with half axes `a`, `b`: (q - 1) q / |grad|, exact on the axes."""
    pu, pv = u / a, v / b
    q = np.maximum(np.sqrt(pu * pu + pv * pv), 1e-6)
    # |grad| >= q / max(a, b) everywhere, which also gives the middle of the ellipse a finite distance.
    gradient = np.maximum(np.sqrt((pu / a) ** 2 + (pv / b) ** 2), q / np.maximum(a, b))
    return (q - 1.0) * q / gradient


def capsule(
    u: Array, v: Array, start: Point, end: Point, radius: float, radius_end: float | None = None
) -> Array:
    """Distance to the segment `start`-`end` thickened by a radius that may change along it."""
    eu, ev = end[0] - start[0], end[1] - start[1]
    pu, pv = u - start[0], v - start[1]
    along = np.clip((pu * eu + pv * ev) / (eu * eu + ev * ev), 0.0, 1.0)
    grown = radius + along * ((radius if radius_end is None else radius_end) - radius)
    return np.sqrt((pu - along * eu) ** 2 + (pv - along * ev) ** 2) - grown


def rounded_box(u: Array, v: Array, half_u: Array | float, half_v: float, corner: float) -> Array:
    """Distance to a rectangle of half sides `half_u`, `half_v` with corners of radius `corner`."""
    qu, qv = np.abs(u) - (half_u - corner), np.abs(v) - (half_v - corner)
    outside = np.sqrt(np.maximum(qu, 0.0) ** 2 + np.maximum(qv, 0.0) ** 2)
    return outside + np.minimum(np.maximum(qu, qv), 0.0) - corner


def smooth_union(first: Array, second: Array, blend: float) -> Array:
    """Union of two shapes whose seam is rounded over `blend` mm (polynomial smooth minimum)."""
    overlap = np.maximum(blend - np.abs(first - second), 0.0) / blend
    return np.minimum(first, second) - overlap * overlap * (blend / 4.0)
