"""``--segment``: the packaged model on images without labels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tqdm import tqdm

from ivadomed.commands.classify import classify_cases
from ivadomed.commands.screen import show_cases
from ivadomed.commands.steps import postprocessing_of
from ivadomed.config import RunConfig
from ivadomed.datasets import (
    display_transforms,
    segment_cases,
)
from ivadomed.device import define_device
from ivadomed.errors import ConfigError
from ivadomed.inference.backends import open_model
from ivadomed.inference.packaged import load_packaged_model, packaged_engine
from ivadomed.loader.volumes import read_ahead
from ivadomed.object_detection.cascade import add_boxes
from ivadomed.terminal import hidden_bar, say
from ivadomed.testing import PREDICTIONS, write_prediction


def segment_command(config: RunConfig, folder: Path, options: dict[str, Any]) -> list[Path]:
    """Segment every image of a data set, labelled or not, with the packaged model.

    The run's configuration says which images and which postprocessing, the model's how they are prepared. Of a
    cascade, the first model is that of the model's configuration unless the run's names one.

    Returns:
        The files ``pred_masks/<case>_class-N_pred.nii.gz``; of a classifier ``classified_slices.csv``.
    """
    _, device = define_device(config.gpu_ids)
    model_config, file_model = load_packaged_model(folder / config.model_name)
    if config.in_channel != model_config.in_channel:
        raise ConfigError(
            f"loader_parameters: {config.in_channel} input channel(s), but {file_model} takes "
            f"{model_config.in_channel}; use the contrasts of {file_model.with_suffix('.json')}"
        )
    cascade = config if config.object_detection_params.object_detection_path else model_config
    slice_axis = model_config.slice_axis_index
    cases = add_boxes(
        segment_cases(config, folder), cascade.object_detection_params, folder, slice_axis, device
    )
    show_cases(cases, file_model)
    display_transforms(model_config, "testing")
    if model_config.task == "classification":
        return [classify_cases(model_config, cases, folder, open_model(file_model, device))[1]]
    engine = packaged_engine(model_config, file_model, device, options)
    written: list[Path] = []
    predictions = engine.run(read_ahead(cases, slice_axis, with_target=False))
    for prediction in tqdm(
        predictions, desc="Segmentation", total=len(cases), unit="case", leave=False, disable=hidden_bar()
    ):
        written += write_prediction(
            prediction, folder / PREDICTIONS, postprocessing_of(config), per_class=True
        )
    say("Done", f"segmented {len(cases)} images into {folder / PREDICTIONS}")
    return written
