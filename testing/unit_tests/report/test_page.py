"""The page as a parser sees it."""

from __future__ import annotations

import base64
import dataclasses
import json
import re
from html.parser import HTMLParser
from urllib.parse import unquote

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ivadomed.evaluation import PredictionPair, summarize
from ivadomed.metrics.descriptions import describe
from ivadomed.report import Report, write_report
from ivadomed.report import cases as report_cases
from ivadomed.report.charts import Group, Line, Scale, distribution, lines, linked
from ivadomed.report.page import render

DICE = describe("dice")
VOID = {"meta", "img", "br", "input", "link", "hr"}


class Page(HTMLParser):
    """Elements in order; raises where tags do not match."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.text: dict[str, list[str]] = {}
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        self.text.setdefault(tag, []).append("")
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        for tag in dict.fromkeys(self.open):
            self.text[tag][-1] += data

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.elements if name == tag]


def test_names_are_escaped_and_tags_match(report):
    page = Page(render(report))
    assert [script.get("type") for script in page.all("script")] == ["application/json", None]
    assert page.text["h1"] == ["Evaluation of a <model> & more"]
    assert "<script>" in report.order[0]
    assert report.order[0] in page.text["td"]
    assert report.order[0] in [image["alt"] for image in page.all("img")]
    assert json.loads(page.text["pre"][0]) == report.config
    assert {"model", "lesion", "b"} & {name for name, _ in page.elements} == set()


def test_page_needs_no_other_place(report):
    html = render(report)
    assert not re.findall(r"""(?:src|href|url|@import)\W{0,2}["'(]?\s*(?:https?:)?//""", html)
    links = [element.get("href") for element in Page(html).all("a")]
    assert [link for link in links if not link.startswith("#")] == [
        f"overlays/{k}%23%C3%A9.png" for k in (1, 2, 0)
    ]


def test_rows_are_in_order_and_lead_to_their_pictures(report):
    page = Page(render(report))
    links = [link for link in page.all("a") if not link["href"].startswith("#")]
    assert [link["data-embedded"] for link in links] == ["picture-0", "picture-1", "picture-2"]
    for link in links:
        assert (report.folder / "results_eval" / unquote(link["href"])).is_file()
    pictures = [image for image in page.all("img") if image.get("id", "").startswith("picture-")]
    assert [image["alt"] for image in pictures] == [report.order[0], "sub-3_T1w", "sub-1_T1w"]
    data = base64.b64decode(pictures[0]["src"].removeprefix("data:image/png;base64,"))
    assert data == report.pictures[report.order[0]].file.read_bytes()


def test_columns_of_the_table(report):
    heads = [head for head in Page(render(report)).all("th") if "data-column" in head]
    assert [head["data-column"] for head in heads] == [
        "image",
        "contrast",
        "dice_class0",
        "hd95_class0",
        "dice_class1",
        "mse_class1",
        "n_21-100vox",
    ]
    assert [head.get("data-worst") for head in heads[2:5]] == ["ascending", "descending", "ascending"]
    assert "minor" in heads[5]["class"]


def test_only_the_worst_pictures_are_part_of_the_page(report, monkeypatch):
    whole = len(Page(render(report)).all("figure"))
    monkeypatch.setattr(report_cases, "_EMBEDDED", 1)
    assert len(Page(render(report)).all("figure")) == whole - 2
    monkeypatch.setattr(report_cases, "_EMBEDDED_BYTES", 10)
    page = Page(render(report))
    assert len(page.all("figure")) == whole - 3
    assert len([link for link in page.all("a") if link["href"].startswith("overlays/")]) == 3


def test_empty_parts_are_left_out(report):
    bare = dataclasses.replace(report, curves=(), pictures={}, versions={})
    page = Page(render(bare))
    assert {"worst", "training", "versions"} & {element.get("id") for element in page.all("section")} == set()
    assert [link["href"] for link in page.all("a") if not link["href"].startswith("#image=")] == [
        "#summary",
        "#all",
        "#distributions",
        "#configuration",
    ]


def test_a_thousand_cases_stay_below_10_mb(tmp_path):
    rng = np.random.default_rng(0)
    images = [f"sub-{i:04d}_T1w" for i in range(1000)]
    names = [
        f"{metric}_class{k}"
        for metric in ("dice", "hd95", "assd", "nsd", "lf1", "avd", "mse", "vs", "hd", "n_gt", "n_pred")
        for k in range(3)
    ]
    table = pd.DataFrame(rng.random((1000, len(names))), index=images, columns=names)
    pairs = [PredictionPair(image, (), (), contrast="T1w") for image in images]
    report = Report("m", tmp_path, table, summarize(table, pairs), pairs, images, ["_a", "_b", "_c"])
    size = write_report(report).stat().st_size
    assert size < 2_000_000  # and 20 pictures of 6 MB at most, as base64


@pytest.mark.parametrize("n", [3, 500])
def test_distribution_has_a_mark_for_each_value(n):
    values = np.linspace(0, 1, n)
    svg = distribution("dice", [Group("T1w", values, [f"sub-{i}" for i in range(n)], 0, (0.4, 0.6))])
    page = Page(svg)
    if n == 3:
        first, second, third = (float(circle["cx"]) for circle in page.all("circle"))
        assert second - first == pytest.approx(third - second, abs=0.2)
        assert page.text["title"][:3] == ["sub-0: 0", "sub-1: 0.5", "sub-2: 1"]
    else:
        counts = [int(text.rsplit(" ", 1)[1]) for text in page.text["title"] if " to " in text]
        assert sum(counts) == n
    assert page.text["title"][-1] == "mean 0.5 [0.4, 0.6]"


def test_names_in_the_verdict_lead_to_their_images(report):
    page = Page(render(report))
    [link] = [link for link in page.all("a") if link["href"].startswith("#image=")]
    assert unquote(link["href"]) == f"#image={report.order[0]}"
    assert f"the lowest Dice is that of {report.order[0]} (0.72)" in page.text["p"][1]


def test_metrics_are_spelled_out(report):
    page = Page(render(report))
    hints = [abbr["title"] for abbr in page.all("abbr")]
    assert any(hint.startswith("95th-percentile Hausdorff distance (mm).") for hint in hints)
    heads = {
        head.get("data-column"): text for head, text in zip(page.all("th"), page.text["th"], strict=True)
    }
    assert heads["hd95_class0"] == "HD95 mm, _seg"
    assert {"Dice", "HD95"} == set(page.text["dt"])


def test_links_only_around_whole_names():
    text = linked("a: sub-1, sub-1_T1w & sub-12", ["sub-1", "sub-1_T1w"])
    assert text == (
        'a: <a href="#image=sub-1">sub-1</a>, <a href="#image=sub-1_T1w">sub-1_T1w</a> &amp; sub-12'
    )


def test_ratios_have_the_scale_from_0_to_1():
    svg = distribution("dice", [Group("a", np.array([0.5]), ["x"], 0, (float("nan"), float("nan")))], DICE)
    assert Page(svg).text["text"] == ["a", "0", "0.25", "0.5", "0.75", "1"]
    page = Page(lines("Dice", [Line("val", [(1, 0.8), (3, 0.9)])], DICE))
    assert page.text["text"] == ["0", "0.25", "0.5", "0.75", "1", "1", "2", "3", "epoch"]


def test_differences_lie_around_a_line_at_0():
    values = np.array([0.01, 0.03])
    page = Page(distribution("Dice", [Group("a", values, ["x", "y"], 0, (0.0, 0.04))], DICE, zero=True))
    ticks = [float(text) for text in page.text["text"][1:]]
    assert ticks == [-tick for tick in reversed(ticks)]
    assert max(ticks) >= 0.03


@given(
    st.lists(st.floats(-1e6, 1e6).map(lambda value: round(value, 3)), min_size=1, max_size=20), st.booleans()
)
def test_a_scale_holds_its_values_and_its_ticks_are_round(values, whole):
    values = [round(value) for value in values] if whole else values
    scale = Scale.of(values, 0, 100, whole=whole)
    assert all(-1e-6 <= scale(value) <= 100 + 1e-6 for value in values)
    assert 1 <= len(scale.ticks) <= 7
    assert all(scale.low <= tick <= scale.high for tick in scale.ticks)
    steps = np.diff(scale.ticks)
    assert steps == pytest.approx(np.full(len(steps), steps[0] if len(steps) else 0))
    if len(steps):
        leading = float(f"{steps[0]:e}".split("e")[0])
        assert any(leading == pytest.approx(k, rel=1e-4) for k in (1, 2, 2.5, 5, 10))


def test_curves_keep_their_values_and_mark_the_best_epoch():
    line = Line("validation", [(1, 2.0), (2, 0.5), (3, 0.75), (4, float("nan"))], best=2)
    page = Page(lines("losses", [line, Line("empty", [])]))
    [curve] = page.all("polyline")
    assert json.loads(curve["data-values"]) == [[1, "2"], [2, "0.5"], [3, "0.75"]]
    assert page.text["title"] == ["validation, best epoch 2: 0.5"]
    assert "best epoch (2) 0.5" in page.text["span"][0]
    assert lines("losses", [Line("train", [(1, float("nan"))])]) == ""


def test_classes_are_called_by_their_names(report):
    html = render(report)
    assert not re.search(r">[^<]*\bclass \d", html)
    page = Page(html)
    assert {"_seg", "_<lesion>"} <= set(page.text["option"])
    assert "_<lesion>: Dice 0.95" in " ".join(page.text["figcaption"])
