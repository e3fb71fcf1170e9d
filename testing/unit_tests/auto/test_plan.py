"""The file of the plan: written, changed by a user, read, and compared with what is asked for."""

import json
from dataclasses import replace

import pytest

from ivadomed.auto.folder import PLAN, candidate_file, refuse_useless
from ivadomed.auto.plan import Plan, read_plan
from ivadomed.errors import ConfigError, DataError, OutputError

PLANNED = Plan(
    path_data=("/data",),
    target_suffix=("_seg",),
    contrasts=(),
    hours=2.0,
    machine="CPU with 8 GB free",
    at_once=1,
    lesions=(),
    least_minutes={"3d": 10.0, "2d": 5.0},
    candidates=("3d", "2d"),
    n_folds=5,
    minutes=17.5,
    reason="why",
    left_out={"3d_cascade": "it needs another one"},
)


def test_the_plan_in_words():
    steps, *others = replace(PLANNED, pair=True).lines()
    assert "the rest of the 5 folds of the better one, or of two that are better together" in steps
    assert "2 h 55 min of 2 h" in steps  # ten trainings
    assert others == ["why", "left out: 3d_cascade; it needs another one"]


@pytest.fixture
def folder(tmp_path):
    for name in ("3d", "2d"):
        file = candidate_file(tmp_path, name)
        file.parent.mkdir(exist_ok=True)
        file.write_text("{}")
    PLANNED.write(tmp_path)
    return tmp_path


def test_a_plan_is_read_as_it_was_written(folder):
    assert read_plan(folder) == PLANNED
    assert read_plan(folder / "elsewhere") is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"candidates": ["4d"]}, r"candidates: '4d', but there is no .*4d.json"),
        ({"n_folds": 1}, "n_folds: 1; expected 0, or 2 or more"),
        ({"n_folds": 0}, "n_folds: 0; comparing candidates requires 2"),
        ({"pair": 1}, "pair: 1; expected true or false"),
        ({"pair": True, "candidates": ["3d"]}, "pair: true; a pair requires 2 or more"),
        ({"minutes": True}, "minutes: True; expected a number above 0"),
        ({"minute": 3}, "minute: is not known"),
    ],
)
def test_a_changed_plan_that_cannot_be(folder, change, message):
    content = json.loads((folder / PLAN).read_text())
    (folder / PLAN).write_text(json.dumps(content | change))
    with pytest.raises(ConfigError, match=f"auto.json: {message}"):
        read_plan(folder)


def test_the_same_command_fits_and_another_does_not(folder):
    PLANNED.check(folder, ["/data"], 2.0, ["_seg"], [])
    PLANNED.check(folder, [], None, [], [])
    with pytest.raises(ConfigError, match=r"--hours: 3, but .*auto.json has 2"):
        PLANNED.check(folder, [], 3.0, [], [])
    with pytest.raises(ConfigError, match="--path-data: /other, but"):
        PLANNED.check(folder, ["/other"], None, [], [])


def test_settings_of_a_candidate(folder):
    settings = PLANNED.settings(folder, "3d")
    assert settings["split_dataset"] == {"n_folds": 5, "fold": "all"}
    assert settings["training_parameters"] == {"training_time": {"max_minutes": 17.5}}
    one = replace(PLANNED, candidates=("3d",), n_folds=0).settings(folder, "3d")
    assert one["split_dataset"] == {"n_folds": None, "fold": 0}


def test_what_is_seen_at_once(folder, tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").touch()
    refuse_useless(str(folder), [], None)
    with pytest.raises(OutputError, match="holds something else"):
        refuse_useless(str(tmp_path / "full"), ["x"], None)
    with pytest.raises(ConfigError, match="add --path-data"):
        refuse_useless(str(tmp_path / "new"), [], None)
    with pytest.raises(DataError, match="no such folder"):
        refuse_useless(str(tmp_path / "new"), [str(tmp_path / "nowhere")], None)
    with pytest.raises(ConfigError, match="--hours: 0"):
        refuse_useless(str(tmp_path / "new"), [str(folder)], 0.0)
