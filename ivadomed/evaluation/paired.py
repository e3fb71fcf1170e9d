"""Compare two methods on the same runs or images: paired tests, effect size, correction for many comparisons."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

_LEVEL = 0.95


@dataclass(frozen=True)
class PairedComparison:
    """How ``first - second`` is distributed.

    Args:
        n: Pairs.
        difference: Mean of the differences.
        ci95_low: Lower end of its confidence interval, of Student's t.
        ci95_high: Upper end.
        effect_size: Cohen's d_z, the mean difference in standard deviations of the differences (Lakens, Frontiers in
            Psychology 4:863, 2013); infinite where all differences are one number.
        p_ttest: Two-sided p-value of the paired t-test.
        p_wilcoxon: Of the signed-rank test (Wilcoxon, Biometrics Bulletin 1:80-83, 1945), exact for few pairs without
            ties. With n pairs it is never below 2 ** (1 - n): five pairs cannot reach 0.05.
    """

    n: int
    difference: float
    ci95_low: float
    ci95_high: float
    effect_size: float
    p_ttest: float
    p_wilcoxon: float


def compare_paired(
    first: Sequence[float] | np.ndarray, second: Sequence[float] | np.ndarray
) -> PairedComparison:
    """Compare values [n] of two methods, pair by pair.

    Pairs with a NaN are left out. What needs two pairs is NaN for fewer. Where nothing differs, p-values are 1.
    """
    from scipy import stats  # takes a second to load, which an error or --help should not

    difference = np.asarray(first, float) - np.asarray(second, float)
    difference = difference[np.isfinite(difference)]
    n = len(difference)
    if n < 2:
        mean = float(difference.mean()) if n else np.nan
        return PairedComparison(n, mean, np.nan, np.nan, np.nan, np.nan, np.nan)
    mean, spread = float(difference.mean()), float(difference.std(ddof=1))
    if np.ptp(difference) == 0:
        spread = 0.0  # the rounding of a mean is no spread
    if not difference.any():
        return PairedComparison(n, 0.0, 0.0, 0.0, 0.0, 1.0, 1.0)
    error = spread / np.sqrt(n)
    half = float(stats.t.ppf((1 + _LEVEL) / 2, n - 1)) * error
    p_ttest = float(2 * stats.t.sf(abs(mean) / error, n - 1)) if error else 0.0
    return PairedComparison(
        n=n,
        difference=mean,
        ci95_low=mean - half,
        ci95_high=mean + half,
        effect_size=mean / spread if spread else float(np.copysign(np.inf, mean)),
        p_ttest=p_ttest,
        p_wilcoxon=float(stats.wilcoxon(difference).pvalue),
    )


def holm(p_values: Sequence[float] | np.ndarray) -> np.ndarray:
    """Adjust p-values [m] so that the chance of one false finding among all m is kept.

    The step-down procedure of Holm (Scandinavian Journal of Statistics 6:65-70, 1979), valid for any dependence. NaN
    stays NaN and does not count.
    """
    p = np.asarray(p_values, float)
    adjusted = np.full(p.shape, np.nan)
    places = np.flatnonzero(~np.isnan(p))
    places = places[np.argsort(p[places], kind="stable")]
    factors = len(places) - np.arange(len(places))
    adjusted[places] = np.minimum(1, np.maximum.accumulate(p[places] * factors))
    return adjusted
