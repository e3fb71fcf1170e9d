"""Numbers and small images: rescaling, Gaussian kernels, heatmaps."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray
from scipy.signal import fftconvolve
from scipy.stats import norm


def rescale_values_array(
    arr: ArrayLike, minv: float | None = 0.0, maxv: float | None = 1.0, dtype: DTypeLike = np.float32
) -> NDArray:
    """Map the range of `arr` linearly onto [`minv`, `maxv`].

    Args:
        arr: Values of any shape.
        minv: New minimum; None for this or `maxv` keeps the range.
        maxv: New maximum.
        dtype: Type of the result, preferably floating-point.

    Returns:
        A new array. A constant array is unchanged because its range cannot be stretched.
    """
    values = np.array(arr, dtype=dtype)
    if minv is None or maxv is None or values.size == 0:
        return values
    low, high = values.min(), values.max()
    if low == high:
        return values
    # Scale first: (high - low) may be subnormal and its reciprocal infinite.
    return ((values - low) / (high - low) * (maxv - minv) + minv).astype(dtype)


def gaussian_kernel(kernlen: int = 10) -> NDArray[np.float32]:
    """A square patch of a Gaussian, from -1 to 1 standard deviation along each axis.

    Args:
        kernlen: Side in pixels.

    Returns:
        ``[kernlen, kernlen]``, rescaled so that the corners are 0 and the center is 1.
    """
    edges = np.linspace(-1, 1, kernlen + 1)
    profile = np.diff(norm.cdf(edges))
    return rescale_values_array(np.outer(profile, profile))


def heatmap_generation(image: ArrayLike, kernel_size: int) -> NDArray[np.float32]:
    """Turn the points of an image into Gaussian blobs.

    Args:
        image: ``[H, W]``, non-zero at the points.
        kernel_size: Side of a blob in pixels.

    Returns:
        ``[H, W]`` in [0, 1]; an image without points is all zeros.
    """
    points = np.asarray(image, dtype=float)
    if not points.any():
        return np.zeros(points.shape, dtype=np.float32)
    blobs = fftconvolve(points, gaussian_kernel(kernel_size), mode="same")
    return rescale_values_array(blobs)
