"""Plot losses and validation metrics over epochs, for one or several trainings, or as mean and spread of many."""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Sequence

from ivadomed.errors import ConfigError
from ivadomed.runtime.console import ToolParser, console_script
from ivadomed.runtime.moved import moved_names
from ivadomed.visualize.curves import run_plot_training_curves

__getattr__ = moved_names(
    __name__, {}, {"ivadomed.visualize.curves": "get_events_path_list plot_curve tensorboard_retrieve_event"}
)

_EXAMPLE = """\
examples:
  ivadomed_training_curve -i OUT -o curves
      the curves of a training
  ivadomed_training_curve -i OUT1,OUT2 -o curves
      two trainings side by side, on the same axes
  ivadomed_training_curve -i sweep/out-depth=2,sweep/out-depth=3 --multiple -o curves
      mean and standard deviation of all trainings sweep/out-depth=2*, next to those of sweep/out-depth=3*

Output files: losses.png, METRIC.png for each validation metric (dice_score.png, ...), learning_rate.png with --lr, and
<training>_training_values.csv.
"""


def get_parser() -> argparse.ArgumentParser:
    """Parser of the command line."""
    parser = ToolParser("ivadomed_training_curve", __doc__, _EXAMPLE)
    add = parser.add_argument
    add(
        "-i",
        "--input",
        required=True,
        help="folder of a training; several, separated by commas, are plotted side by side. With --multiple: prefix "
        "of the training folders",
    )
    add("-o", "--output", required=True, metavar="DIR", help="folder of the plots and tables")
    add(
        "--multiple",
        action="store_true",
        help="plot mean and standard deviation of all trainings that start with INPUT",
    )
    add("-lr", "--lr", "--learning-rate", action="store_true", help="also plot the learning rate")
    add(
        "-y",
        "--ylim-loss",
        "--y-lim-loss",
        nargs="+",
        metavar=("LOW,HIGH", "HIGH"),
        help="limits of the loss axis, such as -1,0",
    )
    return parser


def _limits(words: Sequence[str]) -> tuple[float, float]:
    """Limits of an axis, given as one word ("-1,0") or two."""
    try:
        low, high = map(float, ",".join(words).split(","))
    except ValueError:
        low = high = math.nan
    if not low < high or math.isinf(high - low):
        raise ConfigError(
            f"--ylim-loss {' '.join(words)}: expected the lower and the upper limit, such as -1,0"
        )
    return low, high


def _run(options: argparse.Namespace) -> None:
    limits = None if options.ylim_loss is None else _limits(options.ylim_loss)
    plots = run_plot_training_curves(options.input, options.output, options.multiple, options.lr, limits)
    print(*plots, sep="\n")


main = console_script(get_parser, _run)

if __name__ == "__main__":
    sys.exit(main())
