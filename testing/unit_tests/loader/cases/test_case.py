"""Paths of one case."""

from dataclasses import FrozenInstanceError
from pathlib import Path

import pytest

from ivadomed.images.labels import LabelFile
from ivadomed.loader.cases.case import Case

A, B, C = (LabelFile(Path(name)) for name in "abc")


def test_raters_are_counted_through_all_classes():
    case = Case("x", (Path("i"),), targets=((A, B), None, (C,)))
    assert case.rater_files == (A, B, None, C)
    assert case.raters == ((0, 1), (2,), (3,))


def test_an_empty_class_keeps_its_place():
    case = Case("x", (Path("i"),), targets=(None, (), (C,)))
    assert case.rater_files == (None, None, C)
    assert case.raters == ((0,), (1,), (2,))


def test_without_labels():
    case = Case("x", (Path("i"),))
    assert (case.rater_files, case.raters, case.files) == ((), (), (Path("i"),))
    assert (case.subject, case.contrasts, case.roi, dict(case.metadata)) == ("", (), None, {})


def test_files_are_all_that_the_arrays_depend_on():
    case = Case("x", (Path("i"), Path("j")), targets=((A, B), None), roi=C)
    assert case.files == (Path("i"), Path("j"), Path("a"), Path("b"), Path("c"))


def test_a_case_is_frozen_and_cases_do_not_share_metadata():
    one, other = Case("x", ()), Case("y", ())
    assert one.metadata is not other.metadata
    with pytest.raises(FrozenInstanceError):
        one.id = "z"
