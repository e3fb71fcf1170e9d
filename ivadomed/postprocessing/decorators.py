"""Adapters that let a function of one array also take NIfTI images, several classes, or soft values."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import numpy as np

LOW_THRESHOLD = 1e-3


def nifti_capable(wrapped: Callable[..., Any]) -> Callable[..., Any]:
    """Let ``wrapped(array, ...)`` also take a nibabel image as its first argument.

    An array result comes back as an image with the input's affine and header and the array's type;
    any other result as it is.
    """

    @wraps(wrapped)
    def wrapper(data: Any, *args: Any, **kwargs: Any) -> Any:
        if not hasattr(data, "dataobj"):
            return wrapped(data, *args, **kwargs)
        result = wrapped(np.asanyarray(data.dataobj), *args, **kwargs)
        if not isinstance(result, np.ndarray):
            return result
        from ivadomed.images.io import make_nifti  # loads nibabel, which callers with arrays do not need

        return make_nifti(result, data.affine, data.header)

    return wrapper


def multilabel_capable(wrapped: Callable[..., np.ndarray]) -> Callable[..., np.ndarray]:
    """Let ``wrapped(array, ...)`` also take classes along a fourth axis [H, W, D, C]; each on its own."""

    @wraps(wrapped)
    def wrapper(data: np.ndarray, *args: Any, **kwargs: Any) -> np.ndarray:
        if np.ndim(data) != 4:
            return wrapped(data, *args, **kwargs)
        return np.stack([wrapped(data[..., c], *args, **kwargs) for c in range(data.shape[-1])], axis=-1)

    return wrapper


def binarize_with_low_threshold(wrapped: Callable[..., np.ndarray]) -> Callable[..., np.ndarray]:
    """Let ``wrapped(mask, ...)`` also take soft values: what the resulting mask keeps, keeps its value.

    Values below 0.001 are set to 0 before: the tails of a soft prediction connect objects that are apart.
    """

    @wraps(wrapped)
    def wrapper(data: np.ndarray, *args: Any, **kwargs: Any) -> np.ndarray:
        data = np.asarray(data)
        kept = wrapped(data >= LOW_THRESHOLD, *args, **kwargs)
        return np.where(kept, data, np.zeros((), data.dtype))

    return wrapper
