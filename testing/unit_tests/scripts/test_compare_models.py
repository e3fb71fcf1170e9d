"""``ivadomed_compare_models`` on tables as a sweep writes them."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from ivadomed.scripts.compare_models import compute_statistics, main

SCORES = {
    "depth=2": [0.70, 0.72, 0.68, 0.71],
    "depth=3": [0.80, 0.81, 0.75, 0.83],
    "depth=4": [0.79, 0.80, 0.77, 0.84],
}


def table(numbered=False, column=False):
    """Rows in the order of a sweep: all configurations of a run, then the next run."""
    rows = [
        {"path_output": name + (f"_n={run:02}" if numbered else ""), "test_dice": values[run]}
        for run in range(4)
        for name, values in SCORES.items()
    ]
    rows = [row | ({"iteration": k // len(SCORES)} if column else {}) for k, row in enumerate(rows)]
    return pd.DataFrame(rows).assign(best_validation_dice=lambda t: -t["test_dice"] / 2)


@pytest.mark.parametrize("named_by", [{"numbered": True}, {"column": True}, {}])
def test_each_two_configurations(tmp_path, named_by):
    shuffled = table(**named_by).sample(frac=1, random_state=0) if named_by else table()
    out = tmp_path / "new" / "comparison.csv"
    details = compute_statistics(shuffled, 4, True, out).set_index(["first", "second"])
    assert len(details) == 3
    for (first, second), row in details.iterrows():
        a, b = SCORES[first], SCORES[second]
        assert row["difference"] == pytest.approx(np.mean(a) - np.mean(b))
        assert row["p_ttest"] == pytest.approx(stats.ttest_rel(a, b).pvalue)
    assert (details["p_ttest_holm"] >= details["p_ttest"]).all()
    matrix = pd.read_csv(out, index_col=0)
    assert sorted(matrix) == sorted(matrix.index) == sorted(SCORES)
    expected = stats.ttest_rel(SCORES["depth=2"], SCORES["depth=4"]).pvalue
    assert matrix.loc["depth=2", "depth=4"] == matrix.loc["depth=4", "depth=2"] == pytest.approx(expected)
    written = pd.read_csv(tmp_path / "new" / "comparison_details.csv")
    assert list(written["p_wilcoxon"]) == pytest.approx(list(details["p_wilcoxon"]))


def test_command_line(tmp_path, capsys):
    table().to_csv(tmp_path / "results.csv")
    out = tmp_path / "c.csv"
    arguments = ["-df", str(tmp_path / "results.csv"), "-n", "4", "-o", str(out)]
    assert main([*arguments, "--run_test"]) == 0
    first = pd.read_csv(out, index_col=0)
    text = capsys.readouterr().out
    assert "depth=3" in text
    assert "Wilcoxon" in text
    assert (
        main(arguments) == 0
    )  # the validation scores are proportional, so that nothing but the scale differs
    pd.testing.assert_frame_equal(first, pd.read_csv(out, index_col=0))


def test_a_run_that_failed_is_left_out_of_its_pairs(tmp_path, caplog):
    some = table(numbered=True).drop(index=4)  # the second run of depth=3
    details = compute_statistics(some, 4, True, tmp_path / "c.csv").set_index(["first", "second"])
    assert list(details["n"]) == [3, 4, 3]
    assert "depth=3: has 3 runs with a test_dice, expected 4" in caplog.text


def test_the_first_run_may_have_no_number(tmp_path):
    named = table(numbered=True).assign(path_output=lambda t: t["path_output"].str.removesuffix("_n=00"))
    details = compute_statistics(named.drop(index=4), 4, True, tmp_path / "c.csv")
    assert list(details["n"]) == [3, 4, 3]


def test_tables_of_2_9(tmp_path, capsys):
    old = table(numbered=True).assign(path_output=lambda t: "runs/out-" + t["path_output"])
    found = []
    for name, columns in (("new", {}), ("old", {"path_output": "log_directory"})):
        old.rename(columns=columns).to_csv(tmp_path / "temporary_results.csv")
        arguments = [
            "--dataframe",
            str(tmp_path / "temporary_results.csv"),
            "--n_iterations",
            "4",
            "--run_test",
        ]
        assert main([*arguments, "--output", str(tmp_path / f"{name}.csv")]) == 0
        found.append(pd.read_csv(tmp_path / f"{name}_details.csv"))
    pd.testing.assert_frame_equal(*found)
    assert set(found[0]["first"]) == {"runs/out-depth=2", "runs/out-depth=3"}
    assert "runs/out-depth=4" in capsys.readouterr().out


@pytest.mark.real_data
def test_results_of_2_9(real_data, tmp_path, capsys):
    results = str(real_data / "data_functional_testing" / "temporary_results.csv")
    for run_test in ([], ["--run_test"]):
        assert main(["-df", results, "-n", "1", *run_test, "-o", str(tmp_path / "c.csv")]) == 0
        assert capsys.readouterr().out == "Nothing to compare.\n"
        assert list(pd.read_csv(tmp_path / "c.csv", index_col=0)) == ["testing_script-batch_size=2"]


def test_one_configuration_is_no_error(tmp_path, caplog):
    one = pd.DataFrame({"path_output": ["a"], "test_dice": [0.5]})
    assert compute_statistics(one, 1, True, tmp_path / "c.csv").empty
    assert "nothing to compare" in caplog.text
    assert pd.read_csv(tmp_path / "c.csv", index_col=0).shape == (1, 1)


def test_errors_are_one_line(tmp_path, capsys):
    def error_of(frame, *arguments):
        frame.to_csv(tmp_path / "t.csv")
        code = main(["-df", str(tmp_path / "t.csv"), "-n", "4", "-o", str(tmp_path / "c.csv"), *arguments])
        assert code == 1
        [line] = capsys.readouterr().err.strip().splitlines()
        return line

    assert "cannot be paired" in error_of(table().drop(index=4), "--run-test")
    assert "test_dice is written with --run-test" in error_of(table()[["path_output"]], "--run-test")
    twice = pd.concat([table(numbered=True)] * 2)
    assert "run 0 occurs twice" in error_of(twice, "--run-test")
    assert "expected at least 1" in error_of(table(), "-n", "0")
    assert main(["-df", str(tmp_path / "absent.csv"), "-n", "1"]) == 1
    assert "absent.csv: not a readable table" in capsys.readouterr().err
    assert not (tmp_path / "c.csv").exists()
