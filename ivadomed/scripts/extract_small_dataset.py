"""Copy some subjects of a BIDS data set into a small one, with all or some of their contrasts."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from ivadomed.loader.bids.subset import extract_small_dataset
from ivadomed.runtime.console import ToolParser, console_script
from ivadomed.runtime.moved import moved_names

__getattr__ = moved_names(
    __name__, {}, {"ivadomed.loader.bids.subset": "is_good_contrast remove_some_contrasts"}
)

_EXAMPLE = """\
example:
  ivadomed_extract_small_dataset -i DATA -o SMALL -n 10 -c T1w,T2w -d 0 -s 1234
      ten subjects with their T1w and T2w images, without derivatives

Subjects are drawn at random among those that have one of the contrasts. The same seed draws the same subjects, and
a larger -n those and more. Where there are fewer than -n, all are copied.
"""


def get_parser() -> argparse.ArgumentParser:
    """The parser of the command line."""
    parser = ToolParser("ivadomed_extract_small_dataset", __doc__, _EXAMPLE)
    add = parser.add_argument
    add("-i", "--input", required=True, metavar="DATA", help="BIDS folder; it is not changed")
    add(
        "-o",
        "--output",
        required=True,
        metavar="DIR",
        help="folder of the small data set; must be new or empty",
    )
    add("-n", "--number", type=int, default=10, help="subjects (default: %(default)s)")
    add("-c", "--contrasts", help="contrasts, separated by commas (default: all)")
    add(
        "-d",
        "--derivatives",
        type=int,
        choices=(0, 1),
        default=1,
        help="whether derivatives/labels is copied too (default: %(default)s)",
    )
    add(
        "-s",
        "--seed",
        type=int,
        default=-1,
        help="of the drawing; -1 for other subjects every time (default)",
    )
    return parser


def _run(options: argparse.Namespace) -> None:
    contrasts = [name.strip() for name in options.contrasts.split(",")] if options.contrasts else None
    subjects = extract_small_dataset(
        options.input, options.output, options.number, contrasts, bool(options.derivatives), options.seed
    )
    print(f"{len(subjects)} subjects in {Path(options.output).resolve()}: {', '.join(subjects)}")


main = console_script(get_parser, _run)

if __name__ == "__main__":
    sys.exit(main())
