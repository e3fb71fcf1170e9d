"""The search for hyperparameters: its space, its study, and runs that are ended early."""

import sys

import pytest

from ivadomed.errors import ConfigError
from ivadomed.jobs import ResultStore
from ivadomed.sweep import search
from ivadomed.sweep.search import Draw, Range, SearchRun, get_space, open_study, options_of_trial, suggest

optuna = pytest.importorskip("optuna")

SPACE = {("a", "rate"): Range(0.1, 0.9), ("depth",): (2, 3)}


def test_space_of_a_parameter_file():
    assert get_space(
        {"a": {"rate": {"low": 0.1, "high": 1, "log": True}, "loss": [{"name": "DiceLoss"}]}, "depth": [2, 3]}
    ) == {
        ("a", "rate"): Range(0.1, 1, log=True),
        ("a", "loss"): ({"name": "DiceLoss"},),
        ("depth",): (2, 3),
    }


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"low": 2, "high": 1}, "low must be less than high"),
        ({"low": 0, "high": 1, "log": True}, '"log" needs low > 0'),
        ({"low": "a", "high": 1}, "are numbers"),
        (3, "expected a list of values or a range"),
        ([], "expected a list of values or a range"),
    ],
)
def test_space_that_cannot_be_used_is_an_error(value, message):
    with pytest.raises(ConfigError, match=rf"a\.rate: .*{message}"):
        get_space({"a": {"rate": value}})


def draw(study):
    trial = study.ask()
    return trial, [suggest(trial, ".".join(path), values) for path, values in SPACE.items()]


def test_values_come_from_the_space_and_can_be_read_again(tmp_path):
    study = open_study(tmp_path / "study", SPACE, "random", seed=0)
    for _ in range(20):
        trial, (rate, depth) = draw(study)
        assert 0.1 <= rate <= 0.9
        assert rate == float(f"{rate:.3g}")
        assert depth in (2, 3)
        study.tell(trial, 1.0)
        options = options_of_trial(study.trials[-1], SPACE)
        assert [option.base_option for option in options] == [rate, depth]


def test_interrupted_trial_is_drawn_again_first(tmp_path):
    _, values = draw(open_study(tmp_path / "study", SPACE, "tpe", seed=0))
    again = open_study(tmp_path / "study", SPACE, "tpe", seed=0)
    assert draw(again)[1] == values
    assert draw(again)[1] != values
    assert not search._finished(again)


def test_study_of_another_space_is_an_error(tmp_path):
    open_study(tmp_path / "study", SPACE, "tpe", seed=0)
    with pytest.raises(ConfigError, match="is a study of other values"):
        open_study(tmp_path / "study", {**SPACE, ("depth",): (2, 4)}, "tpe", seed=0)


def test_without_optuna_the_error_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(ConfigError, match=r"pip install 'ivadomed\[search\]'"):
        open_study(tmp_path / "study", SPACE, "tpe", seed=0)


def test_run_that_falls_behind_is_ended_early_and_told_so(tmp_path, member, monkeypatch):
    """Five runs reach -0.9; the sixth stays at 0 and is ended after its warm-up of three epochs."""
    epochs = []

    def train(member, on_epoch):
        good = member.name != "bad"
        for epoch in range(1, 11):
            epochs.append((member.name, epoch))
            on_epoch(epoch, -0.9 if good else 0.0)
        return {"best_validation_loss": -0.9}

    monkeypatch.setattr(search, "train_member", train)
    study = open_study(tmp_path / "study", SPACE, "random", seed=0)
    run = SearchRun(ResultStore(tmp_path / "jobs"), tmp_path / "study")
    for name in (*"12345", "bad"):
        results = run(Draw(member(name), draw(study)[0]._trial_id))
    assert results["state"] == "pruned"
    assert results["best_validation_loss"] == 0
    assert [epoch for name, epoch in epochs if name == "bad"] == [1, 2, 3]
    states = [trial.state.name for trial in study.trials]
    assert states == ["COMPLETE"] * 5 + ["PRUNED"]


def test_run_that_fails_is_told_to_the_study(tmp_path, member, monkeypatch):
    monkeypatch.setattr(search, "train_member", lambda member, on_epoch: 1 / 0)
    study = open_study(tmp_path / "study", SPACE, "random", seed=0)
    with pytest.raises(ZeroDivisionError):
        SearchRun(ResultStore(tmp_path / "jobs"), tmp_path / "study")(
            Draw(member("a"), draw(study)[0]._trial_id)
        )
    assert [trial.state.name for trial in study.trials] == ["FAIL"]
    assert "ZeroDivisionError" in (member("a").folder / "log").read_text()
