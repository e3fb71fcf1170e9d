"""Choose the postprocessing of a trained model by its scores on images that it was not trained on."""

from __future__ import annotations

import argparse
import json
import sys

from ivadomed.runtime.console import ToolParser, console_script

_EXAMPLE = """\
examples:
  ivadomed_choose_postprocessing -c OUT/config_file.json
      print the effect of thresholds, keep_largest, remove_small and fill_holes, and write a table
  ivadomed_choose_postprocessing -c OUT/config_file.json --write
      also write the better steps to the packaged model and, for --test, to OUT/config_file.json

A run with split_dataset.fold "all" is evaluated on all of its subjects, each predicted by the model not trained on it
(--train already does so); any other run on its validation set. Steps are kept only if they raise the Dice (or the F1
score of lesions) of subjects that were not used to choose them by more than the standard error.
"""


def get_parser() -> argparse.ArgumentParser:
    """Parser of the command line."""
    parser = ToolParser("ivadomed_choose_postprocessing", __doc__, _EXAMPLE)
    add = parser.add_argument
    add("-c", "--config", required=True, help="configuration of the run, such as OUT/config_file.json")
    add("-pd", "--path-data", nargs="+", metavar="DIR", help="data set, if it was moved")
    add("--write", action="store_true", help="write the chosen steps to the packaged model")
    add(
        "-j",
        "--jobs",
        type=int,
        metavar="N",
        help="processes that predict one fold each (-1: one per core)",
    )
    add("--debug", action="store_true", help="show the traceback of an error")
    return parser


def _run(options: argparse.Namespace) -> None:
    # Torch and other libraries are loaded only now: --help and errors in options are reported at once.
    from ivadomed.commands.postprocessing import postprocessing_command
    from ivadomed.config import load_config
    from ivadomed.runtime.terminal import logging_to_terminal

    changes = {"command": "test"}
    if options.path_data:
        changes["loader_parameters.path_data"] = options.path_data
    with logging_to_terminal():
        chosen = postprocessing_command(
            load_config(options.config, changes), options.write, options.jobs, options.debug
        )
    if table := chosen.choice.best_of_each():
        print(table)
    print(f'"postprocessing": {json.dumps(chosen.choice.steps)}')
    if not options.write and not chosen.choice.note:
        print("--write writes this to the packaged model.")


main = console_script(get_parser, _run, "interrupted")

if __name__ == "__main__":
    sys.exit(main())
