"""Compare the models of a sweep: paired t-test, Wilcoxon signed-rank test and effect size for each pair."""

from __future__ import annotations

import argparse
import sys

import pandas as pd

from ivadomed.errors import ConfigError, DataError
from ivadomed.evaluation.paired import compute_statistics, text_of
from ivadomed.runtime.console import ToolParser, console_script

__all__ = ["compute_statistics", "get_parser", "main"]

_EXAMPLE = """\
example:
  ivadomed_automate_training --config config.json --config-hyper hyper.json --path-data DATA -n 10 --run-test
  ivadomed_compare_models -df temporary_results.csv -n 10 --run_test -o comparison.csv

Runs of two configurations are paired by the column iteration, by the number in "_n=03" at the end of path_output, or
by order: the k-th runs have the same split. Output files: comparison.csv, a matrix of the p-values of the paired
t-test, and comparison_details.csv, a row for each pair of configurations with p-values corrected for multiple
comparisons (Holm).
"""


def get_parser() -> argparse.ArgumentParser:
    """Parser of the command line."""
    parser = ToolParser("ivadomed_compare_models", __doc__, _EXAMPLE)
    add = parser.add_argument
    add("-df", "--dataframe", required=True, metavar="CSV", help="results of ivadomed_automate_training")
    add("-n", "--n-iterations", required=True, type=int, help="runs of each configuration")
    add(
        "--run-test",
        action="store_true",
        help="compare the Dice scores on the test set (test_dice), not those on the validation set "
        "(best_validation_dice)",
    )
    add(
        "-o",
        "--output",
        default="comparison_models.csv",
        metavar="CSV",
        help="file to write (default: %(default)s)",
    )
    return parser


def _run(options: argparse.Namespace) -> None:
    if options.n_iterations < 1:
        raise ConfigError(f"--n-iterations: {options.n_iterations}; expected at least 1")
    try:
        table = pd.read_csv(options.dataframe)
    except (OSError, ValueError) as error:
        raise DataError(
            f"{options.dataframe}: not a readable table ({error}); give a CSV of ivadomed_automate_training"
        ) from error
    print(text_of(compute_statistics(table, options.n_iterations, options.run_test, options.output)))


main = console_script(get_parser, _run)

if __name__ == "__main__":
    sys.exit(main())
