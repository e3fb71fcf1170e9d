"""Show the effect of a configuration's transforms on slices of an image: one figure per transform and slice."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from ivadomed.runtime.console import ToolParser, console_script
from ivadomed.runtime.moved import moved_names

__getattr__ = moved_names(
    __name__, {}, {"ivadomed.visualize.transform_preview": "get_data run_visualization stem_of_chain"}
)

_EXAMPLE = """\
examples:
  ivadomed_visualize_transforms -i sub-01_T2w.nii.gz -l sub-01_T2w_seg-manual.nii.gz -c config.json -n 3 -o pictures
      three slices with the outline of the label
  ivadomed_visualize_transforms -i t2s.nii.gz -r t2s_seg.nii.gz -c config.json -o pictures
      a configuration with ROICrop, around the region of interest t2s_seg.nii.gz

The transforms are those of a training, in the same order, with resampling and crops first. Random transforms are
always applied here. Slices and random parameters depend on training_parameters.seed.
"""


def get_parser() -> argparse.ArgumentParser:
    """Parser of the command line."""
    parser = ToolParser("ivadomed_visualize_transforms", __doc__, _EXAMPLE)
    add = parser.add_argument
    add("-i", "--input", required=True, help="image, or a binary label to see the effect on labels")
    add("-c", "--config", required=True, help="JSON configuration file")
    add("-n", "--number", type=int, default=1, help="number of random slices (default: %(default)s)")
    add("-o", "--output", default=".", metavar="DIR", help="folder of the figures (default: this one)")
    add("-r", "--roi", help="region of interest for ROICrop")
    add("-l", "--label", nargs="+", default=(), help="labels of the image to outline, one per class")
    return parser


def _run(options: argparse.Namespace) -> None:
    from ivadomed.visualize.transform_preview import run_visualization  # loads torch

    written = run_visualization(
        options.input, options.config, options.number, options.output, options.roi, options.label
    )
    print(f"{len(written)} figures in {Path(options.output).resolve()}")


main = console_script(get_parser, _run)

if __name__ == "__main__":
    sys.exit(main())
