"""Combine packaged models into an ensemble, used like a single model: their soft predictions are averaged."""

from __future__ import annotations

import argparse
import sys

from ivadomed.runtime.console import ToolParser, console_script

_EXAMPLES = """\
examples:
  ivadomed_ensemble run_1/seg_sc run_2/seg_sc run_3/seg_sc -o seg_sc_ensemble
      seg_sc_ensemble/seg_sc_ensemble.json and the weights of each model
  ivadomed_ensemble 2d/lesion 3d/lesion -o lesion
      each with its own preprocessing
  ivadomed_segment_image -m seg_sc_ensemble -i sub-01_T2w.nii.gz
"""


def get_parser() -> argparse.ArgumentParser:
    """Parser of the command line."""
    parser = ToolParser("ivadomed_ensemble", __doc__, _EXAMPLES)
    add = parser.add_argument
    add(
        "models",
        nargs="+",
        metavar="MODEL",
        help="folders of packaged models that segment the same classes from the same channels; an ensemble is "
        "replaced by its members",
    )
    add("-o", "--output", required=True, metavar="NAME", help="folder and name of the ensemble")
    return parser


def _run(options: argparse.Namespace) -> None:
    # Torch and other libraries are loaded only now: --help and errors in options are reported at once.
    from ivadomed.inference.ensemble import join_models
    from ivadomed.inference.members import members_of

    folder = join_models(options.models, options.output)
    print(f"{folder}: an ensemble of {len(members_of(folder))} models")


main = console_script(get_parser, _run)

if __name__ == "__main__":
    sys.exit(main())
