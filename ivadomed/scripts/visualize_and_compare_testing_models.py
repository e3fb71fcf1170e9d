"""Draw violin plots of a metric on the test set, for one model or several models side by side."""

from __future__ import annotations

import argparse
import sys

from ivadomed.runtime.console import ToolParser, console_script
from ivadomed.runtime.moved import moved_names

_EXAMPLE = """\
examples:
  ivadomed_visualize_and_compare_testing_models --ofolders OUT1 OUT2 --metric dice_class0 -o comparison.png
      two models, as an image file
  ivadomed_visualize_and_compare_testing_models --ofolders OUT1 OUT2
      the same in a window: click a point to show its image and subject
  ivadomed_visualize_and_compare_testing_models --ofolders OUT1 --metadata pathology -o by_pathology.png
      one violin per value of a column of OUT1/bids_dataframe.csv
  ivadomed_visualize_and_compare_testing_models --ofolders OUT1 OUT2 --metadata pathology MS -o ms.png
      only images with that value

Each pair of models is compared on the images that both were tested on: Wilcoxon signed-rank test, corrected for
multiple comparisons (Holm).
"""

__getattr__ = moved_names(
    __name__, {}, {"ivadomed.visualize.violins": "onclick visualize_and_compare_models"}
)


def get_parser() -> argparse.ArgumentParser:
    """Parser of the command line."""
    parser = ToolParser("ivadomed_visualize_and_compare_testing_models", __doc__, _EXAMPLE)
    add = parser.add_argument
    add("--ofolders", required=True, nargs="+", metavar="OUT", help="output folders of tested runs")
    add("--metric", default="dice_class0", help="column of evaluation_3Dmetrics.csv (default: %(default)s)")
    add(
        "--metadata",
        nargs="+",
        metavar=("COLUMN", "VALUE"),
        help="draw one violin per value of this column of bids_dataframe.csv; with a value, only its images",
    )
    add(
        "-o",
        "--output",
        metavar="FILE",
        help="image file to write (.png, .svg, .pdf); by default, a window is opened or, without a display, "
        "comparison_METRIC.png is written",
    )
    return parser


def _run(options: argparse.Namespace) -> None:
    # Torch is loaded only now: --help and errors in options are reported at once.
    from ivadomed.visualize.violins import lines_of, output_of, visualize_and_compare_models

    comparisons = visualize_and_compare_models(
        options.ofolders, options.metric, options.metadata, options.output
    )
    if len(comparisons):
        models = {name: name for column in ("first", "second") for name in comparisons[column]}
        print("Difference [95 % confidence interval], p-values corrected for multiple comparisons (Holm):")
        print("\n".join(lines_of(comparisons, models)))
    if picture := output_of(options.metric, options.output):
        print(picture)


main = console_script(get_parser, _run)

if __name__ == "__main__":
    sys.exit(main())
