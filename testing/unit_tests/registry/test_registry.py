"""A registry: names, own classes, arguments."""

import sys
from types import SimpleNamespace
from typing import Annotated

import pytest

from ivadomed.errors import ConfigError
from ivadomed.registry import Registry, did_you_mean, nearest, parameters
from ivadomed.registry.section import (
    OrderedSteps,
    Section,
    own_model,
    parse_arguments,
    section_model,
)
from ivadomed.registry.types import INTERNAL, Doc, Flag, Fraction, NonNegative, PositiveReal


class Shape:
    """Base of what is registered."""


class Circle(Shape):
    """All points at one distance.

    More words.
    """

    def __init__(
        self,
        radius: Annotated[PositiveReal, Doc("Distance (> 0), in mm.", 2.0)],
        filled: Annotated[Flag, Doc("With what is inside.")] = True,
        cache: Annotated[dict | None, INTERNAL] = None,
    ) -> None:
        self.radius, self.filled = radius, filled

    @staticmethod
    def problems(radius: float, filled: bool) -> list[str]:
        return ["radius: too large to be filled"] if filled and radius > 100 else []


class Ring(Circle):
    """Circle with a hole."""

    def __init__(self, hole: Annotated[Fraction, Doc("Share of the radius.")] = 0.5, **kwargs: float) -> None:
        super().__init__(**kwargs)


def make() -> Registry[type[Shape]]:
    shapes: Registry[type[Shape]] = Registry(
        Shape,
        place="shape.{name}",
        unknown="shape: {name!r} is unknown",
        no_argument="shape.{name}.{key}: no such argument{hint} Accepted: {known}.",
        expected="shape; expected a subclass of Shape",
    )
    for cls in (Circle, Ring):
        assert shapes.register(cls) is cls
    return shapes


def test_entries_stand_under_their_own_names_and_are_built():
    shapes = make()
    assert list(shapes) == ["Circle", "Ring"]
    circle = shapes.build("Circle", {"radius": 3, "filled": False})
    assert (type(circle), circle.radius, circle.filled) == (Circle, 3, False)


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("circel", {}, "shape: 'circel' is unknown; did you mean 'Circle'\\? Known: Circle, Ring."),
        (None, {}, "shape: None is unknown. Known"),
        ("Circle", {"radios": 1}, "shape.Circle.radios: no such argument; did you mean 'radius'"),
        ("Circle", {"x": 1}, "no such argument. Accepted: radius, filled, cache."),
        ("Circle", {}, "shape.Circle: radius must be given"),
        ("nowhere.at_all:Circle", {}, "cannot be imported .*PYTHONPATH"),
        ("os:system", {}, "shape.os:system is no shape; expected a subclass of Shape"),
        ("os:absent", {}, "AttributeError"),
    ],
)
def test_what_is_wrong_is_said(name, arguments, message):
    with pytest.raises(ConfigError, match=message):
        make().build(name, arguments)


def test_own_classes_are_imported_unless_a_file_of_somebody_else_names_them(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "our_base", SimpleNamespace(Shape=Shape))
    (tmp_path / "our_shapes.py").write_text("from our_base import Shape\nclass Square(Shape):\n    pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ConfigError, match="`import our_shapes` before"):
        make().find("our_shapes:Square", allow_import=False)
    assert make().find("our_shapes:Square").__name__ == "Square"
    assert make().find("our_shapes:Square", allow_import=False).__name__ == "Square"


def test_arguments_of_classes_and_functions():
    known, takes_any = parameters(Ring)
    assert (list(known), takes_any) == (["hole", "radius", "filled", "cache"], False)

    def step(prediction, also, *, thr: int = 1, **rest): ...

    known, takes_any = parameters(step)
    assert (list(known), takes_any) == (["thr"], True)


def test_a_section_is_made_from_a_signature():
    model = section_model(Circle, Section)
    assert model is section_model(Circle, Section)
    assert model.__doc__ == "All points at one distance."
    assert list(model.model_fields) == ["radius", "filled"]
    field = model.model_fields["radius"]
    assert (field.description, field.examples, field.is_required()) == ("Distance (> 0), in mm.", [2.0], True)
    assert model(radius=1).filled is True
    schema = model.model_json_schema()["properties"]
    assert schema["radius"]["exclusiveMinimum"] == 0
    assert schema["filled"]["default"] is True


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({"radius": 0}, "radius: 0; expected a value greater than 0"),
        ({"radius": "1"}, "radius: '1'; expected a number"),
        ({"radius": float("inf"), "filled": False}, "radius: inf; expected a finite number"),
        ({"radius": 1, "radios": 1}, "radios: unknown key; Circle takes radius, filled"),
    ],
)
def test_problems_of_arguments(arguments, problem):
    assert parse_arguments(Circle, arguments)[1] == [problem]


def test_problems_across_arguments():
    with pytest.raises(ValueError, match="radius: too large to be filled"):
        section_model(Circle, Section)(radius=200)
    assert section_model(Circle, Section)(radius=200, filled=False)


def test_own_sections_take_any_key():
    assert own_model(Section).model_validate({"anything": 1}).model_extra == {"anything": 1}


@pytest.mark.parametrize(
    ("word", "known", "meant"),
    [
        ("dropuot", ["dropout", "depth"], "dropout"),
        ("DEPTH", ["dropout", "depth"], "depth"),
        ("RandomTranslation", ["RandomContrast"], None),
        ("RandomContrst", ["RandomContrast"], "RandomContrast"),
        ("xyz", ["dropout"], None),
        (None, ["dropout"], None),
    ],
)
def test_the_nearest_word(word, known, meant):
    assert nearest(word, known) == meant
    assert did_you_mean(word, known, "!") == ("!" if meant is None else f"; did you mean {meant!r}?")


def test_whole_numbers_may_be_written_as_floats():
    class Counted:
        def __init__(self, n: NonNegative = 1) -> None: ...

    model = section_model(Counted, Section)
    assert model(n=128.0).n == 128
    assert parse_arguments(Counted, {"n": True})[1]
    assert OrderedSteps().steps == {}
