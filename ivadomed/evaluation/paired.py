"""Compare methods on the same runs or images: paired tests, effect size, correction for multiple comparisons."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd

from ivadomed.errors import DataError
from ivadomed.images.files import write_csv

log = logging.getLogger(__name__)

_LEVEL = 0.95
_RUN_NUMBER = re.compile(r"_n=(\d+)$")
_NAME, _RUN = "path_output", "iteration"
_OLD_NAME = "log_directory"  # in tables of early versions of ivadomed 2


@dataclass(frozen=True)
class PairedComparison:
    """Distribution of ``first - second``.

    Args:
        n: Number of pairs.
        difference: Mean difference.
        ci95_low: Lower bound of its confidence interval (Student's t).
        ci95_high: Upper bound.
        effect_size: Cohen's d_z, the mean difference in standard deviations of the differences (Lakens, Frontiers in
            Psychology 4:863, 2013); infinite if all differences are equal.
        p_ttest: Two-sided p-value of the paired t-test.
        p_wilcoxon: P-value of the signed-rank test (Wilcoxon, Biometrics Bulletin 1:80-83, 1945), exact for few pairs
            without ties. With n pairs it is at least 2 ** (1 - n): five pairs cannot reach 0.05.
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
    """Compare paired values [n] of two methods.

    Pairs with a NaN are left out. Statistics that need two pairs are NaN for fewer. If nothing differs, p-values are 1.
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
        spread = 0.0  # not the rounding error of the mean
    if not difference.any():
        return PairedComparison(n, 0.0, 0.0, 0.0, 0.0, 1.0, 1.0)
    error = spread / np.sqrt(n)
    low, high = mean_interval(difference)
    p_ttest = float(2 * stats.t.sf(abs(mean) / error, n - 1)) if error else 0.0
    return PairedComparison(
        n=n,
        difference=mean,
        ci95_low=low,
        ci95_high=high,
        effect_size=mean / spread if spread else float(np.copysign(np.inf, mean)),
        p_ttest=p_ttest,
        p_wilcoxon=float(stats.wilcoxon(difference).pvalue),
    )


def mean_interval(values: np.ndarray) -> tuple[float, float]:
    """95 % confidence interval of the mean of values [n] (Student's t); NaN for fewer than two."""
    from scipy import stats  # see `compare_paired`

    n = len(values)
    if n < 2:
        return np.nan, np.nan
    spread = float(values.std(ddof=1)) if np.ptp(values) else 0.0  # not the rounding error of the mean
    half = float(stats.t.ppf((1 + _LEVEL) / 2, n - 1)) * spread / np.sqrt(n)
    return float(values.mean()) - half, float(values.mean()) + half


def holm(p_values: Sequence[float] | np.ndarray) -> np.ndarray:
    """Adjust p-values [m] to control the family-wise error rate.

    Step-down procedure of Holm (Scandinavian Journal of Statistics 6:65-70, 1979), valid under any dependence. NaN
    stays NaN and does not count.
    """
    p = np.asarray(p_values, float)
    adjusted = np.full(p.shape, np.nan)
    ranked = np.flatnonzero(~np.isnan(p))
    ranked = ranked[np.argsort(p[ranked], kind="stable")]
    factors = len(ranked) - np.arange(len(ranked))
    adjusted[ranked] = np.minimum(1, np.maximum.accumulate(p[ranked] * factors))
    return adjusted


def compare_each_two(values: Mapping[str, pd.Series]) -> pd.DataFrame:
    """Compare all pairs of methods on the runs or images that both have.

    Args:
        values: Values of each method, by run or image.

    Returns:
        One row per pair of methods: ``first``, ``second``, their means, the fields of ``PairedComparison`` (first
        minus second), and both p-values corrected for the number of rows (``p_ttest_holm``, ``p_wilcoxon_holm``).
    """
    rows = []
    for first, second in combinations(values, 2):
        a, b = values[first].align(values[second], join="inner")
        means = {"first": first, "second": second, "mean_first": a.mean(), "mean_second": b.mean()}
        rows.append(means | asdict(compare_paired(a.to_numpy(), b.to_numpy())))
    columns = ["first", "second", "mean_first", "mean_second", *(f.name for f in fields(PairedComparison))]
    table = pd.DataFrame(rows, columns=columns)
    for test in ("p_ttest", "p_wilcoxon"):
        table[f"{test}_holm"] = holm(table[test].to_numpy(float))
    return table


def compute_statistics(
    dataframe: pd.DataFrame,
    n_iterations: int,
    run_test: bool = True,
    csv_out: str | os.PathLike[str] = "comparison_models.csv",
) -> pd.DataFrame:
    """Compare all pairs of configurations of a sweep and write the tables.

    Args:
        dataframe: One row per run: ``path_output`` names the configuration, ``iteration`` (or ``_n=03`` at the end of
            the name) the run; ``test_dice`` or ``best_validation_dice`` is compared.
        n_iterations: Number of runs of each configuration.
        run_test: Compare ``test_dice`` instead of ``best_validation_dice``.
        csv_out: File for p-values of the paired t-test [configurations, configurations]; the returned
            table is written next to it, as ``<csv_out>_details.csv``.

    Returns:
        One row per pair of configurations, see ``compare_each_two``.

    Raises:
        DataError: A column is missing, or runs cannot be paired.
    """
    column = "test_dice" if run_test else "best_validation_dice"
    runs = _runs(dataframe, column)
    for name, values in runs.items():
        if values.notna().sum() != n_iterations:
            log.warning(
                "%s: has %d runs with a %s, expected %d.", name, values.notna().sum(), column, n_iterations
            )
    if len(runs) < 2:
        log.warning("The table has only one configuration: nothing to compare.")
    elif all(len(values) < 2 for values in runs.values()):
        log.warning(
            "Each configuration ran once: tests need at least two runs (-n of ivadomed_automate_training)."
        )
    details = compare_each_two(runs)
    csv_out = Path(csv_out)
    for path, table in (
        (csv_out, _matrix(list(runs), details)),
        (csv_out.with_name(f"{csv_out.stem}_details.csv"), details.set_index("first")),
    ):
        write_csv(path, table)
    return details


def _runs(table: pd.DataFrame, column: str) -> dict[str, pd.Series]:
    """Values of each configuration, by run."""
    if _NAME not in table:
        table = table.rename(columns={_OLD_NAME: _NAME})
    for needed in (_NAME, column):
        if needed not in table:
            hint = "; test_dice is written with --run-test" if needed == "test_dice" else ""
            raise DataError(f"the table has no column {needed} (it has {', '.join(map(str, table))}){hint}")
    names = table[_NAME].astype(str).str.rstrip("/\\")
    written = table[_RUN] if _RUN in table else names.str.extract(_RUN_NUMBER, expand=False)
    numbers = pd.to_numeric(written, errors="coerce")
    order = names.groupby(names).cumcount()
    configurations = names.str.replace(_RUN_NUMBER, "", regex=True)
    run = numbers.fillna(order).astype(int)
    values = pd.to_numeric(table[column], errors="coerce")
    runs = {
        str(name): pd.Series(values[rows].to_numpy(), index=run[rows])
        for name, rows in configurations.groupby(configurations, sort=False).groups.items()
    }
    for name, series in runs.items():
        if series.index.has_duplicates:
            raise DataError(f"{name}: run {series.index[series.index.duplicated()][0]} occurs twice")
    by_order = bool((order[numbers.isna()] > 0).any())
    if by_order and len({len(series) for series in runs.values()}) > 1:
        counts = ", ".join(f"{name} {len(series)}" for name, series in runs.items())
        raise DataError(
            f"configurations differ in their number of runs ({counts}), so runs cannot be paired; "
            "complete the sweep, or give a table with a column iteration"
        )
    return runs


def _matrix(names: Sequence[str], details: pd.DataFrame) -> pd.DataFrame:
    """Matrix of t-test p-values; empty on the diagonal."""
    matrix = pd.DataFrame(np.nan, index=names, columns=names)
    for row in details.itertuples():
        matrix.loc[row.first, row.second] = matrix.loc[row.second, row.first] = row.p_ttest
    return matrix


def text_of(details: pd.DataFrame) -> str:
    """Format the details for the terminal, one line per pair of configurations."""
    if details.empty:
        return "Nothing to compare."
    interval = [
        f"{row.difference:+.3g} [{row.ci95_low:.3g}, {row.ci95_high:.3g}]" for row in details.itertuples()
    ]
    shown = pd.DataFrame(
        {
            "first": details["first"],
            "second": details["second"],
            "runs": details["n"],
            "difference [95 % CI]": interval,
            "d_z": details["effect_size"].map("{:.2f}".format),
            "t-test p": details["p_ttest"].map("{:.3g}".format),
            "Holm": details["p_ttest_holm"].map("{:.3g}".format),
            "Wilcoxon p": details["p_wilcoxon"].map("{:.3g}".format),
            "Holm ": details["p_wilcoxon_holm"].map("{:.3g}".format),
        }
    )
    return shown.to_string(index=False)
