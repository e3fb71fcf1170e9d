"""Compare the models of a sweep: paired t-test, Wilcoxon signed-rank test and effect size for each two of them."""

from __future__ import annotations

import argparse
import logging
import os
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd

from ivadomed.errors import ConfigError, DataError
from ivadomed.evaluation.paired import compare_paired, holm
from ivadomed.images.files import write_csv
from ivadomed.runtime.console import ToolParser, run_tool

log = logging.getLogger(__name__)

_EXAMPLE = """\
example:
  ivadomed_automate_training --config config.json --config-hyper hyper.json --path-data DATA -n 10 --run-test
  ivadomed_compare_models -df temporary_results.csv -n 10 --run_test -o comparison.csv

Runs of two configurations are paired by the column iteration, by the number in "_n=03" at the end of path_output, or in
their order: the k-th ones have the same split. Written are comparison.csv, the p-values of the paired t-test as a table
of all against all, and comparison_details.csv, a row for each two configurations, with p-values that are corrected for
their number (Holm).
"""

_RUN_NUMBER = re.compile(r"_n=(\d+)$")
_NAME, _RUN = "path_output", "iteration"
_OLD_NAME = "log_directory"  # in tables of early versions of ivadomed 2


def get_parser() -> argparse.ArgumentParser:
    """The parser of the command line."""
    parser = ToolParser(
        prog="ivadomed_compare_models",
        description=__doc__,
        epilog=_EXAMPLE,
    )
    add = parser.add_argument
    add("-df", "--dataframe", required=True, metavar="CSV", help="results of ivadomed_automate_training")
    add("-n", "--n-iterations", required=True, type=int, help="runs of each configuration")
    add(
        "--run-test",
        action="store_true",
        help="compare the Dice scores on the testing set (test_dice), not those on the validation set "
        "(best_validation_dice, a loss: lower is better)",
    )
    add(
        "-o",
        "--output",
        default="comparison_models.csv",
        metavar="CSV",
        help="where to write (default: %(default)s)",
    )
    return parser


def compute_statistics(
    dataframe: pd.DataFrame,
    n_iterations: int,
    run_test: bool = True,
    csv_out: str | os.PathLike[str] = "comparison_models.csv",
) -> pd.DataFrame:
    """Compare each two configurations of a sweep and write the tables.

    Args:
        dataframe: A row per run: ``path_output`` names the configuration, ``iteration`` (or ``_n=03`` at the end of
            the name) the run; ``test_dice`` or ``best_validation_dice`` is compared.
        n_iterations: Runs of each configuration.
        run_test: Compare ``test_dice``, else ``best_validation_dice``.
        csv_out: Where p-values of the paired t-test [configurations, configurations] are written; the returned
            table is written beside it, as ``<csv_out>_details.csv``.

    Returns:
        A row per two configurations: ``first``, ``second``, their means, the fields of ``PairedComparison``, and
        both p-values after the correction of Holm (``p_ttest_holm``, ``p_wilcoxon_holm``).

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
        log.warning("The table has one configuration only: there is nothing to compare.")
    elif all(len(values) < 2 for values in runs.values()):
        log.warning(
            "Each configuration ran once: tests need at least two runs (-n of ivadomed_automate_training)."
        )
    details = _compare_all(runs)
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
            hint = "; test_dice is there after --run-test" if needed == "test_dice" else ""
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
            raise DataError(f"{name}: its run {series.index[series.index.duplicated()][0]} is there twice")
    by_order = bool((order[numbers.isna()] > 0).any())
    if by_order and len({len(series) for series in runs.values()}) > 1:
        counts = ", ".join(f"{name} {len(series)}" for name, series in runs.items())
        raise DataError(
            f"configurations differ in their number of runs ({counts}), so that runs cannot be paired; "
            "complete the sweep, or give a table with a column iteration"
        )
    return runs


def _compare_all(runs: Mapping[str, pd.Series]) -> pd.DataFrame:
    rows = []
    for first, second in combinations(runs, 2):
        a, b = runs[first].align(runs[second], join="inner")
        row = {"first": first, "second": second, "mean_first": a.mean(), "mean_second": b.mean()}
        rows.append(row | asdict(compare_paired(a.to_numpy(), b.to_numpy())))
    fields = ["n", "difference", "ci95_low", "ci95_high", "effect_size", "p_ttest", "p_wilcoxon"]
    details = pd.DataFrame(rows, columns=["first", "second", "mean_first", "mean_second", *fields])
    for test in ("p_ttest", "p_wilcoxon"):
        details[f"{test}_holm"] = holm(details[test].to_numpy(float))
    return details


def _matrix(names: Sequence[str], details: pd.DataFrame) -> pd.DataFrame:
    """P-values of the t-test, all against all; empty on the diagonal."""
    matrix = pd.DataFrame(np.nan, index=names, columns=names)
    for row in details.itertuples():
        matrix.loc[row.first, row.second] = matrix.loc[row.second, row.first] = row.p_ttest
    return matrix


def _text(details: pd.DataFrame) -> str:
    """The details for the terminal, a line for each two configurations."""
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


def _read(path: str) -> pd.DataFrame:
    try:
        return pd.read_csv(path)
    except (OSError, ValueError) as error:
        raise DataError(
            f"{path}: not a readable table ({error}); give a CSV of ivadomed_automate_training"
        ) from error


def main(args: Sequence[str] | None = None) -> int:
    """Console script: 0, or a message on standard error and the exit code of the error."""
    options = get_parser().parse_args(args)
    return run_tool("ivadomed_compare_models", lambda: _run(options))


def _run(options: argparse.Namespace) -> None:
    if options.n_iterations < 1:
        raise ConfigError(f"--n-iterations: {options.n_iterations}; expected at least 1")
    details = compute_statistics(
        _read(options.dataframe), options.n_iterations, options.run_test, options.output
    )
    print(_text(details))


if __name__ == "__main__":
    sys.exit(main())
