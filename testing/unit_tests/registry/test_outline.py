"""Outlines: what the source of a room tells of its registry is what an import gives."""

from importlib import import_module

import pytest

from ivadomed.registry import parameters
from ivadomed.registry.outline import outlines
from ivadomed.registry.types import INTERNAL, Doc

ROOMS = {
    "ivadomed.losses": "LOSSES",
    "ivadomed.metrics": "METRICS",
    "ivadomed.models.registry": "MODELS",
    "ivadomed.postprocessing": "STEPS",
    "ivadomed.transforms": "TRANSFORMS",
}


def configurable(module):
    registry = getattr(import_module(module), ROOMS[module])
    return {name: entry for name, entry in registry.items() if getattr(entry, "configurable", True)}


def is_known(annotation):
    """Whether no part of an annotation is Any."""
    return "typing.Any" not in repr(annotation)


def doc(annotation):
    return [each for each in getattr(annotation, "__metadata__", ()) if isinstance(each, Doc)]


@pytest.mark.parametrize("module", ROOMS)
def test_outlines_have_the_names_and_arguments_of_the_entries(module):
    entries, found = configurable(module), dict(outlines(module, ROOMS[module]))
    assert found.keys() == entries.keys()
    assert len(found) > 5
    for name, outline in found.items():
        assert outline.__name__ == name
        assert outline.__doc__.partition("\n")[0] == entries[name].__doc__.partition("\n")[0]
        told = parameters(outline)[0]
        arguments = {
            key: value
            for key, value in parameters(entries[name])[0].items()
            if INTERNAL not in getattr(value.annotation, "__metadata__", ())
        }
        assert list(told) == list(arguments), name
        for key, argument in arguments.items():
            annotation = told[key].annotation
            assert not is_known(annotation) or annotation == argument.annotation, (name, key)
            assert doc(annotation)[:1] == doc(argument.annotation)[:1], (name, key)
            assert (told[key].default is argument.empty) == (argument.default is argument.empty), (name, key)


def test_most_types_are_known_without_an_import():
    known = [
        parameter.annotation
        for module, registry in ROOMS.items()
        for _, outline in outlines(module, registry)
        for parameter in parameters(outline)[0].values()
    ]
    assert sum(map(is_known, known)) > len(known) * 3 / 4


def test_a_room_without_source_has_no_outlines():
    assert outlines("math", "ANYTHING") == ()
    assert outlines("json", "ANYTHING") == ()
