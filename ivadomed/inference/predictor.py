"""Apply a packaged model to images: ``segment_volume`` for toolboxes, and ``Predictor``, which keeps it loaded."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import wraps
from numbers import Integral
from pathlib import Path
from typing import Any, ParamSpec, TypeVar, cast

import nibabel as nib
import torch

from ivadomed.errors import ConfigError, DataError, ModelError
from ivadomed.images.io import ImageLike, as_image, is_file, split_extension
from ivadomed.images.label_suffix import names_for_files
from ivadomed.images.labels import LabelFile, as_region
from ivadomed.inference.detection import Detector, prior_box
from ivadomed.inference.engine import Progress
from ivadomed.inference.label_map import LabelMaps
from ivadomed.inference.options import misspelt_options, pixel_size_of, postprocessing_with
from ivadomed.inference.outputs import finish, split_classes, to_nifti
from ivadomed.inference.packaged import PackagedModel
from ivadomed.loader.cases.case import Case
from ivadomed.loader.cases.volumes import Volume, make_volume, on_grid, pixel_size_mm
from ivadomed.runtime.device import chosen_device, define_device
from ivadomed.runtime.terminal import shell_word

log = logging.getLogger(__name__)

_P = ParamSpec("_P")
_R = TypeVar("_R")
_ARGUMENTS_OF_2020 = {
    "fname_prior": 'options={"fname_prior": ...}',
    "fname_roi": 'options={"fname_prior": ...}',
    "gpu_number": "gpu_id=...",
    "fname_image": "fname_images=...",
}


class Predictor:
    """Applies a packaged model or an ensemble; it is loaded once. Threads may share one.

    Args:
        folder_model: Folder ``NAME`` with ``NAME.json`` and ``NAME.pt`` or ``NAME.onnx``, or an ensemble.
        device: "cpu", "cuda:1", ...; None for the first GPU if available, else the CPU.

    Attributes:
        class_names: File name suffix of each class, such as "_seg-manual", in the order of the results.
        label_maps: Writer of the label map of all classes.
        contrasts: Contrast of each input, in the model's order.
        in_channel: Number of inputs.

    Raises:
        ConfigError: The model's JSON is invalid.
        ModelError: The model folder or file is unusable, or the model does not predict masks.
    """

    def __init__(
        self, folder_model: str | os.PathLike[str], device: torch.device | str | None = None
    ) -> None:
        self.folder = os.fspath(folder_model)
        self._device = define_device(0)[1] if device is None else torch.device(device)
        self._model = PackagedModel.open(folder_model, self._device)
        self._config = self._model.config
        if self._config.task == "classification":
            raise ModelError(
                f"{self.folder}: classifies slices and gives no image; ivadomed --segment "
                f"--model {shell_word(self.folder)} --path-data DATA writes a table for a data set"
            )
        self.class_names = names_for_files(self._config.class_names)
        self.label_maps = LabelMaps.of(self._config)
        self.in_channel = self._config.in_channel
        self.contrasts = list(self._config.loader_parameters.contrast_params.training_validation)
        self._warned_of: set[str] = set()

    def __call__(
        self,
        images: ImageLike | Sequence[ImageLike | None],
        options: Mapping[str, Any] | None = None,
        progress: Progress | None = None,
    ) -> list[nib.Nifti1Image]:
        """Segment one image.

        Args:
            images: The image: a path, a nibabel image, or an array [X, Y, Z] or [rows, columns]. For a model of
                several channels, a list with one per channel, in the order of ``contrasts``, all on one grid; None
                marks a missing contrast of a HeMIS network.
            options: See ``segment_volume``; "fname_prior" may also be an image or array.
            progress: Called after each batch with the number of windows done and the total.

        Returns:
            One image per class, see ``segment_volume``.
        """
        options = dict(options or {})
        self._warn_of_misspelt(options)
        inputs = cast(
            "list[ImageLike | None]", list(images) if isinstance(images, (list, tuple)) else [images]
        )
        self._check_channels(inputs)
        prior = options.get("fname_prior") if self._needs_prior else None
        case = self._case(inputs, options)

        def volumes() -> Any:  # a generator: the engine lets go of the voxels as soon as it can
            yield case, self._volume(case, inputs, prior, self._model.slice_axis)

        [prediction] = self._model.predict(volumes(), options, progress)
        steps = postprocessing_with(options, self._config.postprocessing.arguments)
        return split_classes(to_nifti(prediction, finish(prediction, steps)))

    def _warn_of_misspelt(self, options: Mapping[str, Any]) -> None:
        """Warn once of ignored options that resemble a known one."""
        found = misspelt_options(options)
        new = {name: meant for name, meant in found.items() if name not in self._warned_of}
        if new:
            log.warning(
                "segment_volume: unknown option(s), which were ignored: %s",
                "; ".join(f"{name!r}, did you mean {meant!r}?" for name, meant in sorted(new.items())),
            )
        self._warned_of |= new.keys()

    def _check_channels(self, inputs: Sequence[ImageLike | None]) -> None:
        expected = self.in_channel
        if len(inputs) != expected:
            raise DataError(
                f"{self.folder}: the model takes {expected} image{'s' if expected > 1 else ''} "
                f"({', '.join(self.contrasts)}), got {len(inputs)}; pass one image per channel, in this order"
            )
        missing = [image is None for image in inputs]
        if any(missing) and (not self._config.network.missing_contrasts or all(missing)):
            raise DataError(
                f"{self.folder}: an input is None; only a HeMISUnet does without a contrast, and it needs one at least"
            )

    @property
    def _is_cascade(self) -> bool:
        return self._config.object_detection_params.object_detection_path is not None

    @property
    def _needs_prior(self) -> bool:
        return self._is_cascade or self._config.loader_parameters.roi_params.suffix is not None

    def _case(self, inputs: Sequence[ImageLike | None], options: Mapping[str, Any]) -> Case:
        given = [image for image in inputs if image is not None]
        contrasts, metadata = self._metadata(options)
        # Per channel, the index of its image among the available ones; empty if all are available.
        there = [channel for channel, image in enumerate(inputs) if image is not None]
        channels = [there.index(channel) if channel in there else None for channel in range(len(inputs))]
        paths = tuple(
            Path(os.fspath(image)) if is_file(image) else Path(f"input {number}")  # type: ignore[arg-type]
            for number, image in enumerate(given)
        )
        return Case(
            id=Path(split_extension(paths[0])[0]).name if is_file(given[0]) else paths[0].name,
            images=paths,
            contrasts=contrasts,
            metadata=pixel_size_of(options) | metadata,
            channels=() if len(there) == len(inputs) else tuple(channels),
        )

    def _metadata(self, options: Mapping[str, Any]) -> tuple[tuple[str, ...], dict[str, Any]]:
        """Contrast and metadata that a FiLM network is conditioned on, from the option ``metadata``."""
        wanted, value = self._config.metadata_type, options.get("metadata")
        if wanted is None:
            return (), {}
        if value is None:
            raise ConfigError(
                f'metadata: {self.folder} is conditioned on {wanted}; give it as options["metadata"]'
            )
        if isinstance(value, Mapping):
            return tuple(str(value[key]) for key in ("contrast",) if key in value), dict(value)
        return ((str(value),), {}) if wanted in ("contrasts", "contrast") else ((), {wanted: value})

    def _volume(
        self, case: Case, inputs: Sequence[ImageLike | None], prior: ImageLike | None, slice_axis: int
    ) -> Volume:
        pixel_size = pixel_size_mm(case.metadata, case.images[0])
        loaded = (as_image(image, pixel_size) for image in inputs if image is not None)
        volume = make_volume(case, loaded, slice_axis)
        if prior is not None:
            path = Path(os.fspath(prior)) if is_file(prior) else Path("prior")  # type: ignore[arg-type]
            case = replace(case, roi=LabelFile(path))
            volume = replace(volume, roi=on_grid(volume.grid, case, as_region(prior, pixel_size), path))
        return self._boxed(volume, case, inputs) if self._is_cascade else volume

    def _boxed(self, volume: Volume, case: Case, inputs: Sequence[ImageLike | None]) -> Volume:
        """The volume with the box for the second model of a cascade: around the prior, else detected."""
        params = self._config.object_detection_params
        path = params.object_detection_path
        if volume.roi is not None and case.roi is not None:
            box = prior_box(volume.roi, case.roi.path, params.safety_factor)
        elif path is not None and Path(path).is_dir() and all(i is None or is_file(i) for i in inputs):
            detector = Detector.open(path, self._device)
            if self._config.in_channel > 1:
                channels = zip(self._config.contrasts_for("training"), case.present, strict=True)
                case = replace(case, contrasts=tuple(c for c, is_there in channels if is_there))
            axis = self._config.slice_axis_index
            [[box, *_]] = detector.run([case], axis, safety_factor=params.safety_factor)
        else:
            raise DataError(
                f"{self.folder}: the model works in the box around an object that another model finds; pass the "
                "mask of that object as option fname_prior, or set (for images in files) "
                f"object_detection_params.object_detection_path in its JSON file to the folder of that model ({path} "
                "is none)"
            )
        roi = volume.roi if self._config.loader_parameters.roi_params.suffix else None
        return replace(volume, box=tuple(box), roi=roi)


def _refuses_calls_of_2020(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """Show the current form of a call that follows the manual of 2020.

    There it was ``segment_volume(folder_model, fname_image, fname_prior, gpu_number)``.
    """

    @wraps(function)
    def checked(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        for old in kwargs.keys() & _ARGUMENTS_OF_2020.keys():
            raise ConfigError(
                f"segment_volume: {old}, of the manual of 2020, is no longer an argument; write "
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
        folder_model: Folder ``NAME`` with ``NAME.json`` and ``NAME.pt`` or ``NAME.onnx``, or an ensemble.
        fname_images: The image: a path, a nibabel image or an array; for a model of several channels, one image per
            channel, in the model's order, all on one grid. None marks a missing contrast of a HeMIS network.
        gpu_id: GPU to use, if available; None for the CPU.
        options: "binarize_prediction" (threshold), "binarize_maxpooling", "keep_largest", "fill_holes",
            "remove_small" (sizes such as ["5vox"] or ["3mm3"]) change the model's postprocessing: None keeps its
            step, 0 removes it, another value sets it. "fname_prior": mask of the region to which the model crops: an
            ROI, or the object in whose bounding box the second model of a cascade works (without it, the cascade's
            detection model is run if its folder exists). "pixel_size", "pixel_size_units": of a picture, in "mm" by
            default. "no_patch", "overlap_2D": whole slices, or overlap of 2D patches in voxels. "mirror_axes": axes of
            a sample (0, 1, 2 for height, width, depth) for test-time mirroring, whose predictions are averaged; []
            for none, None for those of the model. "metadata": condition of a FiLM network: a single value (a contrast
            such as "T2w", or the value of the column), or a dictionary of several, such as {"EchoTime": 0.05, ...}.
            Unknown options are ignored, with a warning if they resemble one of these.

    Returns:
        One image per class with the grid and header of the first input (float32 if soft, uint8 if binary), and the
        suffix of each class, "_seg-manual" or, for "_dseg:anterior", "_dseg-anterior". Soft values up to 0.01 are set
        to 0.

    Raises:
        ConfigError: The model's JSON or an option is invalid, or the call follows the manual of 2020.
        DataError: An image is unusable, or a cascade has neither a prior nor its detection model.
        ModelError: The model folder or file is unusable.
    """
    predictor = Predictor(folder_model, chosen_device(gpu_id))
    return predictor(fname_images, options), predictor.class_names
