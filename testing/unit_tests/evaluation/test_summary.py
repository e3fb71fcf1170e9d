"""Means, their confidence intervals, and the text for the terminal."""

import numpy as np
import pandas as pd
import pytest

from ivadomed.evaluation import PredictionPair, summarize, summary_text, write_summary
from ivadomed.evaluation.summary import bootstrap_intervals, by_class, in_words, split_column


def pair(image_id: str) -> PredictionPair:
    subject, contrast = image_id.split("_")
    return PredictionPair(image_id, (), (), subject=subject, contrast=contrast)


def table_of(columns: dict[str, list[float]]) -> pd.DataFrame:
    images = [f"sub-{i}_{contrast}" for i in (1, 2) for contrast in ("T1w", "T2w")]
    return pd.DataFrame(columns, index=pd.Index(images, name="image_id"))


def summary_of(columns: dict[str, list[float]]) -> pd.DataFrame:
    table = table_of(columns)
    return summarize(table, map(pair, table.index)).set_index(["contrast", "class", "metric"])


def test_statistics_by_hand():
    rows = summary_of({"dice_class0": [0.1, 0.2, 0.6, np.nan], "n_21-100vox": [1, 2, 3, 4]})
    row = rows.loc[("all", "0", "dice")]
    assert (row["n"], row["n_undefined"]) == (3, 1)
    assert row["mean"] == pytest.approx(0.3)
    assert row["std"] == pytest.approx(np.sqrt(0.07))  # (0.04 + 0.01 + 0.09) / 2
    assert row["median"] == pytest.approx(0.2)
    assert rows.loc[("T1w", "0", "dice"), "mean"] == pytest.approx(0.35)
    assert rows.loc[("T2w", "0", "dice"), ["n", "mean"]].tolist() == pytest.approx([1, 0.2])
    assert np.isnan(rows.loc[("T2w", "0", "dice"), "std"])
    assert rows.loc[("all", "", "n_21-100vox"), "mean"] == 2.5
    assert rows.index.get_level_values("contrast").unique().tolist() == ["all", "T1w", "T2w"]


def test_one_contrast_is_no_group_of_its_own():
    table = table_of({"dice_class0": [1.0] * 4}).iloc[::2]
    assert summarize(table, map(pair, table.index))["contrast"].unique().tolist() == ["all"]


def test_what_never_exists_has_no_mean():
    row = summary_of({"hd_class0": [np.nan] * 4}).loc[("all", "0", "hd")]
    assert (row["n"], row["n_undefined"]) == (0, 4)
    assert row[["mean", "std", "median", "ci95_low", "ci95_high"]].isna().all()


def test_two_subjects_by_hand():
    # Means of the four draws: 0 (both the first subject), 0.75 twice, 1. The first has one image, the second three.
    interval = bootstrap_intervals(np.array([[0.0], [1], [1], [1]]), ["a", "b", "b", "b"])
    assert interval.tolist() == [[0, 1]]


def test_intervals_agree_with_a_plain_bootstrap():
    rng = np.random.default_rng(1)
    values = rng.gamma(2, 1, (40, 2))
    ours = bootstrap_intervals(values, range(40), draws=20_000)
    for column, interval in zip(values.T, ours, strict=True):
        means = rng.choice(column, (20_000, len(column))).mean(axis=1)
        assert interval == pytest.approx(np.quantile(means, [0.025, 0.975]), abs=0.02 * column.std())


def test_intervals_are_the_same_for_a_column_alone_and_for_chunks(monkeypatch):
    values = np.random.default_rng(0).random((12, 3))
    values[3, 1] = np.nan
    together = bootstrap_intervals(values, range(12))
    alone = np.concatenate([bootstrap_intervals(values[:, [k]], range(12)) for k in range(3)])
    np.testing.assert_allclose(together, alone)
    monkeypatch.setattr("ivadomed.evaluation.summary._CHUNK", 100)
    np.testing.assert_allclose(bootstrap_intervals(values, range(12)), together, atol=0.02)


def test_images_of_one_subject_give_no_narrower_interval():
    values = np.random.default_rng(0).random((10, 1))
    once = bootstrap_intervals(values, range(10))
    often = bootstrap_intervals(np.repeat(values, 5, axis=0), np.repeat(range(10), 5))
    np.testing.assert_allclose(often, once)


def test_of_one_subject_there_is_no_interval():
    assert np.isnan(bootstrap_intervals(np.array([[0.1], [0.9]]), ["a", "a"])).all()


@pytest.mark.parametrize(
    ("column", "parts"),
    [
        ("dice_class0", ("dice", "0")),
        ("ltpr_21-100vox_class11", ("ltpr_21-100vox", "11")),
        ("n_21-100vox", ("n_21-100vox", "")),
    ],
)
def test_metric_and_class_of_a_column(column, parts):
    assert split_column(column) == parts


def test_text_for_the_terminal(tmp_path):
    table = table_of(
        {
            "dice_class0": [0.8, 0.9, 0.7, 0.6],
            "hd95_class0": [1.0, np.nan, 3, 4],
            "hd95_class1": [np.nan] * 4,
            "mse_class0": [0.0] * 4,
        }
    )
    summary = write_summary(table, map(pair, table.index), tmp_path)
    saved = pd.read_csv(tmp_path / "results_eval" / "summary.csv", dtype={"class": str}, keep_default_na=True)
    pd.testing.assert_frame_equal(saved, summary)
    lines = summary_text(summary).splitlines()
    assert lines[0] == "Mean [95 % confidence interval]:"
    assert lines[1].split() == ["images", "dice", "hd95", "(mm)"]
    assert lines[2].startswith("class 0, all  4       0.75 [0.65, 0.85]  2.67 [1, 3.5] of 3")
    assert [line[:12].strip() for line in lines[3:]] == [
        "class 0, T1w",
        "class 0, T2w",
        "class 1, all",
        "class 1, T1w",
        "class 1, T2w",
    ]
    assert lines[5].endswith("undefined")


def test_classes_have_their_names():
    columns = {f"dice_class{k}": [0.5] * 4 for k in (0, 1, 10)}
    table = table_of(columns).sort_index(axis=1)
    table["n_1-INFvox"] = 1.0
    names = [f"seg-{letter}" for letter in "zyxwvutsrqp"]
    summary = summarize(table, map(pair, table.index), names)
    assert summary["class"].unique().tolist() == ["", "seg-z", "seg-y", "seg-p"]
    lines = summary_text(summary).splitlines()
    assert [line.split("  ")[0] for line in lines[2:]] == [
        f"{name}, {contrast}" for name in ("seg-z", "seg-y", "seg-p") for contrast in ("all", "T1w", "T2w")
    ]
    of_all = summary_text(summary[summary["contrast"] == "all"]).splitlines()
    assert of_all[2].startswith("seg-z  4")
    assert in_words("dice_class10", names) == "dice seg-p"
    assert in_words("n_1-INFvox", names) == "n_1-INFvox"
    assert in_words("dice_class0", ["seg"]) == "dice"


def test_classes_are_in_the_order_of_their_numbers_and_the_screen_shows_the_first():
    columns = {f"dice_class{k}": [0.5] * 4 for k in range(500)}
    summary = summarize(table_of(columns), map(pair, table_of(columns).index))
    assert [int(k) for (contrast, k), _ in by_class(summary) if contrast == "all"] == list(range(500))
    lines = summary_text(summary[summary["contrast"] == "all"]).splitlines()
    assert [line[:8].strip() for line in lines[2:-1]] == [f"class {k}" for k in range(30)]
    assert lines[-1] == "... and 470 more lines"
