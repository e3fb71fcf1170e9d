"""Compare runs on one page: paired differences per subject, tests, training curves, settings that differ."""

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
      candidates of --auto, on the subjects that their fold 0 held out

Only images and classes that all runs have are compared; the page says what is left out. Runs of all folds are compared
by cross-validation where every run has one. compare.csv, next to the page, has all tests. The report of a single run is
results_eval/report.html, which --test and --eval write.
"""


def get_parser() -> argparse.ArgumentParser:
    """The parser of the command line."""
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
        help="compare runs of all folds by the subjects that each fold did not see",
    )
    return parser


def _run(options: argparse.Namespace) -> None:
    if len(options.runs) < 2:
        raise ConfigError(
            f"{options.runs[0]}: is one run only; give two or more. Its own report is results_eval/report.html in its "
            "folder, which ivadomed --eval writes"
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
