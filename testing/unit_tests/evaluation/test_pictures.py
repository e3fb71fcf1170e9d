"""The room that the slices of each case get in a report."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ivadomed.evaluation.pictures import share


@given(cases=st.integers(0, 3000), total=st.floats(0, 1e9))
def test_shares_fit_and_the_worst_cases_get_most(cases, total):
    shares = share(cases, total)
    assert len(shares) == cases
    assert sum(shares) <= total * (1 + 1e-9)
    assert shares == sorted(shares, reverse=True)
    assert all(one == 0 or 50_000 * (1 - 1e-9) <= one <= 1_000_000 for one in shares)


@pytest.mark.parametrize(
    ("cases", "total", "first", "last"),
    [
        (40, 48e6, 1e6, 1e6),
        (60, 48e6, 1e6, 0.7e6),
        (500, 48e6, 1e6, 28e6 / 480),
        (1000, 48e6, 1e6, 0),
        (10, 3e6, 0.3e6, 0.3e6),
        (30, 0.2e6, 0.05e6, 0),
        (5, 0, 0, 0),
    ],
)
def test_shares_by_hand(cases, total, first, last):
    shares = share(cases, total)
    assert (shares[0], shares[-1]) == pytest.approx((first, last))
