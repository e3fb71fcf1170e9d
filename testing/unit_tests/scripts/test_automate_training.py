"""``ivadomed_automate_training``: what its options ask of a sweep."""

import json

import pytest

from ivadomed.scripts import automate_training
from ivadomed.sweep import run


@pytest.fixture
def files(tmp_path):
    """Options that name a configuration and values to compare."""
    config = {"path_output": str(tmp_path / "out"), "loader_parameters": {"path_data": ["data"]}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "hyper.json").write_text('{"training_parameters": {"batch_size": [2, 4]}}')
    return ["-c", str(tmp_path / "config.json"), "-ch", str(tmp_path / "hyper.json")]


@pytest.fixture
def planned(monkeypatch):
    """Folders of the members of each sweep that is asked for; none is run."""
    found = []

    def run_jobs(_, members, *__):
        found.append([member.folder.name for member in members])
        return iter(())

    monkeypatch.setattr(run, "run_jobs", run_jobs)
    return found


def test_folders_are_named_after_their_values(files, planned, tmp_path):
    assert automate_training.main([*files, "-n", "2"]) == 0
    assert planned == [
        ["out-batch_size=2", "out-batch_size=4", "out-batch_size=2_n=01", "out-batch_size=4_n=01"]
    ]
    assert (tmp_path / "out" / "average_eval.csv").is_file()


def test_all_combinations_win_over_parameters_together(files, planned, tmp_path, caplog):
    values = {"training_parameters": {"batch_size": [2, 4]}, "default_model": {"depth": [1, 2]}}
    (tmp_path / "hyper.json").write_text(json.dumps(values))
    assert automate_training.main([*files, "--all-combin", "--multi-params"]) == 0
    assert "--multi-params has no effect" in caplog.text
    assert automate_training.main([*files, "--all_combin"]) == 0
    assert automate_training.main([*files, "-m"]) == 0
    combined = [f"out-batch_size={size},depth={depth}" for size in (2, 4) for depth in (1, 2)]
    assert planned == [combined, combined, [combined[0], combined[3]]]


@pytest.mark.parametrize("option", ["--all-combin", "--multi-params"])
def test_a_search_draws_values_itself(files, capsys, option):
    assert automate_training.main([*files, "--search", "random", option]) == 1
    assert "leave out --all-combin and --multi-params" in capsys.readouterr().err


def test_a_plot_of_tests_needs_tests(files, planned, caplog):
    assert automate_training.main([*files, "--plot_comparison"]) == 0
    assert "pass --run-test too" in caplog.text
