"""Runs beside each other, read from folders as a run leaves them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from torch.utils.tensorboard import SummaryWriter

from ivadomed.errors import DataError
from ivadomed.evaluation.cross_validation import FOLDER
from ivadomed.evaluation.dataset import RESULT_FILE
from ivadomed.evaluation.paired import compare_paired
from ivadomed.report.comparison import compare, render_comparison, verdict_text, write_comparison
from ivadomed.report.runs import open_runs, subject_of
from ivadomed.scripts.report import main
from testing.unit_tests.report.test_page import Page

SUBJECTS = [f"sub-{k:02d}" for k in range(10)]
GAINS = np.array([0.02, 0.03, 0.01, 0.04, 0.02, 0.03, 0.02, 0.01, -0.01, 0.05])
BASE = np.linspace(0.7, 0.9, 10)


def write_table(folder: Path, columns: dict, images=None) -> None:
    images = [f"{subject}_T1w" for subject in SUBJECTS] if images is None else images
    file = folder / RESULT_FILE
    file.parent.mkdir(parents=True, exist_ok=True)
    pd.DataFrame(columns, index=pd.Index(images, name="image_id")).to_csv(file)


def make_run(folder: Path, columns: dict, suffixes=("_seg-cord",), images=None, epochs=5, **settings) -> Path:
    write_table(folder, columns, images)
    config = {"loader_parameters": {"target_suffix": list(suffixes)}, "path_output": str(folder), **settings}
    (folder / "config_file.json").write_text(json.dumps(config))
    for name in ("train_loss", "val_loss"):
        with SummaryWriter(str(folder / f"losses_{name}")) as writer:
            for epoch in range(1, epochs + 1):
                writer.add_scalar("losses", 1 / epoch, epoch)
    return folder


@pytest.fixture
def runs(tmp_path) -> list[Path]:
    """Two runs; the second is better for nine of ten subjects."""
    first = make_run(tmp_path / "first", {"dice_class0": BASE, "hd95_class0": 5.0}, depth=2)
    second = make_run(tmp_path / "<second>", {"dice_class0": BASE + GAINS, "hd95_class0": 4.0}, depth=3)
    return [first, second]


def test_differences_are_paired_by_subject(runs):
    comparison = compare(open_runs(runs))
    [row] = comparison.main.pairs.to_dict("records")
    expected = compare_paired(BASE + GAINS, BASE)
    assert (row["first"], row["second"], row["n"]) == ("<second>", "first", 10)
    assert row["difference"] == pytest.approx(GAINS.mean())
    assert row["p_wilcoxon"] == pytest.approx(expected.p_wilcoxon)
    text = verdict_text(comparison)
    assert text.startswith(
        "<second> has the highest mean Dice, 0.822 over 10 subjects: 0.022 above first (95 % conf"
    )
    assert "more than chance. Against first, 9 of 10 subjects gain and sub-08 loses most (-0.010); " in text
    assert text.endswith("; both trainings were too short to tell.")


def test_several_images_of_a_subject_count_once(tmp_path):
    images = [f"sub-{k // 2}_acq-{k % 2}_T1w" for k in range(8)]
    dice = np.linspace(0.5, 0.9, 8)
    a = make_run(tmp_path / "a", {"dice_class0": dice}, images=images)
    b = make_run(tmp_path / "b", {"dice_class0": dice + [0.02, 0.04] * 4}, images=images)
    main_metric = compare(open_runs([a, b])).main
    assert list(main_metric.values.index) == ["sub-0", "sub-1", "sub-2", "sub-3"]
    assert main_metric.pairs["difference"].item() == pytest.approx(0.03)
    assert subject_of("img_12") == "img_12"


def test_images_and_classes_that_not_all_have_are_left_out_and_told(tmp_path):
    images = [f"{subject}_T1w" for subject in SUBJECTS]
    a = make_run(tmp_path / "a", {"dice_class0": BASE, "dice_class1": BASE / 2}, ("_seg-cord", "_seg-lesion"))
    b = make_run(tmp_path / "b", {"dice_class0": BASE[:7] / 2}, ("_seg-lesion",), images[:7])
    comparison = compare(open_runs([a, b]))
    assert comparison.main.class_name == "seg-lesion"
    assert comparison.main.pairs["difference"].item() == 0
    assert comparison.notes == [
        "a: 3 of 10 images are left out, because not every run was tested on them "
        "(sub-07_T1w, sub-08_T1w, sub-09_T1w).",
        "Classes left out, because not every run has them: seg-cord.",
    ]


def test_an_image_without_a_value_in_one_run_is_left_out_of_all(tmp_path):
    holes = BASE.copy()
    holes[2] = np.nan
    a = make_run(tmp_path / "a", {"dice_class0": BASE})
    b = make_run(tmp_path / "b", {"dice_class0": holes})
    main_metric = compare(open_runs([a, b])).main
    assert (len(main_metric.values), main_metric.undefined) == (9, 1)
    assert main_metric.values["a"].mean() == main_metric.values["b"].mean()
    none = make_run(tmp_path / "none", {"dice_class0": np.nan})
    empty = compare(open_runs([a, none]))
    assert verdict_text(empty).startswith("Dice is undefined for all images.")
    Page(render_comparison(empty, tmp_path))


def test_few_subjects_are_no_evidence(tmp_path):
    images = ["sub-1_T1w", "sub-2_T1w"]
    a = make_run(tmp_path / "a", {"dice_class0": [0.5, 0.6]}, images=images)
    b = make_run(tmp_path / "b", {"dice_class0": [0.6, 0.8]}, images=images)
    assert "; too few subjects to tell this from chance. Against a, 2 of 2" in verdict_text(
        compare(open_runs([a, b]))
    )
    one = [make_run(tmp_path / name, {"dice_class0": [0.5]}, images=images[:1]) for name in ("c", "d")]
    text = verdict_text(compare(open_runs(one)))
    assert "0.500 over 1 subject: 0.000 above d" in text
    assert text.endswith("too few subjects to tell this from chance. Both trainings were too short to tell.")


def test_of_three_runs_each_two_are_compared(runs, tmp_path):
    third = make_run(tmp_path / "third", {"dice_class0": BASE + GAINS / 2, "hd95_class0": 4.5})
    comparison = compare(open_runs([*runs, third]))
    pairs = list(comparison.main.pairs[["first", "second"]].itertuples(index=False, name=None))
    assert pairs == [("<second>", "first"), ("third", "first"), ("third", "<second>")]
    assert (comparison.main.pairs["p_wilcoxon_holm"] >= comparison.main.pairs["p_wilcoxon"]).all()
    assert "0.022 above first" in verdict_text(comparison)
    assert "0.011 above third" in verdict_text(comparison)


def test_the_page_and_its_table(runs, tmp_path):
    page = write_comparison(compare(open_runs(runs)), tmp_path / "out" / "both.html")
    parsed = Page(page.read_text(encoding="utf-8"))
    assert parsed.text["h1"] == ["Comparison of first, <second>"]
    titles = parsed.text["title"]
    assert "sub-08: -0.01" in titles
    curves = [line["data-name"] for line in parsed.all("polyline")]
    assert curves == ["first, Training", "first, Validation", "<second>, Training", "<second>, Validation"]
    settings = [cell for cell in parsed.text["code"] if cell != "summary.csv"]
    assert settings == ["depth"]
    table = pd.read_csv(page.with_suffix(".csv"))
    assert list(table["metric"]) == ["dice", "hd95"]
    assert table["difference"].tolist() == pytest.approx([0.022, -1])


def make_folds(folder: Path, dice) -> Path:
    write_table(folder / FOLDER, {"dice_class0": dice})
    (folder / "config_file.json").write_text('{"loader_parameters": {"target_suffix": ["_seg-cord"]}}')
    for k in range(2):
        make_run(folder / f"fold_{k}", {"dice_class0": dice}, epochs=3 + k)
    return folder


def test_runs_of_folds_are_compared_by_their_cross_validation(tmp_path):
    folders = [make_folds(tmp_path / "a", BASE), make_folds(tmp_path / "b", BASE + GAINS)]
    found = open_runs(folders)
    assert all(run.is_cross_validation for run in found)
    [validation] = [curve for curve in found[0].curves if curve.name == "val_loss"]
    assert validation.points == ((1, 1.0), (2, 0.5), (3, pytest.approx(1 / 3)))
    text = verdict_text(compare(found))
    assert text.endswith("all 4 trainings were too short to tell.")
    with pytest.raises(DataError, match="--cross-validation"):
        open_runs(folders, cross_validation=False)


def test_a_folder_of_auto_stands_for_the_candidate_that_it_chose(tmp_path):
    auto = tmp_path / "auto"
    make_folds(auto / "2d", BASE)
    make_folds(auto / "3d", BASE + GAINS)
    with pytest.raises(DataError, match=r"holds 2 runs \(2d, 3d\)"):
        open_runs([auto, auto / "2d"])
    (auto / "candidates.csv").write_text("candidate,score,chosen\n3d,0.9,True\n2d,0.8,False\n")
    names = [run.folder.name for run in open_runs([auto, auto / "2d"])]
    assert names == ["3d", "2d"]


def test_names_tell_runs_apart(tmp_path):
    folders = [make_run(tmp_path / name / "run", {"dice_class0": BASE}) for name in ("a", "b")]
    assert [run.name for run in open_runs(folders)] == ["a/run", "b/run"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["one"], "is a single run"),
        (["one", "absent"], "no such folder"),
        (["one", "bare"], "run ivadomed --test"),
        (["one", "one"], "was given twice"),
        (["one", "elsewhere"], "share no test image"),
        (["one", "other"], "no class in common"),
        (["one", "elsewhere", "-o", "page.pdf"], "expected the name of a page"),
    ],
)
def test_what_cannot_be_compared_is_said(tmp_path, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(tmp_path)
    make_run(tmp_path / "one", {"dice_class0": BASE})
    make_run(tmp_path / "elsewhere", {"dice_class0": [0.5]}, images=["sub-99_T1w"])
    make_run(tmp_path / "other", {"dice_class0": BASE}, ["_seg-lesion"])
    (tmp_path / "bare").mkdir()
    assert main(arguments) != 0
    assert message in capsys.readouterr().err
    assert not (tmp_path / "compare.html").exists()


def test_a_run_without_a_configuration_has_numbered_classes(tmp_path):
    for name in ("a", "b"):
        write_table(tmp_path / name, {"dice_class0": BASE, "dice_class1": BASE})
    comparison = compare(open_runs([tmp_path / "a", tmp_path / "b"]))
    assert [found.class_name for found in comparison.metrics] == ["", "class 0", "class 1"]
    assert main([str(tmp_path / "a"), str(tmp_path / "b"), "-o", str(tmp_path / "compare.html")]) == 0
