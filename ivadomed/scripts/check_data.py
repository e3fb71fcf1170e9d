"""Check a data set against a configuration before training: which files are used or left out, and why."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from ivadomed.commands.first_look import refuse_absent_data
from ivadomed.config import load_config
from ivadomed.images.files import write_csv
from ivadomed.runtime.console import ToolParser, console_script
from ivadomed.runtime.memory import job_count

_EXAMPLE = """\
example:
  ivadomed_check_data -c config.json --path-data DATA --csv files.csv
"""


def get_parser() -> argparse.ArgumentParser:
    """Parser of the command line."""
    parser = ToolParser(
        prog="ivadomed_check_data",
        description=f"{__doc__} Exits with 1 if a training would fail or learn from wrong data.",
        epilog=_EXAMPLE,
    )
    add = parser.add_argument
    add("-c", "--config", required=True, help="JSON configuration file")
    add("-pd", "--path-data", nargs="+", help="one or more data sets, instead of those of the configuration")
    add("--csv", metavar="FILE", help="write a table of all files: kept or left out, and findings")
    add(
        "-j",
        "--jobs",
        type=int,
        default=-1,
        metavar="N",
        help="number of files to read in parallel; -1, the default: one per core",
    )
    return parser


def check_data(
    config: str | Path, path_data: Sequence[str] = (), csv: str | None = None, jobs: int = 1
) -> bool:
    """Print the files that a training would use or leave out, and all problems.

    Args:
        config: JSON configuration file.
        path_data: Data sets in place of the configuration's.
        csv: File for the table of all files.
        jobs: Number of files to read in parallel, see ``job_count``.

    Returns:
        True if the data set can be trained on.

    Raises:
        IvadomedError: The configuration is wrong, or no image remains.
    """
    overrides = {"command": "train"} | ({"loader_parameters.path_data": list(path_data)} if path_data else {})
    count = job_count(jobs)
    checked = load_config(Path(config), overrides, first_look=refuse_absent_data)
    # Pandas and other libraries are loaded only now: errors in options, paths or keys are reported at once.
    from ivadomed.data_check.report import report_data
    from ivadomed.data_check.text import text_of

    report = report_data(checked, count)
    if csv:
        write_csv(csv, report.table(), index=False)
    print("\n".join(text_of(report)))
    return report.usable


def _run(options: argparse.Namespace) -> int:
    logger = logging.getLogger("ivadomed")
    level = logger.level
    logger.setLevel(logging.ERROR)  # messages of the index are printed in full
    try:
        return int(not check_data(options.config, options.path_data or (), options.csv, options.jobs))
    finally:
        logger.setLevel(level)


main = console_script(get_parser, _run)

if __name__ == "__main__":
    sys.exit(main())
