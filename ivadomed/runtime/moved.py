"""Import paths of earlier versions, kept working with a table of names per module.

Nothing is imported before it is needed, so a module may provide names of layers above its own.
"""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable, Mapping
from typing import Any


def moved_names(
    module: str, table: Mapping[str, str], kept: Mapping[str, str] | None = None
) -> Callable[[str], Any]:
    """Make the ``__getattr__`` of a module that provides names defined elsewhere.

    Args:
        module: ``__name__`` of the module.
        table: Moved names and their new dotted paths; each use gives a warning.
        kept: Names of the documented API that remain in this module, by the implementing module: "a b c".
    """
    places = {name: place for place, names in (kept or {}).items() for name in names.split()}

    def find(name: str) -> Any:
        if name in places:
            return _resolve(f"{places[name]}.{name}")
        if name not in table:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        warnings.warn(f"{module}.{name} is now {table[name]}", DeprecationWarning, stacklevel=2)
        return _resolve(table[name])

    return find


def _resolve(path: str) -> Any:
    place, _, attribute = path.rpartition(".")
    return getattr(importlib.import_module(place), attribute)
