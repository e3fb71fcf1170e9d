"""``--segment``: the packaged model on images without labels."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tqdm import tqdm

from ivadomed.commands.screen import show_cases, show_left_out
from ivadomed.commands.steps import classify_cases, postprocessing_of
from ivadomed.config import RunConfig
from ivadomed.detection.cascade import add_boxes
from ivadomed.errors import ConfigError
from ivadomed.inference.outputs import PREDICTIONS, finish, write_prediction
from ivadomed.inference.packaged import PackagedModel
from ivadomed.jobs import Workers, own_gpus, values
from ivadomed.loader.build import display_transforms, segment_cases
from ivadomed.loader.cases.case import Case
from ivadomed.loader.cases.volumes import read_ahead
from ivadomed.runtime.device import define_device
from ivadomed.runtime.terminal import hidden_bar, say
from ivadomed.runtime.working import working


@dataclass(frozen=True, eq=False)
class _Segmenter:
    """The packaged model, in whatever process it is called.

    Args:
        model: Its folder.
        gpu_ids: GPUs of the run.
        options: See ``PackagedModel.predict``.
        folder: For the files.
        postprocessing: Steps by name, in order.
    """

    model: Path
    gpu_ids: tuple[int, ...]
    options: Mapping[str, Any]
    folder: Path
    postprocessing: Mapping[str, Any]

    def files(self, cases: Sequence[Case], model: PackagedModel | None = None) -> Iterator[list[Path]]:
        """Predict cases; the files of each."""
        model = model or PackagedModel.open(self.model, define_device(self.gpu_ids)[1])
        volumes = read_ahead(cases, model.slice_axis, with_target=False)
        for prediction in model.predict(volumes, self.options):
            data = finish(prediction, self.postprocessing, self.folder / prediction.case.id)
            yield write_prediction(prediction, data, self.folder, per_class=True)

    def __call__(self, cases: Sequence[Case]) -> list[list[Path]]:
        """The same with the GPU of a worker."""
        return list(replace(self, gpu_ids=own_gpus(self.gpu_ids)).files(cases))


def segment_command(
    config: RunConfig, folder: Path, options: dict[str, Any], workers: Workers | None = None
) -> list[Path]:
    """Segment every image of a data set, labelled or not, with the packaged model.

    The run's configuration says which images and which postprocessing, the model's how they are prepared. Of a
    cascade, the first model is that of the model's configuration unless the run's names one.

    Returns:
        The files ``pred_masks/<case>_class-N_pred.nii.gz``; of a classifier ``classified_slices.csv``.
    """
    _, device = define_device(config.gpu_ids)
    model = PackagedModel.open(folder / config.model_name, device)
    model_config, file_model = model.config, model.file
    if config.in_channel != model_config.in_channel:
        raise ConfigError(
            f"loader_parameters: {config.in_channel} input channel(s), but {file_model} takes "
            f"{model_config.in_channel}; use the contrasts of {model.place}"
        )
    cascade = config if config.object_detection_params.object_detection_path else model_config
    slice_axis = model_config.slice_axis_index
    found = segment_cases(config, folder)
    cases = add_boxes(found.cases, cascade.object_detection_params, folder, slice_axis, device)
    show_cases(cases, "Model", file_model if model.n_networks == 1 else file_model.parent)
    show_left_out(found.dropped, folder / config.log_file)
    display_transforms(model_config, "testing")
    if model_config.task == "classification":
        return [classify_cases(model_config, cases, folder, model.forward)[1]]
    segmenter = _Segmenter(
        file_model.parent,
        config.gpu_ids,
        options,
        folder / PREDICTIONS,
        postprocessing_of(config, folder),
    )
    with (
        working(f"Segmenting {len(cases)} images"),
        tqdm(desc="Segmentation", total=len(cases), unit="case", leave=False, disable=hidden_bar()) as bar,
    ):
        written = _segment_in_parts(segmenter, cases, workers, bar) if workers else []
        for files in () if workers else segmenter.files(cases, model):
            written += files
            bar.update()
    say("Done", f"segmented {len(cases)} images into {folder / PREDICTIONS}")
    return written


def _segment_in_parts(
    segmenter: _Segmenter, cases: Sequence[Case], workers: Workers, bar: tqdm
) -> list[Path]:
    """Predict cases elsewhere; their files, in order."""
    size = -(-len(cases) // workers.portions)
    parts = [cases[start : start + size] for start in range(0, len(cases), size)]
    written: dict[int, list[list[Path]]] = {}
    for number, files in values(segmenter, parts, workers):
        written[number] = files
        bar.update(len(files))
    return [path for number in range(len(parts)) for files in written[number] for path in files]
