"""Paired comparisons against other implementations and by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from ivadomed.evaluation.paired import compare_paired, holm


def test_by_hand():
    # Differences 1, 2, 3: mean 2, standard deviation 1, t = 2 * sqrt(3); with 2 degrees of freedom the two-sided
    # p-value is 1 - t / sqrt(2 + t * t), and 4.302653 is the 97.5 % point.
    result = compare_paired([2, 4, 6], [1, 2, 3])
    t = 2 * np.sqrt(3)
    assert (result.n, result.difference, result.effect_size) == (3, 2, 2)
    assert result.p_ttest == pytest.approx(1 - t / np.sqrt(2 + t * t))
    assert result.ci95_high - 2 == pytest.approx(4.302653 / np.sqrt(3), rel=1e-6)
    assert result.p_wilcoxon == pytest.approx(0.25)  # 2 of the 8 ways to choose signs


def test_like_scipy():
    rng = np.random.default_rng(0)
    a, b = rng.random(12), rng.random(12)
    result = compare_paired([*a, np.nan, 1], [*b, 1, np.nan])
    expected = stats.ttest_rel(a, b)
    low, high = expected.confidence_interval()
    assert result.p_ttest == pytest.approx(expected.pvalue)
    assert (result.ci95_low, result.ci95_high) == pytest.approx((low, high))
    assert result.p_wilcoxon == pytest.approx(stats.wilcoxon(a, b).pvalue)


def test_where_there_is_nothing_to_test():
    same = compare_paired([0.1, 0.7], [0.1, 0.7])
    assert (same.difference, same.effect_size, same.p_ttest, same.p_wilcoxon) == (0, 0, 1, 1)
    shifted = compare_paired([1.0, 2.0, 3.0], [0.5, 1.5, 2.5])
    assert (shifted.difference, shifted.effect_size, shifted.p_ttest) == (0.5, np.inf, 0)
    one = compare_paired([0.5], [0.25])
    assert (one.n, one.difference) == (1, 0.25)
    assert np.isnan([one.ci95_low, one.effect_size, one.p_ttest, one.p_wilcoxon]).all()


def test_holm_by_hand():
    np.testing.assert_allclose(holm([0.01, 0.04, np.nan, 0.03]), [0.03, 0.06, np.nan, 0.06])
    np.testing.assert_allclose(holm([0.5, 0.6]), [1, 1])
    assert holm([]).shape == (0,)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_lies_between_the_p_value_and_bonferroni(p):
    adjusted = holm(p)
    assert (adjusted >= p).all()
    assert (adjusted <= np.minimum(1, np.multiply(p, len(p)))).all()
    order = np.argsort(p, kind="stable")
    assert (np.diff(adjusted[order]) >= 0).all()
