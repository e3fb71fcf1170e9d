"""Command line ``ivadomed_segment_image``: apply a packaged model to image files, without BIDS."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ivadomed.errors import ConfigError, DataError
from ivadomed.runtime.console import ToolParser, run_tool

if TYPE_CHECKING:
    from ivadomed.inference import Predictor

_EXAMPLES = """\
examples:
  ivadomed_segment_image -m seg_sc -i sub-01_T2w.nii.gz -o results
  ivadomed_segment_image -m seg_sc -i scans/                       all images of a folder
  ivadomed_segment_image -m seg_lesion -i t1.nii.gz t2.nii.gz      a model with two channels
  ivadomed_segment_image -m axons -i rat.png --pixel-size 0.13 0.13 --pixel-size-units um --overlap-2d 48 48
"""

_DOUBLE_EXTENSIONS = (".nii.gz", ".ome.tiff", ".ome.tif", ".tar.gz")


def get_parser() -> argparse.ArgumentParser:
    """The parser of the command line."""
    parser = ToolParser(
        prog="ivadomed_segment_image",
        description="Segment NIfTI, PNG, TIFF or JPEG files with a packaged model.",
        epilog=_EXAMPLES,
    )
    parser.add_argument(
        "-m",
        "--model",
        "--path-model",
        required=True,
        help="folder NAME with NAME.json and NAME.pt or NAME.onnx",
    )
    parser.add_argument(
        "-i",
        "--input",
        "--image",
        "--images",
        required=True,
        nargs="+",
        action="append",
        metavar="IMAGE",
        help="images or a folder; for a model of several channels the images of one subject, in the model's order "
        "(give -i again for the next subject; 'none' for a contrast that a HeMIS model has to do without)",
    )
    parser.add_argument("-o", "--output", default=".", metavar="FOLDER", help="where to write (here)")
    parser.add_argument(
        "-s", "--suffix", nargs="+", help="of the output of each class (the model's class names and _pred)"
    )
    parser.add_argument("-p", "--prior", metavar="MASK", help="mask of the region that the model crops to")
    parser.add_argument("--threshold", type=float, help="binarize at this value; 0 keeps soft values")
    parser.add_argument("--metadata", help="what a FiLM model is conditioned on, e.g. T2w")
    parser.add_argument(
        "--pixel-size", nargs="+", type=float, metavar="SIZE", help="of pictures, along columns and rows"
    )
    parser.add_argument("--pixel-size-units", default="mm", choices=("mm", "um", "nm"), help="unit (mm)")
    parser.add_argument("--no-patch", action="store_true", help="predict whole slices instead of 2D patches")
    parser.add_argument(
        "--overlap-2d", nargs=2, type=int, metavar=("H", "W"), help="voxels that neighbouring patches share"
    )
    parser.add_argument("--gpu", default="0", help="number of the GPU, or 'none' for the CPU (0)")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    return parser


def segment_images(
    model: str | os.PathLike[str] | Predictor,
    subjects: Sequence[Sequence[Path | None]],
    output: str | os.PathLike[str],
    suffixes: Sequence[str] | str | None = None,
    gpu_id: int | None = 0,
    options: dict[str, Any] | None = None,
) -> list[Path]:
    """Segment the images of subjects and write one file per class.

    Args:
        model: Folder of the packaged model, which is loaded once; or the loaded model, and ``gpu_id`` does not count.
        subjects: Per subject its images, one per channel of the model.
        output: Folder of the results.
        suffixes: Of the output of each class, or one text, which comes behind the class names where there are
            several classes; the class names and ``_pred`` when not given.
        gpu_id: GPU to use where there is one; None for the CPU.
        options: See ``ivadomed.inference.segment_volume``.

    Returns:
        The files: ``<image><suffix>.nii.gz``, or ``.png`` for pictures, unless the suffix has an extension of its own.

    Raises:
        ConfigError: Not one suffix per class, or one with an extension of another kind of file.
        DataError: An image cannot be used, or an output would replace an input.
    """
    # Torch and the rest are loaded only now: --help and a mistyped option answer at once.
    from tqdm import tqdm

    from ivadomed.images.io import is_nifti, save_nifti
    from ivadomed.inference import Predictor
    from ivadomed.inference.outputs import pred_to_png
    from ivadomed.runtime.device import chosen_device

    predictor = model if isinstance(model, Predictor) else Predictor(model, chosen_device(gpu_id))
    names = _output_suffixes(predictor.class_names, suffixes, predictor.folder)
    written: list[Path] = []
    for images in tqdm(subjects, desc="Segmentation", unit="image", leave=False, disable=None):
        first = next(image for image in images if image is not None)
        stem = Path(output) / splitext(first.name)[0]
        files = [_output_file(stem, name, first) for name in names]
        inputs = {image.resolve() for image in images if image is not None}
        for file in files:
            if file.resolve() in inputs:
                raise DataError(
                    f"{file}: the output would replace an input; choose another --output or --suffix"
                )
        masks = predictor(images, options)
        if is_nifti(first):
            for mask, file in zip(masks, files, strict=True):
                save_nifti(mask, file)
        else:
            pred_to_png(masks, names, stem)
        written += files
    return written


def segment_image(
    fname_images: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    path_model: str | os.PathLike[str],
    suffix_out: str,
    options: Mapping[str, Any] | None,
) -> list[Path]:
    """Segment one image and write the result beside it.

    Args:
        fname_images: The image; for a model of several channels one file per channel, in the model's order.
        path_model: Folder of the packaged model.
        suffix_out: Of the output. Of a model of several classes it comes behind the class names.
        options: See ``ivadomed.inference.segment_volume``.

    Returns:
        A file per class: ``<first image><suffix_out>.nii.gz``, or ``.png`` for pictures.

    Raises:
        ConfigError: The model's JSON or an option is wrong.
        DataError: An image cannot be used, or the output would replace it.
        ModelError: The model cannot be used.
    """
    names = [fname_images] if isinstance(fname_images, str | os.PathLike) else fname_images
    images = [Path(name) for name in names]
    return segment_images(path_model, [images], images[0].parent, suffix_out, options=dict(options or {}))


def splitext(fname: str) -> tuple[str, str]:
    """Split a file name into what precedes the extension and the extension, which may be double: ".nii.gz"."""
    for extension in _DOUBLE_EXTENSIONS:
        if fname.lower().endswith(extension):
            return fname[: -len(extension)], fname[-len(extension) :]
    return os.path.splitext(fname)


def add_suffix(fname: str, suffix: str) -> str:
    """Put a suffix between a file name and its extension: ``t2.nii.gz`` and "_seg" make ``t2_seg.nii.gz``."""
    stem, extension = splitext(fname)
    return f"{stem}{suffix}{extension}"


def _output_suffixes(
    classes: Sequence[str], suffixes: Sequence[str] | str | None, model: str | os.PathLike[str]
) -> list[str]:
    from ivadomed.images.io import without_extension

    classes = [f"_{without_extension(name).removeprefix('_')}" for name in classes]
    if not suffixes:
        return [f"{name}_pred" for name in classes]
    if isinstance(suffixes, str):
        return [suffixes] if len(classes) == 1 else [f"{name}{suffixes}" for name in classes]
    if len(suffixes) != len(classes):
        raise ConfigError(
            f"--suffix: {len(suffixes)} given, {model} has {len(classes)} classes "
            f"({', '.join(classes)}); give one for each"
        )
    return list(suffixes)


def _output_file(stem: Path, suffix: str, image: Path) -> Path:
    """The file of a class; a suffix may carry the extension, "_seg.nii.gz" or "_seg.png"."""
    from ivadomed.images.io import is_nifti, split_extension, without_extension
    from ivadomed.inference.outputs import picture_path

    has_extension = without_extension(suffix) != suffix
    if has_extension and is_nifti(suffix) != is_nifti(image):
        kind = "NIfTI files" if is_nifti(image) else "pictures"
        raise ConfigError(
            f"--suffix: {suffix}, but segmentations of {kind} such as {image} are {kind} too; leave the extension out"
        )
    if not is_nifti(image):
        return Path(picture_path(stem, suffix))
    return Path("".join([f"{stem}", *split_extension(suffix if has_extension else f"{suffix}.nii.gz")]))


def _subjects(groups: Sequence[Sequence[str]], channels: int) -> list[list[Path | None]]:
    """Images of each subject; of a model with one channel every image is a subject."""
    from ivadomed.images.io import EXTENSIONS

    subjects: list[list[Path | None]] = []
    for group in groups:
        paths: list[Path | None] = []
        for text in group:
            folder = Path(text)
            if folder.is_dir():
                found = sorted(p for p in folder.iterdir() if p.name.lower().endswith(EXTENSIONS))
                if not found:
                    raise DataError(f"{folder}: holds no image; expected one of {', '.join(EXTENSIONS)}")
                paths += found
            else:
                paths.append(None if text.lower() == "none" else folder)
        subjects += [[path] for path in paths] if channels == 1 else [paths]
    return subjects


def _options(args: argparse.Namespace) -> dict[str, Any]:
    options = {
        "fname_prior": args.prior,
        "binarize_prediction": args.threshold,
        "metadata": args.metadata,
        "no_patch": args.no_patch,
        "overlap_2D": args.overlap_2d,
    }
    if args.pixel_size:
        options |= {"pixel_size": args.pixel_size, "pixel_size_units": args.pixel_size_units}
    return options


def _run(args: argparse.Namespace) -> list[Path]:
    from ivadomed.inference import Predictor
    from ivadomed.runtime.device import chosen_device

    if args.gpu.lower() != "none" and not args.gpu.isdigit():
        raise ConfigError(f"--gpu: {args.gpu!r}; expected the number of a GPU, or none")
    gpu_id = None if args.gpu.lower() == "none" else int(args.gpu)
    predictor = Predictor(args.model, chosen_device(gpu_id))
    subjects = _subjects(args.input, predictor.in_channel)
    return segment_images(predictor, subjects, args.output, args.suffix, options=_options(args))


def main(args: Sequence[str] | None = None) -> int:
    """Console script: 0, or a message on standard error and the exit code of the error."""
    parsed = get_parser().parse_args(args)

    def work() -> None:
        for file in _run(parsed):
            print(file)

    return run_tool("ivadomed_segment_image", work, "interrupted", parsed.debug)


if __name__ == "__main__":
    sys.exit(main())
