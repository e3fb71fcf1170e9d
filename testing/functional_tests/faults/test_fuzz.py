"""Changed and random bytes for every reader: no error but ours. For hours of it: testing/fuzz/fuzz.py."""

import json
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ivadomed.config import RunConfig
from ivadomed.config.problems import all_paths
from testing.fuzz import targets


@st.composite
def damaged(draw, name: str) -> bytes:
    """A valid input of which some bytes were changed, cut out or put in."""
    content = bytearray(draw(st.sampled_from(targets.seeds(name))))
    for _ in range(draw(st.integers(1, 6))):
        place = draw(st.integers(0, len(content)))
        length = draw(st.sampled_from([0, 1, 1, 2, 4, 8, 60]))
        content[place : place + length] = draw(st.binary(max_size=8))
    return bytes(content)


@pytest.mark.parametrize("name", list(targets.TARGETS))
def test_damaged_inputs(name):
    @settings(max_examples=60, deadline=None, database=None, derandomize=True)
    @given(damaged(name))
    def check(content):
        targets.check(name, content)

    check()


@pytest.mark.parametrize("name", list(targets.TARGETS))
def test_noise(name):
    rng = random.Random(name)
    for _ in range(30):
        targets.check(name, rng.randbytes(rng.choice([0, 1, 10, 400])))


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=5,
)


@settings(max_examples=100, deadline=None, database=None, derandomize=True)
@given(st.data())
def test_any_value_at_any_key(data):
    """Configurations whose keys are right and whose values may be anything."""
    paths = sorted(set(all_paths(RunConfig)))
    content: dict = {}
    for path in data.draw(st.lists(st.sampled_from(paths), min_size=1, max_size=3)):
        node = content
        for key in path[:-1]:
            node = node.setdefault(key, {}) if isinstance(node, dict) else {}
        if isinstance(node, dict):
            node[path[-1]] = data.draw(VALUES)
    targets.check("configuration", json.dumps(content).encode())
