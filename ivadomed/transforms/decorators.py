"""Decorators for the ``__call__`` of user-written transforms, and the bridge to TorchIO."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np


def multichannel_capable(wrapped: Callable[..., Any]) -> Callable[..., Any]:
    """Let a method written for one array take a list of channels.

    The channels go through one after the other; what the first one recorded in its metadata is handed to
    the next, so all get the same random numbers.
    """

    @functools.wraps(wrapped)
    def wrapper(self: Any, sample: Any, metadata: Any = None) -> tuple[Any, Any]:
        if not isinstance(sample, list):
            return wrapped(self, sample, metadata)
        if not sample:
            return [], []
        given = metadata if isinstance(metadata, list) else [metadata] * len(sample)
        arrays: list[Any] = []
        records: list[Any] = []
        for array, record in zip(sample, given, strict=True):
            if records and record is not None and records[0] is not None:
                for key, value in records[0].items():
                    if key not in record or not record[key]:
                        record[key] = value
            out, record = wrapped(self, array, record)
            arrays.append(out)
            records.append(record)
        return arrays, records

    return wrapper


def two_dim_compatible(wrapped: Callable[..., Any]) -> Callable[..., Any]:
    """Let a method written for [H, W, D] take [H, W]: one slice is added before and removed after."""

    @functools.wraps(wrapped)
    def wrapper(self: Any, sample: Any, metadata: Any = None) -> tuple[Any, Any]:
        if sample.ndim != 2:
            return wrapped(self, sample, metadata)
        out, metadata = wrapped(self, np.expand_dims(sample, -1), metadata)
        return np.squeeze(out, axis=-1), metadata

    return wrapper


def tio_transform(x: np.ndarray, transform: Callable[..., Any]) -> tuple[np.ndarray, Any]:
    """Apply a TorchIO transform to one image.

    Args:
        x: [H, W, D].
        transform: A transform of the torchio library, which the caller has installed.

    Returns:
        The transformed image [H, W, D] and TorchIO's history of the transform.
    """
    import torchio  # not a dependency: present when the caller holds one of its transforms

    subject = torchio.Subject(input=torchio.ScalarImage(tensor=np.ascontiguousarray(x)[None]))
    transformed = transform(subject)
    return transformed.input.numpy()[0], transformed.get_composed_history()
