"""``segment_volume``: a packaged model applied to one image, as toolboxes call it."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from numbers import Integral
from typing import Any, ParamSpec, TypeVar

import nibabel as nib

from ivadomed.errors import ConfigError
from ivadomed.images.io import ImageLike
from ivadomed.inference.predictor import Predictor
from ivadomed.runtime.device import chosen_device

_P = ParamSpec("_P")
_R = TypeVar("_R")
_ARGUMENTS_OF_2020 = {
    "fname_prior": 'options={"fname_prior": ...}',
    "fname_roi": 'options={"fname_prior": ...}',
    "gpu_number": "gpu_id=...",
    "fname_image": "fname_images=...",
}


def _refuses_calls_of_2020(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """Say how a call is written now that follows the manual of 2020.

    There it was ``segment_volume(folder_model, fname_image, fname_prior, gpu_number)``.
    """

    @wraps(function)
    def checked(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        for old in kwargs.keys() & _ARGUMENTS_OF_2020.keys():
            raise ConfigError(
                f"segment_volume: {old}, of the manual of 2020, is no argument any more; write "
                f"{_ARGUMENTS_OF_2020[old]}"
            )
        given = {**dict(zip(("gpu_id", "options"), args[2:], strict=False)), **kwargs}
        _check_types(given.get("gpu_id"), given.get("options"))
        return function(*args, **kwargs)

    return checked


def _check_types(gpu: Any, options: Any) -> None:
    numbers = gpu if isinstance(gpu, list | tuple) else [] if gpu is None else [gpu]
    if not all(isinstance(number, Integral) for number in numbers):
        prior = repr(os.fspath(gpu)) if isinstance(gpu, str | os.PathLike) else "PRIOR"
        found = f"a {type(gpu).__name__}" if prior == "PRIOR" else prior
        number = f"gpu_id={options}, " if isinstance(options, int) else ""
        raise ConfigError(
            f"segment_volume: gpu_id is {found}; expected the number of a GPU, or None. A prior, the third argument in "
            "the manual of 2020, is an option now: segment_volume(folder_model, fname_images, "
            f'{number}options={{"fname_prior": {prior}}})'
        )
    if not (options is None or isinstance(options, Mapping)):
        raise ConfigError(
            f'segment_volume: options is {options!r}; expected a dictionary such as {{"fname_prior": "mask.nii.gz"}} '
            "(the number of a GPU is the third argument, gpu_id)"
        )


@_refuses_calls_of_2020
def segment_volume(
    folder_model: str | os.PathLike[str],
    fname_images: ImageLike | Sequence[ImageLike | None],
    gpu_id: int | None = 0,
    options: Mapping[str, Any] | None = None,
) -> tuple[list[nib.Nifti1Image], list[str]]:
    """Segment one image with a packaged model. For more than one image, ``Predictor`` keeps the model loaded.

    Args:
        folder_model: Folder ``NAME`` that holds ``NAME.json`` and ``NAME.pt`` or ``NAME.onnx``.
        fname_images: The image: a path, a nibabel image or an array; for a model of several channels one image per
            channel, in the model's order, all on one grid. None stands for a contrast that a HeMIS network has to
            do without.
        gpu_id: GPU to use where there is one; None for the CPU.
        options: "binarize_prediction" (threshold), "binarize_maxpooling", "keep_largest", "fill_holes",
            "remove_small" (sizes such as ["5vox"] or ["3mm3"]) change the model's postprocessing: None keeps its
            step, 0 removes it, another value sets it. "fname_prior": mask of the region that the model crops to:
            an ROI, or the object in whose bounding box the second model of a cascade works (without it the
            cascade's detection model is run, where its folder is there). "pixel_size", "pixel_size_units": of a
            picture, in "mm" unless given. "no_patch", "overlap_2D": whole slices, or 2D patches that share
            voxels. "metadata": what a FiLM network is conditioned on: its one value (a contrast such as "T2w", or
            that of the column), or a dictionary of several, such as {"EchoTime": 0.05, ...}. Unknown options are
            ignored; one that looks like a misspelt one of these is warned of.

    Returns:
        One image per class on the grid and with the header of the first input (float32 when soft, uint8 when
        binary), and the suffix of each class, such as "_seg-manual". Soft values up to 0.01 are 0.

    Raises:
        ConfigError: The model's JSON or an option is wrong, or the call is that of the manual of 2020.
        DataError: An image cannot be used, or a cascade has neither a prior nor its detection model.
        ModelError: The model folder or file cannot be used.
    """
    predictor = Predictor(folder_model, chosen_device(gpu_id))
    return predictor(fname_images, options), predictor.class_names
