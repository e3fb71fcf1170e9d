"""What a page shows beside an evaluation, from the files in the folder of a run."""

from __future__ import annotations

import dataclasses
import json
import os

import pandas as pd
import pytest

from ivadomed.evaluation import PredictionPair, summarize
from ivadomed.evaluation.cross_validation import FOLDER, fold_means, folds_text
from ivadomed.report import Curve
from ivadomed.report.page import render
from ivadomed.report.run_tables import read_run_tables
from testing.unit_tests.report.test_page import Page

SPLITS = [
    {"train": [], "valid": ["sub-1_T1w.nii.gz", "sub-2_T1w.nii.gz"], "test": []},
    {"train": [], "valid": ["sub-3_T1w.nii.gz"], "test": []},
]
TRIED = """\
step,class,value,metric,subjects,without,with,difference,ci95_low,ci95_high,unseen,unseen_error,kept
binarize_prediction,,0.4,dice,6,0.8,0.7,-0.1,-0.2,0.0,,,False
binarize_prediction,,0.6,dice,6,0.8,0.9,0.1,0.05,0.15,0.09,0.01,True
remove_small,_seg,10 vox,dice,6,0.9,0.95,0.05,0.01,0.09,0.04,0.01,True
all together,,,dice,6,0.8,0.95,0.15,0.1,0.2,,,True
"""


@pytest.fixture
def run(tmp_path):
    """Folder of a run with a cross-validation, an ensemble of two models and candidates."""
    folder = tmp_path / "auto" / "2d"
    results = folder / FOLDER / "results_eval"
    results.mkdir(parents=True)
    images = ["sub-1_T1w", "sub-2_T1w", "sub-3_T1w"]
    table = pd.DataFrame({"dice_class0": [0.9, 0.7, 0.5]}, index=pd.Index(images, name="image_id"))
    table.to_csv(results / "evaluation_3Dmetrics.csv")
    pairs = [PredictionPair(image, (), (), subject=image[:5]) for image in images]
    summarize(table, pairs).to_csv(results / "summary.csv", index=False)
    (folder / "splits.json").write_text(json.dumps(SPLITS))
    (folder / FOLDER / "postprocessing.csv").write_text(TRIED)
    package = folder / "seg"
    package.mkdir()
    members = [{"model": "one"}, {"model": "two", "config": {"HeMISUnet": {"applied": True}}}]
    settings = {"default_model": {"name": "Unet"}, "ensemble": members}
    (package / "seg.json").write_text(json.dumps(settings))
    for number in range(2):
        (package / f"seg_{number}.pt").touch()
    (tmp_path / "auto" / "candidates.csv").write_text(
        "candidate,minutes,epochs,score,chosen,reason\n2d,12,30,0.88,True,the best\n3d,12,,0.87,False,<behind>\n"
    )
    return folder


def test_means_of_folds_by_hand(run):
    table = pd.DataFrame(
        {"dice_class0": [0.9, 0.7, 0.5], "hd_class0": [1.0, 2, 3]},
        index=["sub-1_T1w", "sub-2_T1w", "sub-3_T1w"],
    )
    means = fold_means(table, SPLITS)
    assert means.to_dict("list") == {"images": [2, 1], "dice_class0": [pytest.approx(0.8), 0.5]}
    assert folds_text(means).splitlines()[1].split() == ["0", "2", "0.800"]
    assert fold_means(table.iloc[2:], SPLITS).index.tolist() == [1]


def test_the_page_of_a_test_set_shows_what_the_run_has(report, run):
    tables = read_run_tables(run, "seg")
    page = Page(render(dataclasses.replace(report, tables=tables)))
    assert [e["id"] for e in page.all("section")] == [
        "summary",
        "folds",
        "worst",
        "all",
        "distributions",
        "training",
        "postprocessing",
        "members",
        "candidates",
        "configuration",
        "versions",
    ]
    assert "../cross_validation/results_eval/report.html" in [link["href"] for link in page.all("a")]
    assert tables.cross_validation is not None
    assert tables.cross_validation.worst[0] == ("sub-3_T1w", 0.5)
    cells = page.text["td"]
    assert cells.count("remove_small 10 vox of _seg") == 2
    assert cells.count("binarize_prediction 0.4") == 1  # only among all that was tried
    assert {"seg_0", "two", "HeMISUnet", "<behind>", "+0.0900"} <= set(cells)
    assert "nan" not in cells


def test_the_page_of_a_cross_validation_has_its_folds(report, run):
    tables = read_run_tables(run / FOLDER, "seg")
    assert tables.cross_validation is not None
    assert tables.cross_validation.page == ""
    assert tables.candidates["candidate"].tolist() == ["2d", "3d"]
    section = (
        render(dataclasses.replace(report, tables=tables))
        .split('<section id="folds">')[1]
        .split("</section>")[0]
    )
    assert "<td>1</td><td>1</td><td>0.5</td>" in section


def test_a_run_that_has_nothing_else(tmp_path):
    tables = read_run_tables(tmp_path, "seg")
    assert tables.cross_validation is None
    assert tables.postprocessing.empty
    assert tables.members == ()
    assert tables.candidates.empty


def test_tables_of_an_earlier_model_and_damaged_ones_are_left_out(tmp_path):
    file = tmp_path / "postprocessing.csv"
    file.write_text(TRIED)
    assert len(read_run_tables(tmp_path, "seg").postprocessing) == 4
    (tmp_path / "best_model.pt").touch()
    os.utime(file, (1, 1))
    assert read_run_tables(tmp_path, "seg").postprocessing.empty
    (tmp_path / "candidates.csv").write_text("")
    assert read_run_tables(tmp_path, "seg").candidates.empty


def test_curves_of_folds_share_a_chart(report):
    curves = [Curve("Validation/Metrics", "dice_score", ((1, 0.5), (2, 0.6)), f"fold_{k}") for k in range(2)]
    page = Page(render(dataclasses.replace(report, curves=curves)))
    assert len(page.all("polyline")) == 2
    assert "Dice coefficient" in page.text["figcaption"]
    assert "fold_1: last 0.6" in page.text["span"]
