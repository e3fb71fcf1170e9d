"""A row fails when it should, and a failed row is an error of the whole check."""

import json
import math

import pytest
import torch


@pytest.fixture
def rows(module):
    return module("rows")


@pytest.mark.parametrize(
    ("value", "status"), [(0.5, "ok"), (1.0, "ok"), (1.01, "FAIL"), (math.inf, "FAIL"), (math.nan, "FAIL")]
)
def test_a_value_above_its_limit_fails_and_so_does_what_is_not_a_number(rows, value, status):
    assert rows.within("part", "what", value, 1.0).status == status


def test_figures_over_their_goal_are_marked(rows):
    statuses = [rows.goal("part", "what", value, 1.1).status for value in (1.1, 1.2, math.nan)]
    assert statuses == ["ok", "over its goal", "over its goal"]


def test_only_failed_checks_are_an_error(rows):
    ok, fails = rows.holds("p", "a", True, "x", "x"), rows.holds("p", "b", False, "y", "x")
    over, skipped = rows.goal("p", "c", 2.0, 1.0), rows.skipped("p", "d", "no GPU")
    assert rows.exit_code([ok, over, skipped, rows.stated("p", "e", "found")]) == 0
    assert rows.exit_code([ok, fails]) == 1
    assert rows.exit_code([skipped]) == 1  # nothing was checked
    assert rows.exit_code([]) == 1
    assert rows.exit_code([ok, rows.broken("p", ValueError("a fault"))]) == 1


def test_the_table_says_why(rows):
    table = rows.table([rows.skipped("p", "what", "no GPU"), rows.within("p", "other", 0.12345, 1)])
    assert table.splitlines()[0].split() == ["part", "what", "value", "limit", "result"]
    assert "skipped: no GPU" in table
    assert "0.123  1      ok" in table


def test_distances_are_relative_and_see_what_is_not_a_number(module):
    distance = module("setting").distance
    expected = torch.tensor([3.0, 4.0])
    assert distance(torch.tensor([3.0, 4.5]), expected) == pytest.approx(0.1)
    assert math.isnan(distance(torch.tensor([3.0, math.nan]), expected))


@pytest.mark.parametrize("how", ["a value above its limit", "an error"])
def test_a_broken_check_ends_with_an_error(module, monkeypatch, tmp_path, capsys, how):
    check, rows = module("check"), module("rows")

    def part(setting):
        yield rows.within("part", "first", 0, 1)
        if how == "an error":
            raise RuntimeError("a kernel is missing\nmuch more")
        yield rows.within("part", "second", 2, 1)

    monkeypatch.setattr(check, "PARTS", {"part": part})
    output = tmp_path / "gpu_check.json"
    assert check.main(["--device", "cpu", "--quick", "-o", str(output)]) == 1
    content = json.loads(output.read_text())
    assert not content["passed"]
    assert [row["status"] for row in content["rows"]] == ["ok", "FAIL", "stated"]
    assert ("a kernel is missing" in capsys.readouterr().out) == (how == "an error")


def test_a_device_that_is_not_there(module, monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert module("check").main(["--quick"]) == 2
    assert "--device cuda: this machine has none" in capsys.readouterr().err
