"""Old import paths."""

import importlib
import warnings

import pytest

from ivadomed import utils
from ivadomed.runtime.moved import moved_names


@pytest.mark.parametrize("name", utils.MOVED)
def test_every_moved_name_resolves_with_a_warning(name):
    place, _, attribute = utils.MOVED[name].rpartition(".")
    with pytest.warns(DeprecationWarning, match=rf"ivadomed\.utils\.{name} is now {utils.MOVED[name]}"):
        found = getattr(utils, name)
    assert found is getattr(importlib.import_module(place), attribute)
    assert callable(found)


def test_from_import_works_too():
    with pytest.warns(DeprecationWarning, match="mixup"):
        from ivadomed.utils import mixup
    assert mixup.__module__ == "ivadomed.training.mixup"


def test_the_warning_points_at_the_user():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        utils.mixup  # noqa: B018
    assert caught[0].filename == __file__


def test_other_names_are_an_error():
    with pytest.raises(AttributeError, match=r"module 'ivadomed\.utils' has no attribute 'no_such_name'"):
        utils.no_such_name  # noqa: B018
    assert not hasattr(utils, "segment_volumes")


def test_nothing_is_imported_before_it_is_asked_for():
    find = moved_names("here", {"broken": "ivadomed.no_such_module.x"})
    with pytest.warns(DeprecationWarning, match="is now"), pytest.raises(ModuleNotFoundError):
        find("broken")
