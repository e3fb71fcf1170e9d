"""``ivadomed_visualize_and_compare_testing_models`` on tables of runs, without a display."""

from types import SimpleNamespace

import imageio.v3 as iio
import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from scipy import stats

from ivadomed.scripts.visualize_and_compare_testing_models import main, onclick, visualize_and_compare_models
from ivadomed.visualize.violins import output_of

IMAGES = [f"sub-{k:02}_{contrast}" for k in range(6) for contrast in ("T1w", "T2w")]


@pytest.fixture(autouse=True)
def _without_display():
    before = mpl.get_backend()
    plt.switch_backend("agg")
    yield
    plt.switch_backend(before)


@pytest.fixture
def run(tmp_path):
    def make(name, shift=0.0, images=IMAGES):
        rng = np.random.default_rng(len(name))
        values = np.linspace(0.6, 0.8, len(images)) + shift + rng.normal(0, 0.01, len(images))
        folder = tmp_path / name
        (folder / "results_eval").mkdir(parents=True)
        table = pd.DataFrame({"image_id": images, "dice_class0": values, "hd_class0": np.nan})
        table.to_csv(folder / "results_eval" / "evaluation_3Dmetrics.csv", index=False)
        pathology = ["MS" if int(name[4:6]) % 3 else "" for name in images]
        frame = pd.DataFrame({"filename": [f"{name}.nii.gz" for name in images], "pathology": pathology})
        frame.to_csv(folder / "bids_dataframe.csv")
        return folder

    return make


def test_two_models_are_compared_image_by_image(run, tmp_path, capsys):
    a, b = run("aa"), run("bbb", 0.05, IMAGES[2:])
    out = tmp_path / "new" / "plot.png"
    assert main(["--ofolders", str(a), str(b), "-o", str(out)]) == 0
    text = capsys.readouterr().out
    assert "aa - bbb: mean -0.0" in text
    assert text.endswith(f"{out}\n")
    assert iio.imread(out).std() > 20
    [row] = visualize_and_compare_models([a, b], output=out).to_dict("records")
    values = [pd.read_csv(f / "results_eval" / "evaluation_3Dmetrics.csv")["dice_class0"] for f in (a, b)]
    assert row["n"] == 10
    assert row["p_wilcoxon"] == pytest.approx(stats.wilcoxon(values[0][2:], values[1]).pvalue)
    assert not plt.get_fignums()


def test_metadata_tells_violins_apart_or_chooses_images(run, tmp_path, monkeypatch):
    drawn = []

    def keep(self, *args, **kwargs):
        drawn.append([label.get_text() for label in self.axes[0].get_xticklabels()])

    folder = run("model")
    monkeypatch.chdir(tmp_path)
    visualize_and_compare_models([folder], metadata=["pathology"])
    assert iio.imread(tmp_path / "comparison_dice_class0.png").ndim == 3
    monkeypatch.setattr("matplotlib.figure.Figure.savefig", keep)
    visualize_and_compare_models([folder], metadata=["pathology"])
    visualize_and_compare_models([folder], metadata=["pathology", "MS"])
    visualize_and_compare_models([folder, run("model2")])
    assert drawn == [
        ["model\nMS\nn = 8", "model\nn/a\nn = 4"],
        ["model\nn = 8"],
        ["A: model\nn = 12", "B: model2\nn = 12"],
    ]


def test_runs_of_one_name_and_a_single_image(run, tmp_path):
    a, b = run("x/run", images=IMAGES[:1]), run("yy/run", images=IMAGES[:1])
    [row] = visualize_and_compare_models([a, b], output=tmp_path / "p.png").to_dict("records")
    assert (row["first"], row["second"], row["n"]) == (str(a), str(b), 1)


def test_a_click_shows_the_image_of_a_point():
    figure, axes = plt.subplots()
    points = axes.scatter([0, 1, 1], [0.5, 0.6, 0.6])
    table = pd.DataFrame(
        {"image_id": ["a", "b", "c"], "EvaluationModel": ["m", "n", "n"], "value": [0.5, 0.6, 0.6]}
    )
    onclick(SimpleNamespace(artist=points, ind=np.array([0])), table)
    assert [text.get_text() for text in axes.texts] == ["a (m): 0.5"]
    onclick(SimpleNamespace(artist=points, ind=np.array([1, 2])), table)
    [note] = axes.texts
    assert note.get_text() == "b (n): 0.6\nc (n): 0.6"
    assert note.xy == (1, 0.6)
    plt.close(figure)


def test_with_a_display_a_window_is_opened(run, monkeypatch):
    shown = []
    monkeypatch.setattr(plt, "get_backend", lambda: "TkAgg")
    monkeypatch.setattr(plt, "show", lambda: shown.append(plt.gcf()))
    assert output_of("dice", None) is None
    folder = run("model")
    visualize_and_compare_models([folder])
    [figure] = shown
    assert figure.axes[0].collections[-1].get_picker()
    assert not list(folder.parent.glob("*.png"))


def test_errors_are_one_line(run, tmp_path, capsys):
    folder = run("model")
    for arguments, message in (
        (["--metric", "dice"], "has no column dice; it has dice_class0, hd_class0"),
        (["--metric", "hd_class0"], "is not defined for any image"),
        (["--metadata", "sex"], "--metadata sex: not in"),
        (["--metadata", "pathology", "HC"], "no image has it; there are MS"),
        (["--metadata", "pathology", "MS", "HC"], "expected a column, or a column and a value"),
        (["--ofolders", str(tmp_path)], "run ivadomed --test first"),
    ):
        assert main(["--ofolders", str(folder), "-o", str(tmp_path / "p.png"), *arguments]) == 1
        [line] = capsys.readouterr().err.strip().splitlines()
        assert message in line
    assert not (tmp_path / "p.png").exists()
