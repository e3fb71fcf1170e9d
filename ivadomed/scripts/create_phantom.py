"""Write a synthetic BIDS data set: spinal cord MRI, or micrographs of nerve fibers, with labels."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from ivadomed.phantom.micrographs import Micrographs, write_micrographs
from ivadomed.phantom.study import CONTRASTS, SIZES, Study, write_study
from ivadomed.runtime.console import ToolParser, console_script
from ivadomed.runtime.memory import job_count

_EXAMPLE = """\
examples:
  ivadomed_create_phantom -o data_phantom -n 12 --seed 0
      12 subjects with T1w, T2w and T2star images, half of them with lesions
  ivadomed_create_phantom -o data_multichannel -n 12 --contrasts T1w T2w --coregistered
      both contrasts of a subject on one grid
  ivadomed_create_phantom -o data_sem --microscopy 6
      6 micrographs with axon and myelin labels

The same options and seed give the same voxels; a larger data set starts with the subjects of a smaller one.
"""


def get_parser() -> argparse.ArgumentParser:
    """Parser of `ivadomed_create_phantom`."""
    parser = ToolParser("ivadomed_create_phantom", __doc__, _EXAMPLE)
    add = parser.add_argument
    add(
        "-o",
        "--output",
        required=True,
        type=Path,
        metavar="DIR",
        help="folder of the data set; must be new or empty",
    )
    add("-n", "--subjects", type=int, metavar="N", help="number of subjects (default: 12)")
    add("--seed", type=int, default=0, help="seed of all random draws (default: %(default)s)")
    add("--size", choices=SIZES, default="small", help="field of view and voxel sizes (default: %(default)s)")
    add(
        "--shape",
        type=int,
        nargs=3,
        metavar=("X", "Y", "Z"),
        help="size of all images in voxels right-left, anterior-posterior, inferior-superior; same field of view",
    )
    add(
        "--contrasts",
        nargs="+",
        choices=CONTRASTS,
        default=CONTRASTS,
        help="contrasts to write (default: all)",
    )
    add(
        "--sessions",
        type=int,
        choices=(1, 2),
        default=1,
        help="sessions per subject; 1 writes no session folders",
    )
    add(
        "--lesions",
        type=float,
        default=0.5,
        metavar="SHARE",
        help="fraction of subjects with lesions (default: 0.5)",
    )
    add("--coregistered", action="store_true", help="put all contrasts of a session on one grid")
    add(
        "--microscopy",
        type=int,
        metavar="N",
        help="write N micrographs as a separate data set: in DIR, or in DIR-microscopy if -n is also given",
    )
    add(
        "--microscopy-size",
        type=int,
        nargs=2,
        default=(512, 512),
        metavar=("WIDTH", "HEIGHT"),
        help="size of a micrograph in pixels (default: 512 512)",
    )
    add(
        "-j",
        "--jobs",
        type=int,
        default=1,
        metavar="N",
        help="processes; -1: one per core (default: %(default)s)",
    )
    add("--overwrite", action="store_true", help="replace an earlier phantom in DIR; never anything else")
    return parser


def create_phantom(
    output: str | Path, n: int = 12, *, jobs: int = 1, overwrite: bool = False, **options: Any
) -> Path:
    """Write a study of `n` subjects to `output` and return the folder.

    See `ivadomed.phantom.study.Study` for the options (`seed`, `size`, ...) and `write_study` for errors.
    """
    return write_study(Path(output), n, Study(**options), jobs, overwrite)


def create_microscopy(
    output: str | Path,
    n: int = 6,
    *,
    seed: int = 0,
    size: tuple[int, int] = (512, 512),
    jobs: int = 1,
    overwrite: bool = False,
) -> Path:
    """Write `n` micrographs of `size` (width, height in pixels) to `output` and return the folder."""
    return write_micrographs(Path(output), n, Micrographs(seed, size), jobs, overwrite)


def _run(options: argparse.Namespace) -> None:
    common = {"seed": options.seed, "jobs": job_count(options.jobs), "overwrite": options.overwrite}
    if options.subjects is not None or options.microscopy is None:
        names = ("size", "shape", "contrasts", "sessions", "lesions", "coregistered")
        chosen = {name: getattr(options, name) for name in names}
        n = 12 if options.subjects is None else options.subjects
        print(f"Spinal cord phantom: {create_phantom(options.output, n, **chosen, **common)}")
    if options.microscopy is not None:
        both = options.subjects is not None
        folder = options.output.with_name(f"{options.output.name}-microscopy") if both else options.output
        size = tuple(options.microscopy_size)
        print(f"Microscopy phantom: {create_microscopy(folder, options.microscopy, size=size, **common)}")


main = console_script(get_parser, _run)

if __name__ == "__main__":
    sys.exit(main())
