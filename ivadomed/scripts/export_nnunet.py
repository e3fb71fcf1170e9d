"""Export the data of a configuration as a raw nnU-Net data set with the same split."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from ivadomed.commands.first_look import refuse_absent_data
from ivadomed.config import load_config
from ivadomed.runtime.console import ToolParser, console_script

_EXAMPLE = """\
examples:
  ivadomed_export_nnunet -c config.json -o "$nnUNet_raw"
  ivadomed_export_nnunet -c OUT/config_file.json -o "$nnUNet_raw" --number 4 --name Hippocampus
      with the split of the training in OUT, or all folds of a cross-validation

nnU-Net expects the split next to its preprocessed images: after nnUNetv2_plan_and_preprocess, copy splits_final.json
from the data set to $nnUNet_preprocessed/DatasetXXX_NAME.
"""


def get_parser() -> argparse.ArgumentParser:
    """Parser of the command line."""
    parser = ToolParser("ivadomed_export_nnunet", __doc__, _EXAMPLE)
    add = parser.add_argument
    add("-c", "--config", type=Path, required=True, help="configuration of the run")
    add(
        "-o",
        "--output",
        type=Path,
        required=True,
        metavar="DIR",
        help="folder in which DatasetXXX_NAME is created",
    )
    add(
        "-n",
        "--number",
        type=int,
        default=1,
        metavar="XXX",
        help="number of the data set, 1 to 999 (default: 1)",
    )
    add("--name", help="name of the data set, letters and digits (default: from the folder of the data)")
    add(
        "-pd",
        "--path-data",
        action="append",
        metavar="FOLDER",
        help="data set, instead of the configuration's",
    )
    add("-po", "--path-output", metavar="FOLDER", help="folder of the run, instead of the configuration's")
    return parser


def _run(options: argparse.Namespace) -> None:
    changes = {"loader_parameters.path_data": options.path_data, "path_output": options.path_output}
    given = {key: value for key, value in changes.items() if value}
    config = load_config(options.config, given, first_look=refuse_absent_data)
    from ivadomed.commands.export import export_nnunet  # loads torch

    written = export_nnunet(config, options.output, options.number, options.name)
    for line in written.left_out:
        print(f"left out  {line}")
    folds = f"{written.folds} fold{'s' if written.folds > 1 else ''}"
    print(
        f"{written.training} cases to train and validate ({folds}), {written.testing} to test in {written.folder}"
    )
    print(
        f"next      nnUNetv2_plan_and_preprocess -d {options.number}, then copy splits_final.json into "
        f"$nnUNet_preprocessed/{written.folder.name}"
    )


main = console_script(get_parser, _run)

if __name__ == "__main__":
    sys.exit(main())
