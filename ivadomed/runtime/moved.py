"""Import paths of earlier versions that still work, from a table of names per module.

Nothing is imported before it is asked for, so a module may lend names of layers above its own.
"""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable, Mapping
from typing import Any


def moved_names(
    module: str, table: Mapping[str, str], kept: Mapping[str, str] | None = None
) -> Callable[[str], Any]:
    """The ``__getattr__`` of a module that lends names which are defined elsewhere.

    Args:
        module: ``__name__`` of the module.
        table: Names that have moved to the dotted path of what they are now; each use gives a warning that says so.
        kept: Names of the documented API whose path is still this module, by the module that does the work: "a b c".
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
