"""Copy some subjects of a BIDS data set to a smaller one, with all or some of their contrasts."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from ivadomed.loader.bids.subset import (
    extract_small_dataset,  # noqa: F401  documented at this place
    extract_subset,
)
from ivadomed.runtime.console import ToolParser, console_script
from ivadomed.runtime.moved import moved_names

__getattr__ = moved_names(
    __name__, {}, {"ivadomed.loader.bids.subset": "is_good_contrast remove_some_contrasts"}
)

_EXAMPLE = """\
example:
  ivadomed_extract_small_dataset -i DATA -o SMALL -n 10 -c T1w,T2w -d 0 -s 1234
      ten subjects with T1w and T2w images, without labels

Subjects are drawn at random from those with at least one of the contrasts. The same seed draws the same subjects; a
larger -n adds more. If there are fewer than -n, all are copied.
"""


def get_parser() -> argparse.ArgumentParser:
    """Parser of the command line."""
    parser = ToolParser("ivadomed_extract_small_dataset", __doc__, _EXAMPLE)
    add = parser.add_argument
    add("-i", "--input", required=True, metavar="DATA", help="BIDS folder; not changed")
    add(
        "-o",
        "--output",
        required=True,
        metavar="DIR",
        help="folder of the small data set; must be new or empty",
    )
    add("-n", "--number", type=int, default=10, help="number of subjects (default: %(default)s)")
    add("-c", "--contrasts", help="contrasts, separated by commas (default: all)")
    add(
        "-d",
        "--derivatives",
        type=int,
        choices=(0, 1),
        default=1,
        help="1: with the labels of the images, from all folders below derivatives; 0: without (default: %(default)s)",
    )
    add(
        "-s",
        "--seed",
        type=int,
        default=-1,
        help="seed of the draw; -1, the default: different subjects each time",
    )
    return parser


def _run(options: argparse.Namespace) -> None:
    contrasts = [name.strip() for name in options.contrasts.split(",")] if options.contrasts else None
    copied = extract_subset(
        options.input, options.output, options.number, contrasts, bool(options.derivatives), options.seed
    )
    place, names = Path(options.output).resolve(), ", ".join(copied.subjects)
    print(f"{len(copied.subjects)} subjects in {place}: {names}")
    print(f"{_count(copied.images, 'image')} and {_count(copied.labels, 'label')} copied")
    if options.derivatives and not copied.labels:
        print(f"No file below {Path(options.input, 'derivatives')} has the name of a label of these images.")


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


main = console_script(get_parser, _run)

if __name__ == "__main__":
    sys.exit(main())
