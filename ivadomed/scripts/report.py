"""Compare runs on one page: paired differences per subject, tests, training curves, differing settings."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from ivadomed.errors import ConfigError
from ivadomed.report.comparison import compare, verdict_text, write_comparison
from ivadomed.report.runs import open_runs
from ivadomed.runtime.console import ToolParser, console_script

_EXAMPLE = """\
examples:
  ivadomed_report runs/unet runs/attention -o compare.html
      two runs; differences are attention minus unet
  ivadomed_report cord_auto/2d cord_auto/3d cord_auto/3d_lowres
      candidates of --auto, on the held-out subjects of fold 0

Only images and classes common to all runs are compared; the page lists what is left out. Runs of all folds are
compared by cross-validation if every run has one. compare.csv, next to the page, has all tests. For a single run, see
results_eval/report.html, written by --test and --eval.
"""


def get_parser() -> argparse.ArgumentParser:
    """Parser of the command line."""
    parser = ToolParser("ivadomed_report", __doc__, _EXAMPLE)
    add = parser.add_argument
    add("runs", nargs="+", type=Path, metavar="RUN", help="folders of tested runs, the reference first")
    add(
        "-o",
        "--output",
        type=Path,
        default=Path("compare.html"),
        metavar="HTML",
        help="page to write (default: %(default)s)",
    )
    which = parser.add_mutually_exclusive_group()
    which.add_argument(
        "--test-set",
        dest="cross_validation",
        action="store_const",
        const=False,
        help="compare runs of all folds by their ensembles on the test set",
    )
    which.add_argument(
        "--cross-validation",
        action="store_const",
        const=True,
        help="compare runs of all folds by the held-out subjects of each fold",
    )
    return parser


def _run(options: argparse.Namespace) -> None:
    if len(options.runs) < 2:
        raise ConfigError(
            f"{options.runs[0]}: is a single run; give two or more. Its own report is results_eval/report.html in its "
            "folder, written by ivadomed --eval"
        )
    if options.output.suffix.lower() not in (".html", ".htm"):
        raise ConfigError(f"--output: {options.output}; expected the name of a page, such as compare.html")
    comparison = compare(open_runs(options.runs, options.cross_validation))
    page = write_comparison(comparison, options.output)
    print(
        verdict_text(comparison),
        *comparison.notes,
        f"Page: {page}",
        f"Table: {page.with_suffix('.csv')}",
        sep="\n",
    )


main = console_script(get_parser, _run)

if __name__ == "__main__":
    sys.exit(main())
