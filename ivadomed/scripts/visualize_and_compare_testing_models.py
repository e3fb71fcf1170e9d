"""Violin plots of a metric on the testing set, of one model or of several next to each other."""

from __future__ import annotations

import argparse
import sys

from ivadomed.runtime.console import ToolParser, console_script
from ivadomed.runtime.moved import moved_names

_EXAMPLE = """\
examples:
  ivadomed_visualize_and_compare_testing_models --ofolders OUT1 OUT2 --metric dice_class0 -o comparison.png
      two models, as a picture
  ivadomed_visualize_and_compare_testing_models --ofolders OUT1 OUT2
      the same in a window: a click on a point shows whose image it is
  ivadomed_visualize_and_compare_testing_models --ofolders OUT1 --metadata pathology -o by_pathology.png
      a violin for each value of a column of OUT1/bids_dataframe.csv
  ivadomed_visualize_and_compare_testing_models --ofolders OUT1 OUT2 --metadata pathology MS -o ms.png
      images with that value only

Models are compared, two by two, on the images that both were tested on: Wilcoxon signed-rank test, corrected for the
number of comparisons (Holm).
"""

__getattr__ = moved_names(
    __name__, {}, {"ivadomed.visualize.violins": "onclick visualize_and_compare_models"}
)


def get_parser() -> argparse.ArgumentParser:
    """The parser of the command line."""
    parser = ToolParser("ivadomed_visualize_and_compare_testing_models", __doc__, _EXAMPLE)
    add = parser.add_argument
    add("--ofolders", required=True, nargs="+", metavar="OUT", help="output folders of runs that were tested")
    add("--metric", default="dice_class0", help="column of evaluation_3Dmetrics.csv (default: %(default)s)")
    add(
        "--metadata",
        nargs="+",
        metavar=("COLUMN", "VALUE"),
        help="draw a violin for each value of this column of bids_dataframe.csv; with a value, only its images",
    )
    add(
        "-o",
        "--output",
        metavar="FILE",
        help="write a picture (.png, .svg, .pdf); without it a window is opened, or where there is no display "
        "comparison_METRIC.png is written",
    )
    return parser


def _run(options: argparse.Namespace) -> None:
    # Torch is loaded only now: --help and a mistyped option answer at once.
    from ivadomed.visualize.violins import lines_of, output_of, visualize_and_compare_models

    comparisons = visualize_and_compare_models(
        options.ofolders, options.metric, options.metadata, options.output
    )
    if len(comparisons):
        models = {name: name for column in ("first", "second") for name in comparisons[column]}
        print("Difference [95 % confidence interval], p-values corrected for their number (Holm):")
        print("\n".join(lines_of(comparisons, models)))
    if picture := output_of(options.metric, options.output):
        print(picture)


main = console_script(get_parser, _run)

if __name__ == "__main__":
    sys.exit(main())
