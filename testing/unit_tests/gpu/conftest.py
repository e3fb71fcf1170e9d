"""The modules of ``testing/gpu``, which import each other by their bare names, as a script's do."""

import importlib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

FOLDER = Path(__file__).parents[2] / "gpu"


@pytest.fixture
def module(monkeypatch) -> Callable[[str], ModuleType]:
    """Return a function that imports one of them."""
    monkeypatch.syspath_prepend(FOLDER)
    return importlib.import_module
