"""``--test``: predict the test set and evaluate the predictions."""

from __future__ import annotations

import logging
from pathlib import Path

import pandas as pd

from ivadomed.commands.evaluate import evaluate_cases
from ivadomed.commands.screen import show_cases, show_left_out, show_next
from ivadomed.commands.steps import (
    announce,
    as_trained,
    fit_missing_encoder,
    keep_model_older,
    postprocessing_of,
    test_classifier,
    with_best_threshold,
)
from ivadomed.config import RunConfig
from ivadomed.config.run_files import BEST
from ivadomed.detection.cascade import add_boxes
from ivadomed.images.label_suffix import class_labels
from ivadomed.inference.label_map import LabelMaps
from ivadomed.inference.outputs import PREDICTIONS
from ivadomed.inference.testing import CaseSet, predict_cases
from ivadomed.jobs import Workers
from ivadomed.loader.build import display_transforms, test_cases
from ivadomed.loader.recipe import TRAINED, conditioner_of, recipe_of, steps_of, uncertain_steps_of
from ivadomed.metrics import get_metric_fns
from ivadomed.runtime.working import working

log = logging.getLogger(__name__)


def test_command(
    config: RunConfig,
    folder: Path,
    thr_increment: float | None,
    workers: Workers | None,
    label_map: bool,
) -> tuple[pd.DataFrame, dict[str, float]]:
    """Predict and evaluate the test set.

    Returns:
        Table of 3D metrics, and the metrics averaged over images.
    """
    config = as_trained(config, folder)
    keep_model_older(folder)
    device = announce(config)
    found = test_cases(config, folder)
    cases = add_boxes(found.cases, config.object_detection_params, folder, config.slice_axis_index, device)
    show_cases(cases, "Model", folder / BEST)
    show_left_out(found.dropped, folder / config.log_file)
    fit_missing_encoder(config, folder)
    conditioner = conditioner_of(config, folder)
    if thr_increment is not None:
        config = with_best_threshold(config, folder, thr_increment)
    if config.task == "classification":
        return test_classifier(config, cases, folder, device)
    data = CaseSet(
        cases,
        recipe_of(config, "testing", device),
        steps_of(config, "testing"),
        conditioner,
        uncertain_steps_of(config),
        config.blend or TRAINED.blend,
        config.mirror_axes or (),
        config.training_parameters.precision,
    )
    display_transforms(config, "testing")
    with working(f"Predicting {len(cases)} images"):
        metrics = predict_cases(
            data,
            folder / BEST,
            folder / PREDICTIONS,
            device,
            config.training_parameters.batch_size,
            config.uncertainty,
            get_metric_fns(config.task),
            postprocessing_of(config, folder),
            LabelMaps.of(config, label_map),
        )
    log.info("%s", {name: float(value) for name, value in metrics.items()})
    table = evaluate_cases(config, cases, folder, workers)
    show_next(folder, folder / config.model_name, class_labels(config.class_names), table)
    return table, metrics
