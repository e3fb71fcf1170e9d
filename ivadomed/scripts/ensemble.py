"""Join packaged models to an ensemble, which is used as one model: the mean of their soft predictions counts."""

from __future__ import annotations

import argparse
import sys

from ivadomed.runtime.console import ToolParser, console_script

_EXAMPLES = """\
examples:
  ivadomed_ensemble run_1/seg_sc run_2/seg_sc run_3/seg_sc -o seg_sc_ensemble
      seg_sc_ensemble/seg_sc_ensemble.json and the weights of each model
  ivadomed_ensemble 2d/lesion 3d/lesion -o lesion
      each prepares the images in its own way
  ivadomed_segment_image -m seg_sc_ensemble -i sub-01_T2w.nii.gz
"""


def get_parser() -> argparse.ArgumentParser:
    """The parser of the command line."""
    parser = ToolParser("ivadomed_ensemble", __doc__, _EXAMPLES)
    add = parser.add_argument
    add(
        "models",
        nargs="+",
        metavar="MODEL",
        help="folders of packaged models that segment the same classes of the same channels; of an ensemble the "
        "members are taken",
    )
    add("-o", "--output", required=True, metavar="NAME", help="folder of the ensemble, and its name")
    return parser


def _run(options: argparse.Namespace) -> None:
    # Torch and the rest are loaded only now: --help and a mistyped option answer at once.
    from ivadomed.inference.ensemble import join_models
    from ivadomed.inference.members import members_of

    folder = join_models(options.models, options.output)
    print(f"{folder}: an ensemble of {len(members_of(folder))} models")


main = console_script(get_parser, _run)

if __name__ == "__main__":
    sys.exit(main())
