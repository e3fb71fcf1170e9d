"""Convert a model file of ivadomed 2.9.10 or older to a packaged model.

Such a file is a pickle, which may run arbitrary code when opened. This tool reads it through a fixed table of
names and runs no code; anything but a network of ivadomed is refused.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from ivadomed.runtime.console import ToolParser, console_script
from ivadomed.runtime.moved import moved_names

__getattr__ = moved_names(__name__, {}, {"ivadomed.commands.convert": "convert_model"})

_EXAMPLE = """\
examples:
  ivadomed_convert_model model_unet_test.pt seg_sc -c config.json
      seg_sc/seg_sc.pt, seg_sc/seg_sc.onnx and seg_sc/seg_sc.json
  ivadomed_convert_model t2star_sc/t2star_sc.pt converted/t2star_sc
      uses t2star_sc/t2star_sc.json, the configuration next to the model
"""


def get_parser() -> argparse.ArgumentParser:
    """Parser of the command line."""
    parser = ToolParser("ivadomed_convert_model", __doc__, _EXAMPLE)
    add = parser.add_argument
    add("model", type=Path, metavar="OLD.pt", help="model file")
    add("folder", type=Path, metavar="NEW", help="folder of the packaged model, and its name")
    add(
        "-c",
        "--config",
        type=Path,
        help="its JSON configuration, of any version (default: OLD.json, if there is one)",
    )
    return parser


def _run(options: argparse.Namespace) -> None:
    from ivadomed.commands.convert import convert_model  # loads torch
    from ivadomed.models.onnx import TOLERANCE

    written = convert_model(options.model, options.folder, options.config)
    for path in written:
        print(path)
    print(f"On random images, {written[0].name} gives the same output as {options.model}.")
    suffixes = {path.suffix for path in written}
    if ".onnx" in suffixes:
        print(f"The ONNX model agrees with it to {TOLERANCE}.")
    if ".json" not in suffixes:
        print("No configuration was given: segment_volume needs one next to the model; pass it with -c.")


main = console_script(get_parser, _run)

if __name__ == "__main__":
    sys.exit(main())
