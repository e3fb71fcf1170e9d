"""Old import paths that go on working: a table of names per module, with a warning for each use."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable, Mapping
from typing import Any


def moved_names(module: str, table: Mapping[str, str]) -> Callable[[str], Any]:
    """The ``__getattr__`` of a module from which names have moved.

    Args:
        module: ``__name__`` of the module.
        table: Old name to the dotted path of what it is now; imported when it is asked for.
    """

    def find(name: str) -> Any:
        if name not in table:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        warnings.warn(f"{module}.{name} is now {table[name]}", DeprecationWarning, stacklevel=2)
        place, _, attribute = table[name].rpartition(".")
        return getattr(importlib.import_module(place), attribute)

    return find
