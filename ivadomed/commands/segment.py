"""``--segment``: apply a packaged model to images without labels."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from ivadomed.commands.derivative import FOLDER, Derivative
from ivadomed.commands.records import was_trained_on
from ivadomed.commands.screen import show_cases, show_left_out
from ivadomed.commands.steps import classify_cases, postprocessing_of
from ivadomed.config import RunConfig
from ivadomed.detection.cascade import add_boxes
from ivadomed.errors import ConfigError
from ivadomed.images.files import share_file
from ivadomed.images.label_suffix import names_for_files
from ivadomed.inference.label_map import LabelMaps, overlaps_text
from ivadomed.inference.outputs import (
    PREDICTIONS,
    class_files,
    finish,
    write_classes,
    write_label_map,
)
from ivadomed.inference.packaged import PackagedModel
from ivadomed.inference.prediction import Prediction
from ivadomed.jobs import Workers, own_gpus, values
from ivadomed.loader.build import display_transforms, segment_cases
from ivadomed.loader.cases.case import Case
from ivadomed.loader.cases.grouping import CaseList
from ivadomed.loader.cases.volumes import read_ahead
from ivadomed.runtime.device import define_device
from ivadomed.runtime.terminal import hidden_bar, say
from ivadomed.runtime.working import working
from ivadomed.training.outputs import trained_by_2


@dataclass(frozen=True)
class Written:
    """Files of one case.

    Args:
        case: Name of the case.
        classes: NIfTI file of each class.
        has_map: True if a label map was written.
    """

    case: str
    classes: tuple[Path, ...]
    has_map: bool


@dataclass(frozen=True, eq=False)
class Segmenter:
    """Segmentation by a packaged model, in the process that calls it.

    Args:
        model: Folder of the model.
        gpu_ids: GPUs of the run.
        options: See ``PackagedModel.predict``.
        data_set: Output data set.
        postprocessing: Steps by name, in order.
        suffixes: Suffix of the file of each class.
        label_maps: Writer of the label maps.
        also: Folder for class files with the names of ivadomed 2, <case>_class-N_pred; None: none.
        maps: Folder of the uncertainty maps read by postprocessing.
    """

    model: Path
    gpu_ids: tuple[int, ...]
    options: Mapping[str, Any]
    data_set: Derivative
    postprocessing: Mapping[str, Any] = field(default_factory=dict)
    suffixes: Sequence[str] = ()
    label_maps: LabelMaps = field(default_factory=LabelMaps)
    also: Path | None = None
    maps: Path = Path()

    def results(self, cases: Sequence[Case], model: PackagedModel | None = None) -> Iterator[Written]:
        """Predict cases and write their files."""
        model = model or PackagedModel.open(self.model, define_device(self.gpu_ids)[1])
        volumes = read_ahead(cases, model.slice_axis, with_target=False)
        for prediction in model.predict(volumes, self.options):
            data = finish(prediction, self.postprocessing, self.maps / prediction.case.id)
            yield self._write(prediction, data)

    def _write(self, prediction: Prediction, data: np.ndarray) -> Written:
        stem, case = self.data_set.stem(prediction.case), prediction.case.id
        files = write_classes(prediction, data, stem, self.suffixes)
        root = self.data_set.folder
        written = write_label_map(prediction, data, stem, self.label_maps, root)
        if self.also is None:
            return Written(case, tuple(files), bool(written))
        numbered = [f"_class-{k}_pred" for k in range(len(self.suffixes))]
        sources = class_files(prediction, stem, self.suffixes)
        for source, target in zip(sources, class_files(prediction, self.also / case, numbered), strict=True):
            share_file(source, target)
        names = tuple(self.also / f"{case}{name}.nii.gz" for name in numbered)
        return Written(case, names, bool(written))

    def __call__(self, cases: Sequence[Case]) -> list[Written]:
        """Predict cases on the GPU of a worker."""
        return list(replace(self, gpu_ids=own_gpus(self.gpu_ids)).results(cases))


def segment_command(
    config: RunConfig,
    folder: Path,
    options: dict[str, Any],
    workers: Workers | None = None,
    label_map: bool = True,
) -> list[Path]:
    """Segment all images of a data set, labeled or not, with the packaged model of a run.

    The run's configuration determines the images and the postprocessing, the model's the preprocessing. In a cascade,
    the first model is that of the model's configuration unless the run's names one.

    The results are a data set, ``segmentations``. As in ivadomed 2, the class files are also written to
    ``pred_masks``, unless it holds predictions of a test set from another data set.

    Returns:
        The class files, ``pred_masks/<case>_class-N_pred.nii.gz`` if these are written; for a classifier,
        ``classified_slices.csv``.
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
    segmenter = replace(
        segmenter_of(model, Derivative(folder / FOLDER), options, label_map),
        gpu_ids=config.gpu_ids,
        postprocessing=postprocessing_of(config, folder),
        also=folder / PREDICTIONS if _keeps_names_of_2(config, folder) else None,
        maps=folder / PREDICTIONS,
    )
    return segment_found(segment_cases(config, folder), config, model, cascade, folder, segmenter, workers)


def segmenter_of(
    model: PackagedModel, data_set: Derivative, options: Mapping[str, Any], label_map: bool
) -> Segmenter:
    """Segmenter that applies a model according to its own configuration."""
    config = model.config
    return Segmenter(
        model.file.parent,
        config.gpu_ids,
        options,
        data_set,
        config.postprocessing.arguments,
        [f"{name}_pred" for name in names_for_files(config.class_names)],
        LabelMaps.of(config, label_map, of_one_class=True),
    )


def segment_found(
    found: CaseList,
    config: RunConfig,
    model: PackagedModel,
    cascade: RunConfig,
    folder: Path,
    segmenter: Segmenter,
    workers: Workers | None,
) -> list[Path]:
    """Segment the cases of a data set and describe the results.

    Args:
        found: The cases, and the images left out.
        config: Configuration of the run, with its data sets.
        model: The packaged model.
        cascade: Configuration that names the first model of a cascade.
        folder: Folder of the run, for its log, bounding boxes and slice tables.
        segmenter: The same model with its outputs.
        workers: Processes that predict.

    Returns:
        See ``segment_command``.
    """
    device = define_device(config.gpu_ids)[1]
    cases = add_boxes(found.cases, cascade.object_detection_params, folder, model.slice_axis, device)
    show_cases(cases, "Model", model.file if model.n_networks == 1 else model.file.parent)
    show_left_out(found.dropped, folder / config.log_file)
    display_transforms(model.config, "testing")
    if model.config.task == "classification":
        return [classify_cases(model.config, cases, folder, model.forward)[1]]
    with (
        working(f"Segmenting {len(cases)} images"),
        tqdm(desc="Segmentation", total=len(cases), unit="case", leave=False, disable=hidden_bar()) as bar,
    ):
        results = _segment_in_parts(segmenter, cases, workers, bar) if workers else []
        for written in () if workers else segmenter.results(cases, model):
            results.append(written)
            bar.update()
    segmenter.data_set.describe(config.loader_parameters.path_data, segmenter.model)
    _tell(results, segmenter)
    return [path for written in results for path in written.classes]


def _tell(results: Sequence[Written], segmenter: Segmenter) -> None:
    """Report the results and their location."""
    without = [written.case for written in results if not written.has_map]
    if segmenter.label_maps.names and without:
        say("Label maps", overlaps_text(without))
    also = "" if segmenter.also is None else f"; under the names of ivadomed 2 in {segmenter.also}"
    say("Done", f"segmented {len(results)} images into {segmenter.data_set.folder}{also}")


def _keeps_names_of_2(config: RunConfig, folder: Path) -> bool:
    """True if ``pred_masks`` may hold these results, i.e. has no predictions of a test set from another data set."""
    if trained_by_2(folder) or was_trained_on(folder, config.loader_parameters.path_data):
        return True
    predictions = (folder / PREDICTIONS).glob("*_pred.*")
    return all("_class-" in path.name for path in predictions)


def _segment_in_parts(
    segmenter: Segmenter, cases: Sequence[Case], workers: Workers, bar: tqdm
) -> list[Written]:
    """Predict cases in workers; return their files, in order."""
    size = -(-len(cases) // workers.portions)
    parts = [cases[start : start + size] for start in range(0, len(cases), size)]
    written: dict[int, list[Written]] = {}
    for number, files in values(segmenter, parts, workers):
        written[number] = files
        bar.update(len(files))
    return [one for number in range(len(parts)) for one in written[number]]
