"""Check a data set against a configuration before training: what is used, what is left out and why."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from ivadomed.config import load_config
from ivadomed.data_check import Finding, check_cases
from ivadomed.datasets import cases_of
from ivadomed.device import available_cores
from ivadomed.errors import IvadomedError
from ivadomed.files import atomic_path
from ivadomed.loader.bids_dataframe import BidsDataframe

_EXAMPLE = """\
example:
  ivadomed_check_data -c config.json --path-data DATA --csv files.csv
"""


def get_parser() -> argparse.ArgumentParser:
    """The parser of the command line."""
    parser = argparse.ArgumentParser(
        prog="ivadomed_check_data",
        description=f"{__doc__} Exits with 1 when a training would fail or learn something wrong.",
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("-c", "--config", required=True, help="JSON configuration file")
    parser.add_argument(
        "-pd", "--path-data", nargs="+", help="BIDS folder, or several; wins over the configuration"
    )
    parser.add_argument("--csv", metavar="FILE", help="write the table of all files")
    parser.add_argument("-j", "--jobs", type=int, default=available_cores(), help="files read at a time")
    return parser


def check_data(
    config: str | Path, path_data: Sequence[str] = (), csv: str | None = None, jobs: int = 1
) -> bool:
    """Print what a training would use, leave out and stumble over.

    Args:
        config: JSON configuration file.
        path_data: BIDS folders in place of the configuration's.
        csv: File for the table of all files.
        jobs: Files read at a time.

    Returns:
        Whether the data set can be trained on.

    Raises:
        IvadomedError: The configuration is wrong, or no image is left.
    """
    overrides = {"command": "train"} | ({"loader_parameters.path_data": list(path_data)} if path_data else {})
    run = load_config(Path(config), overrides)
    params = run.loader_parameters.model_dump(mode="json")
    with TemporaryDirectory() as scratch:
        bids_df = BidsDataframe(
            params, scratch, derivatives=True, split_method=run.split_dataset.split_method
        )
    cases = cases_of(run, bids_df, sorted(bids_df.images), "training")
    for dropped in bids_df.dropped:
        print(f"left out  {dropped.file}: {dropped.reason}")
    table, findings = check_cases(cases, run.loader_parameters.soft_gt, jobs)
    if csv:
        with atomic_path(csv) as temporary:
            table.to_csv(temporary, index=False)
    if len(table):
        kinds = table.groupby(["role", "contrast", "shape", "zooms", "orientation"]).size().rename("files")
        print(f"\n{kinds.reset_index().to_string(index=False)}\n")
    for finding in findings:
        print(_line(finding))
    fatal = sum(finding.fatal for finding in findings)
    print(f"{len(cases)} cases kept, {len(bids_df.dropped)} files left out, {fatal} errors, ", end="")
    print(f"{len(findings) - fatal} remarks.")
    return fatal == 0


def _line(finding: Finding) -> str:
    return f"{'ERROR   ' if finding.fatal else 'remark  '}  {finding.file}: {finding.message}"


def main(args: Sequence[str] | None = None) -> int:
    """Console script."""
    options = get_parser().parse_args(args)
    logger = logging.getLogger("ivadomed")
    level = logger.level
    logger.setLevel(logging.ERROR)  # what the index has to say is printed in full
    try:
        return 0 if check_data(options.config, options.path_data or (), options.csv, options.jobs) else 1
    except IvadomedError as error:
        print(f"ivadomed_check_data: {error}", file=sys.stderr)
        return error.exit_code
    finally:
        logger.setLevel(level)


if __name__ == "__main__":
    sys.exit(main())
