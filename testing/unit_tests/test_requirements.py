"""The files that say which versions ivadomed works with do not contradict each other."""

import re
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[2]


def requirements(name):
    lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
    return [Requirement(line) for line in lines if line and not line.startswith("#")]


LOWEST = {canonicalize_name(r.name): r.specifier for r in requirements("requirements.txt")}
TESTED = {canonicalize_name(r.name): r.specifier for r in requirements("constraints.txt")}


@pytest.mark.parametrize("name", LOWEST)
def test_every_requirement_is_a_lower_bound_that_the_tested_version_meets(name):
    """Of which `make test-lowest` makes exact versions."""
    [bound], [tested] = LOWEST[name], TESTED[name]
    assert (bound.operator, tested.operator) == (">=", "==")
    assert Version(tested.version) in LOWEST[name]


@pytest.mark.parametrize("name", LOWEST)
def test_what_is_installed_meets_the_bound(name):
    """The environment of the lowest versions may have another torch, never a lower one."""
    try:
        installed = Version(version(name))
    except PackageNotFoundError:
        pytest.skip("not installed under this name")
    assert installed in LOWEST[name]


def test_classifiers_begin_with_the_python_that_is_required():
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    listed = re.findall(r"Python :: (3\.\d+)\"", text)
    [required] = re.findall(r'requires-python = ">=(3\.\d+)"', text)
    assert listed == sorted(listed, key=Version)
    assert listed[0] == required
