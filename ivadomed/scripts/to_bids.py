"""Convert a data set of nnU-Net or the Medical Segmentation Decathlon, or a table of files, to BIDS."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from ivadomed.errors import ConfigError
from ivadomed.loader.layouts.to_bids import to_bids
from ivadomed.runtime.console import ToolParser, console_script

_EXAMPLE = """\
examples:
  ivadomed_to_bids Task04_Hippocampus -o hippocampus --rename MRI=T1w
  ivadomed_to_bids Dataset001_Cord -o cord --links hard
      without copying: both data sets share the same files
  ivadomed_to_bids study.csv -o study --contrasts T1w,T2w --target-suffix _seg,_lesion

A 4D image is split into one file per channel; a label map becomes derivatives/labels/.../*_dseg.nii.gz with its class
names in *_dseg.tsv next to it. ivadomed also reads all these data sets directly with --path-data.
"""


def get_parser() -> argparse.ArgumentParser:
    """Parser of the command line."""
    parser = ToolParser("ivadomed_to_bids", __doc__, _EXAMPLE)
    add = parser.add_argument
    add(
        "source",
        metavar="SRC",
        help="folder of nnU-Net or the Decathlon, or a .tsv or .csv table; not changed",
    )
    add("-o", "--output", required=True, metavar="DST", help="BIDS folder to create; must be new or empty")
    add(
        "-l",
        "--links",
        choices=("copy", "hard", "symbolic"),
        default="copy",
        help="copy files, or link to them: a hard link is the same file, so changes apply to both; "
        "a symbolic link breaks if SRC is moved (default: %(default)s)",
    )
    add("-r", "--rename", metavar="OLD=NEW,...", help="new names of contrasts, such as MRI=T1w")
    add("-c", "--contrasts", metavar="NAME,...", help="contrasts to write (default: all)")
    add(
        "-t",
        "--target-suffix",
        metavar="NAME,...",
        help="columns of a table that are labels (default: detected by name and content)",
    )
    return parser


def _run(options: argparse.Namespace) -> None:
    written = to_bids(
        options.source,
        options.output,
        options.links,
        _pairs(options.rename),
        _names(options.contrasts),
        _names(options.target_suffix),
    )
    for line in written.left_out:
        print(f"left out  {line}")
    for line in written.remarks:
        print(f"remark    {line}")
    print(
        f"{written.subjects} subjects, {written.images} images, {written.labels} labels in "
        f"{Path(options.output).resolve()}"
    )


def _names(text: str | None) -> list[str]:
    return [name.strip() for name in (text or "").split(",") if name.strip()]


def _pairs(text: str | None) -> dict[str, str]:
    """New name of each contrast from "MRI=T1w,ADC=ADCmap"."""
    pairs = [name.partition("=") for name in _names(text)]
    if wrong := [old for old, sign, new in pairs if not (old and sign and new)]:
        raise ConfigError(f"--rename {wrong[0]}: expected OLD=NEW, such as MRI=T1w")
    return {old: new for old, _, new in pairs}


main = console_script(get_parser, _run)

if __name__ == "__main__":
    sys.exit(main())
