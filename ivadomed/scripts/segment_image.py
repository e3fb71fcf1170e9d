"""Command line ``ivadomed_segment_image``: apply a packaged model to image files, without BIDS."""

from __future__ import annotations

import argparse
import sys

from ivadomed.errors import ConfigError
from ivadomed.runtime.console import ToolParser, add_pixel_size, console_script
from ivadomed.runtime.moved import moved_names

_EXAMPLES = """\
examples:
  ivadomed_segment_image -m seg_sc -i sub-01_T2w.nii.gz -o results
  ivadomed_segment_image -m seg_sc -i scans/                       all images of a folder
  ivadomed_segment_image -m seg_lesion -i t1.nii.gz t2.nii.gz      a model with two channels
  ivadomed_segment_image -m axons -i rat.png --pixel-size 0.13 0.13 --pixel-size-units um --overlap-2d 48 48
"""

__getattr__ = moved_names(
    __name__, {}, {"ivadomed.inference.image_files": "add_suffix segment_image segment_images splitext"}
)


def get_parser() -> argparse.ArgumentParser:
    """Parser of the command line."""
    parser = ToolParser(
        prog="ivadomed_segment_image",
        description="Segment NIfTI, PNG, TIFF or JPEG files with a packaged model.",
        epilog=_EXAMPLES,
    )
    add = parser.add_argument
    add(
        "-m",
        "--model",
        "--path-model",
        required=True,
        help="folder NAME with NAME.json and NAME.pt or NAME.onnx",
    )
    add(
        "-i",
        "--input",
        "--image",
        "--images",
        required=True,
        nargs="+",
        action="append",
        metavar="IMAGE",
        help="images or a folder; for a multichannel model, the images of one subject, in the model's order "
        "(repeat -i for each subject; 'none' for a contrast that is missing for a HeMIS model)",
    )
    add("-o", "--output", default=".", metavar="FOLDER", help="folder to write to (default: this one)")
    add("-s", "--suffix", nargs="+", help="output suffix of each class (default: the class name and _pred)")
    add(
        "--no-label-map",
        action="store_true",
        help="leave out IMAGE_dseg, all classes in one image (written for several classes that do not overlap)",
    )
    add("-p", "--prior", metavar="MASK", help="mask of the region to which the model crops")
    add("--threshold", type=float, help="binarize at this value; 0 keeps soft values")
    add("--metadata", help="metadata for a FiLM model, e.g. T2w")
    add_pixel_size(parser)
    add("--no-patch", action="store_true", help="predict whole slices instead of 2D patches")
    add(
        "--overlap-2d", nargs=2, type=int, metavar=("H", "W"), help="overlap of neighboring patches in voxels"
    )
    add(
        "--mirror-axes",
        nargs="*",
        type=int,
        metavar="AXIS",
        help="average over samples mirrored along these axes: 0 height, 1 width, 2 depth; none given: no mirroring "
        "(default: the model's setting)",
    )
    add("--gpu", default="0", help="number of the GPU, or 'none' for the CPU (default: 0)")
    add("--debug", action="store_true", help="show the traceback of an error")
    return parser


def _run(args: argparse.Namespace) -> None:
    # Torch and other libraries are loaded only now: --help and errors in options are reported at once.
    from ivadomed.inference import Predictor
    from ivadomed.inference.image_files import list_subjects, output_suffixes, segment_images
    from ivadomed.runtime.device import chosen_device

    if args.gpu.lower() != "none" and not args.gpu.isdigit():
        raise ConfigError(f"--gpu: {args.gpu!r}; expected the number of a GPU, or none")
    predictor = Predictor(args.model, chosen_device(None if args.gpu.lower() == "none" else int(args.gpu)))
    options = {
        "fname_prior": args.prior,
        "binarize_prediction": args.threshold,
        "metadata": args.metadata,
        "no_patch": args.no_patch,
        "overlap_2D": args.overlap_2d,
        "mirror_axes": args.mirror_axes,
    }
    if args.pixel_size:
        options |= {"pixel_size": args.pixel_size, "pixel_size_units": args.pixel_size_units}
    suffixes = output_suffixes(predictor.class_names, args.suffix, predictor.folder)
    subjects = list_subjects(args.input, predictor.in_channel, suffixes)
    for file in segment_images(
        predictor, subjects, args.output, suffixes, options=options, label_map=not args.no_label_map
    ):
        print(file)


main = console_script(get_parser, _run, "interrupted")

if __name__ == "__main__":
    sys.exit(main())
