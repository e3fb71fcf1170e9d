"""Tables of a sweep."""

import math

import numpy as np
import pandas as pd
import pytest

from ivadomed.sweep.hyperparameters import option_at
from ivadomed.sweep.results import average_table, format_results, results_table, test_values, write_tables

test_values.__test__ = False


def scores(loss, **more):
    return {
        "best_training_dice": -0.5,
        "best_training_loss": -0.4,
        "best_validation_dice": -0.3,
        "best_validation_loss": loss,
        **more,
    }


def metrics(*dice):
    return {
        "index": [f"sub-{n}" for n in range(len(dice))],
        "columns": ["dice_class0"],
        "data": [[d] for d in dice],
    }


@pytest.fixture
def results(member):
    """Two configurations; of each two iterations that were tested on two images."""
    return [
        (member("a", 0), scores(-0.2, test_dice=0.6, metrics=metrics(0.5, 0.7))),
        (member("b", 0), scores(-0.9, test_dice=0.8, metrics=metrics(0.8, 0.8))),
        (member("a", 1), scores(-0.4, test_dice=0.4, metrics=metrics(0.4, math.nan))),
        (member("b", 1), scores(-0.7, test_dice=0.6, metrics=metrics(0.5, 0.7))),
    ]


def test_results_stand_beside_their_hyperparameters(results):
    (a, _), (b, _) = results[:2]
    configs = [
        {"path_output": a.path_output, "default_model": {"depth": 2}, "loss": {"name": "DiceLoss"}},
        {"path_output": b.path_output, "default_model": {"depth": 3}, "loss": None},
    ]
    options = [option_at(["default_model", "depth"], 2), option_at(["loss"], {})]
    table = format_results(results_table(results), configs, options)
    assert list(table["best_validation_loss"]) == [-0.9, -0.7, -0.4, -0.2]
    assert set(table["best_validation_dice"]) == {0.3}
    assert set(table["best_training_dice"]) == {0.5}
    assert list(table["path_output"]) == [b.path_output, b.path_output, a.path_output, a.path_output]
    assert list(table["iteration"]) == [0, 1, 1, 0]
    assert list(table["default_model.depth"]) == [3, 3, 2, 2]
    assert list(table["loss"][2:]) == ['{"name": "DiceLoss"}'] * 2
    assert table["loss"][:2].isna().all()
    assert list(table["test_dice"]) == [0.8, 0.6, 0.4, 0.6]


def test_average_of_iterations_is_over_their_means(results):
    (a, _), (b, _) = results[:2]
    table = average_table(results)
    # means of the iterations: a: 0.6, 0.4; b: 0.8, 0.6; deviations with n - 1
    assert table.loc["dice_class0", f"mean_{a.path_output}"] == pytest.approx(0.5)
    assert table.loc["dice_class0", f"std_{a.path_output}"] == pytest.approx(math.sqrt(0.02))
    assert table.loc["dice_class0", f"mean_{b.path_output}"] == pytest.approx(0.7)


def test_average_of_one_run_is_over_its_images(results):
    (a, _) = results[0]
    table = average_table(results[:1])
    assert table.loc["dice_class0", f"mean_{a.path_output}"] == pytest.approx(0.6)
    assert table.loc["dice_class0", f"std_{a.path_output}"] == pytest.approx(math.sqrt(0.02))


def test_average_of_trainings_that_were_not_tested(member):
    losses = {("a", 0): -0.2, ("a", 1): -0.4, ("b", 0): -0.9}
    results = [(member(*key), scores(loss)) for key, loss in losses.items()]
    table = average_table(results)
    a, b = (results[number][0].path_output for number in (0, 2))
    assert list(table.columns) == [f"mean_{a}", f"std_{a}", f"mean_{b}", f"std_{b}"]
    assert table.loc["best_validation_loss", f"mean_{a}"] == pytest.approx(-0.3)
    assert table.loc["best_validation_loss", f"std_{a}"] == pytest.approx(math.sqrt(0.02))
    assert table.loc["best_validation_loss", f"mean_{b}"] == -0.9
    assert math.isnan(table.loc["best_validation_loss", f"std_{b}"])
    assert "test_dice" not in table.index


def test_values_of_the_images_leave_out_what_is_not_defined(results):
    (a, _), (b, _) = results[:2]
    values = test_values(results, "dice_class0")
    np.testing.assert_array_equal(values[a.path_output], [0.5, 0.7, 0.4])
    assert len(values[b.path_output]) == 4


def test_table_of_nothing_has_its_columns(tmp_path):
    table = write_tables(tmp_path, [], [], [option_at(["a"], 1)])
    assert list(table.columns[:2]) == ["path_output", "a"]
    assert "best_validation_loss" in table
    assert list(pd.read_csv(tmp_path / "detailed_results.csv", index_col=0).columns) == list(table.columns)
    assert pd.read_csv(tmp_path / "average_eval.csv").empty
