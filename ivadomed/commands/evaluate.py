"""``--eval``: metrics, figures and report of existing predictions."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from ivadomed.commands.records import trained_in, versions
from ivadomed.commands.screen import show_cases, show_left_out
from ivadomed.commands.steps import evaluate_classifier, refuse_outdated
from ivadomed.config import RunConfig
from ivadomed.evaluation import evaluate_predictions, pairs_of_cases, preview, summary_text, write_summary
from ivadomed.evaluation.classification import read_slices
from ivadomed.evaluation.cross_validation import FOLDER, folds_text
from ivadomed.evaluation.dataset import worst_first
from ivadomed.evaluation.pictures import paint_cases
from ivadomed.evaluation.summary import SUMMARY_FILE
from ivadomed.images.label_suffix import class_labels
from ivadomed.inference.outputs import PREDICTIONS
from ivadomed.jobs import Workers
from ivadomed.loader.build import test_cases
from ivadomed.loader.cases.case import Case
from ivadomed.report import Curve, Report, read_curves, write_report
from ivadomed.report.run_tables import read_run_tables
from ivadomed.runtime.terminal import say
from ivadomed.runtime.working import working

log = logging.getLogger(__name__)


def eval_command(config: RunConfig, folder: Path, workers: Workers | None = None) -> pd.DataFrame:
    """Evaluate the predictions in ``pred_masks``.

    Returns:
        Table of 3D metrics.
    """
    if config.task == "classification":
        return evaluate_classifier(config, read_slices(folder), folder)
    refuse_outdated(
        folder,
        "*_pred.*",
        "run --test first, or evaluate predictions made elsewhere in a folder without a model",
    )
    found = test_cases(config, folder)
    show_cases(found.cases, "Masks", folder / PREDICTIONS)
    show_left_out(found.dropped, folder / config.log_file)
    return evaluate_cases(config, found.cases, folder, workers)


def evaluate_cases(
    config: RunConfig,
    cases: Sequence[Case],
    folder: Path,
    workers: Workers | None = None,
    trainings: Sequence[Path] = (),
) -> pd.DataFrame:
    """Evaluate the predictions of the cases, overlay them on their images, and write a report.

    Args:
        config: Configuration of the run.
        cases: Cases that have a prediction.
        folder: Folder of the predictions and of the results.
        workers: Processes that evaluate.
        trainings: Folders of the trainings whose models made the predictions; empty: ``folder``.
    """
    trainings = trainings or [folder]
    log.info("\nRun Evaluation on %s\n", folder / PREDICTIONS)
    params = config.evaluation_parameters
    loader = config.loader_parameters
    pairs = pairs_of_cases(cases, folder / PREDICTIONS, loader.target_suffix, loader.soft_gt)
    with working(f"Evaluating {len(pairs)} images"):
        table = evaluate_predictions(pairs, folder, params, workers=workers)
    class_names = class_labels(config.class_names)
    summary = write_summary(table, pairs, folder, class_names)
    log.info("%s\n", preview(table, class_names))
    say("Results", f"{folder / SUMMARY_FILE}\n{summary_text(summary)}")
    tables = read_run_tables(folder, config.model_name)
    of_folds = tables.cross_validation if folder.name == FOLDER else None
    if of_folds is not None:
        say("Folds", f"means of each\n{folds_text(of_folds.folds, class_names)}")
    worst = worst_first(table)
    slices_mb = params.slices_mb if params.report else 0
    with working("Drawing pictures"):
        pictures = paint_cases(pairs, worst[: params.overlays], folder, config.slice_axis_index, slices_mb)
    if params.report:
        report = Report(
            title=f"{config.model_name}, cross-validation" if of_folds is not None else config.model_name,
            folder=folder,
            table=table,
            summary=summary,
            pairs=pairs,
            order=worst,
            class_names=class_names,
            pictures=pictures,
            config=config.to_json(hide_secrets=True),
            versions={**versions(), **trained_in(trainings[0])},
            curves=_curves(trainings),
            tables=tables,
        )
        say("Verdict", report.verdict.text)
        with working("Writing the report"):
            path = write_report(report)
        say("Report", str(path))
    return table


def _curves(trainings: Sequence[Path]) -> list[Curve]:
    """Curves of a training; for several trainings, each with the name of its folder."""
    if len(trainings) == 1:
        return read_curves(trainings[0])
    return [
        replace(curve, training=training.name) for training in trainings for curve in read_curves(training)
    ]
