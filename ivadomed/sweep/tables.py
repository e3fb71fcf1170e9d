"""Tables of a sweep."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ivadomed.images.files import write_csv
from ivadomed.sweep.hyperparameters import HyperparameterOption, value_at
from ivadomed.sweep.member import SCORES
from ivadomed.sweep.plan import Member

TEMPORARY, DETAILED, AVERAGE = "temporary_results.csv", "detailed_results.csv", "average_eval.csv"

Results = Sequence[tuple[Member, Mapping[str, Any]]]
"""Members that are done, and what ``member.Run`` returned for them."""


def results_table(results: Results) -> pd.DataFrame:
    """One row per member: the folder of its configuration, the iteration, and its scores."""
    rows = [
        {
            "path_output": member.path_output,
            "iteration": member.iteration,
            **{key: scores[key] for key in (*SCORES, "test_dice", "state") if key in scores},
        }
        for member, scores in results
    ]
    return pd.DataFrame(rows, columns=None if rows else ["path_output", "iteration", *SCORES])


def format_results(
    results_df: pd.DataFrame,
    config_list: Iterable[Mapping[str, Any]],
    param_list: Iterable[HyperparameterOption],
) -> pd.DataFrame:
    """Results beside the hyperparameters that they belong to, the lowest validation loss first.

    Args:
        results_df: Of ``results_table``.
        config_list: Configurations; ``path_output`` says to which rows they belong.
        param_list: Hyperparameters that differ; each gets a column, named by its path with dots.
    """
    paths = list(dict.fromkeys(option.path for option in param_list))
    values = {
        config["path_output"]: [_cell(value_at(config, path)) for path in paths] for config in config_list
    }
    columns = [".".join(path) for path in paths]
    settings = pd.DataFrame.from_dict(values, orient="index", columns=columns, dtype=object).infer_objects()
    table = settings.rename_axis("path_output").reset_index().merge(results_df, on="path_output")
    return table.sort_values("best_validation_loss", kind="stable", ignore_index=True)


def average_table(results: Results) -> pd.DataFrame:
    """Mean and standard deviation of the scores and of the metrics of the test images, two columns per configuration.

    Scores are averaged over the iterations, so that one run has no deviation. So are the metrics of the test images, of
    which each iteration has a mean; those of a configuration that was run once are averaged over its images.
    """
    tests = _tables_by_configuration(results)
    columns: dict[str, pd.Series] = {}
    for path, runs in results_table(results).drop(columns="iteration").groupby("path_output", sort=False):
        tables = tests.get(str(path), [])
        scores = runs.select_dtypes("number")
        metrics = tables[0] if len(tables) == 1 else pd.DataFrame([table.mean() for table in tables])
        columns[f"mean_{path}"] = pd.concat([scores.mean(), metrics.mean()])
        columns[f"std_{path}"] = pd.concat([scores.std(), metrics.std()])
    return pd.DataFrame(columns).rename_axis("metric")


def test_values(results: Results, metric: str) -> dict[str, np.ndarray]:
    """Values of a metric on all test images and iterations, by the folder of the configuration."""
    return {
        path: np.concatenate([table[metric].dropna() for table in tables if metric in table])
        for path, tables in _tables_by_configuration(results).items()
    }


def write_tables(
    folder: Path,
    results: Results,
    config_list: Sequence[Mapping[str, Any]],
    param_list: Sequence[HyperparameterOption],
) -> pd.DataFrame:
    """Write ``detailed_results.csv`` and ``average_eval.csv``; the former is returned."""
    detailed = format_results(results_table(results), config_list, param_list)
    write_csv(folder / DETAILED, detailed)
    write_csv(folder / AVERAGE, average_table(results))
    return detailed


def _tables_by_configuration(results: Results) -> dict[str, list[pd.DataFrame]]:
    """Metrics per test image, one table per iteration."""
    tables: dict[str, list[pd.DataFrame]] = {}
    for member, scores in results:
        if "metrics" in scores:
            table = pd.DataFrame(**scores["metrics"]).select_dtypes("number")
            tables.setdefault(member.path_output, []).append(table)
    return tables


def _cell(value: Any) -> Any:
    """A value as a cell: a number or text."""
    if isinstance(value, Mapping | list | tuple):
        return json.dumps(value)
    return math.nan if value is None else value
