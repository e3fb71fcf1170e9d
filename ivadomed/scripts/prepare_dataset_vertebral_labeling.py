"""Prepare a BIDS data set for the labeling of intervertebral discs: mid-sagittal images and heatmaps of the discs."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from ivadomed.runtime.console import ToolParser, console_script
from ivadomed.runtime.moved import moved_names

__getattr__ = moved_names(
    __name__,
    {},
    {"ivadomed.loader.discs": "extract_mid_slice_and_convert_coordinates_to_heatmaps mask2label"},
)

_EXAMPLE = """\
example:
  ivadomed_prepare_dataset_vertebral_labeling -p DATA -s _T2w -a 0

Reads sub-01/anat/sub-01_T2w.nii.gz and derivatives/labels/sub-01/anat/sub-01_T2w_labels-disc-manual.nii.gz (one voxel
per disc, whose value is the number of the disc) of every subject. Writes to the same folders sub-01_T2w_mid.nii.gz,
the mean of the 7 slices around the discs, and sub-01_T2w_mid_heatmap0.nii.gz. The configuration
config_vertebral_labeling.json trains on them.
"""


def get_parser() -> argparse.ArgumentParser:
    """Parser of the command line."""
    parser = ToolParser("ivadomed_prepare_dataset_vertebral_labeling", __doc__, _EXAMPLE)
    add = parser.add_argument
    add("-p", "--path", required=True, metavar="DATA", help="BIDS folder; images are written to it")
    add("-s", "--suffix", required=True, help="suffix of the images, such as _T2w")
    add("-a", "--aim", type=int, default=-1, help="number of a single disc to show (default: all)")
    return parser


def _run(options: argparse.Namespace) -> None:
    # SciPy's statistics are loaded only now: --help and errors in options are reported at once.
    from ivadomed.loader.discs import extract_mid_slice_and_convert_coordinates_to_heatmaps

    written = extract_mid_slice_and_convert_coordinates_to_heatmaps(options.path, options.suffix, options.aim)
    print(f"{len(written)} files in {Path(options.path).resolve()}")


main = console_script(get_parser, _run)

if __name__ == "__main__":
    sys.exit(main())
