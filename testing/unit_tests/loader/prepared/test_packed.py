"""Values kept as bytes."""

import pytest

from ivadomed.loader.prepared.cache import Packed


@pytest.mark.parametrize("values", [[], [{"a": (1, 2.5)}], ["x", None, [3] * 1000, ""]])
def test_the_values_come_back(values):
    packed = Packed(values)
    assert list(packed) == values
    assert len(packed) == len(values)
    assert [packed[place] for place in range(len(packed))] == values
    with pytest.raises(IndexError):
        packed[len(values)]
    with pytest.raises(IndexError):
        packed[-1]
