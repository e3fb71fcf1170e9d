"""Metadata of one sample: voxel size, file names, and what the transforms drew."""

from __future__ import annotations

from collections.abc import ItemsView, Iterable, KeysView, Mapping
from typing import Any


class SampleMetadata:
    """A dictionary of metadata.

    Args:
        d: Initial content; copied.

    Attributes:
        metadata: The content.
    """

    def __init__(self, d: Mapping[str, Any] | None = None) -> None:
        self.metadata: dict[str, Any] = dict(d or {})

    def __getitem__(self, key: str) -> Any:
        """Return the value of `key`."""
        return self.metadata[key]

    def __setitem__(self, key: str, value: Any) -> None:
        """Set the value of `key`."""
        self.metadata[key] = value

    def __contains__(self, key: object) -> bool:
        """Tell whether `key` is set."""
        return key in self.metadata

    def __copy__(self) -> SampleMetadata:
        """Return a copy whose keys can be set without touching this one."""
        return SampleMetadata(self.metadata)

    def __repr__(self) -> str:
        """Show the content."""
        return f"SampleMetadata({self.metadata!r})"

    def get(self, key: str, default: Any = None) -> Any:
        """Return the value of `key`, `default` if it is not set."""
        return self.metadata.get(key, default)

    def items(self) -> ItemsView[str, Any]:
        """Return the (key, value) pairs."""
        return self.metadata.items()

    def keys(self) -> KeysView[str]:
        """Return the keys."""
        return self.metadata.keys()

    def _update(self, ref: Mapping[str, Any] | SampleMetadata, keys: Iterable[str]) -> None:
        """Take `keys` over from `ref` where they are missing or empty here."""
        for key in keys:
            if key in ref and (key not in self or not self[key]):
                self[key] = ref[key]
