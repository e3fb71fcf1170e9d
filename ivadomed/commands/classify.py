"""Commands for classifiers, whose results are tables of slices."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from ivadomed.config import RunConfig
from ivadomed.evaluation.classification import ALL, EVALUATION, SLICES, classify, evaluate_slices
from ivadomed.images.files import write_csv
from ivadomed.inference.backends import open_model
from ivadomed.loader.build import sample_dataset
from ivadomed.loader.cases.case import Case
from ivadomed.loader.samples import Batch
from ivadomed.runtime.terminal import say
from ivadomed.training.outputs import BEST


def classify_cases(
    config: RunConfig, cases: Sequence[Case], folder: Path, forward: Callable[[Batch], np.ndarray]
) -> tuple[pd.DataFrame, Path]:
    """Classify the slices of cases, into ``classified_slices.csv``."""
    data = sample_dataset(config, cases, "testing", folder)
    table = classify(data, forward, config.class_names, config.training_parameters.batch_size)
    write_csv(folder / SLICES, table, index=False)
    say("Done", f"classified {len(data)} slices of {len(cases)} images: {folder / SLICES}")
    return table, folder / SLICES


def test_classifier(
    config: RunConfig, cases: Sequence[Case], folder: Path, device: torch.device
) -> tuple[pd.DataFrame, dict[str, float]]:
    table, _ = classify_cases(config, cases, folder, open_model(folder / BEST, device))
    evaluation = evaluate_classifier(config, table, folder)
    metrics = evaluation[evaluation["image_id"] == ALL].select_dtypes("number").mean()
    return evaluation, {str(name): float(value) for name, value in metrics.items()}


def evaluate_classifier(config: RunConfig, table: pd.DataFrame, folder: Path) -> pd.DataFrame:
    threshold = config.postprocessing.threshold
    evaluation = evaluate_slices(table, 0.5 if threshold is None else threshold)
    write_csv(folder / "results_eval" / EVALUATION, evaluation, index=False)
    say("Results", f"{folder / 'results_eval' / EVALUATION}\n{evaluation.head().to_string(index=False)}")
    return evaluation
