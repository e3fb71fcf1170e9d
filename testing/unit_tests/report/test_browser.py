"""The page in headless Chromium: it sorts, shows pictures and slices, and its script has no error.

What a test does to the page is a script of its own after that of the page; what it finds is read from the DOM.
"""

import json
import re
import shutil
import subprocess

import pytest

from ivadomed.report import write_report

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="no chromium, chromium-browser or google-chrome on PATH to open the report with"
)

FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--enable-logging=stderr",
    "--v=0",
]

TOOLS = """
const later = () => new Promise((done) => setTimeout(done, 50));
const dialog = document.getElementById("viewer");
const figures = [...dialog.querySelectorAll("figure")];
const press = async (key, target = dialog) => {
  target.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true }));
  await later();
};
const slide = async (range, value) => {
  range.value = value;
  range.dispatchEvent(new Event("input", { bubbles: true }));
  await later();
};
const captions = () => figures.filter((f) => !f.hidden).map((f) => f.querySelector("figcaption").textContent);
// Pixels of a canvas near a colour, as a share of all.
const share = (canvas, [r, g, b]) => {
  const copy = new OffscreenCanvas(canvas.width, canvas.height).getContext("2d", { willReadFrequently: true });
  copy.drawImage(canvas, 0, 0);
  const { data } = copy.getImageData(0, 0, canvas.width, canvas.height);
  let found = 0;
  for (let i = 0; i < data.length; i += 4) {
    found += Math.max(Math.abs(data[i] - r), Math.abs(data[i + 1] - g), Math.abs(data[i + 2] - b)) < 40;
  }
  return found / (data.length / 4);
};
"""


@pytest.fixture
def dom(report, tmp_path):
    """Return a function that opens the page at an address within it and returns what the script made of it."""
    page = write_report(report)

    def dump(anchor: str = "", script: str = "", size: str = "1200,900") -> str:
        shown = page.with_name("shown.html")
        shown.write_text(page.read_text(encoding="utf-8") + script, encoding="utf-8")
        done = subprocess.run(
            [
                CHROMIUM,
                *FLAGS,
                f"--user-data-dir={tmp_path / 'profile'}",
                f"--window-size={size}",
                "--virtual-time-budget=20000",
                "--dump-dom",
                shown.as_uri() + anchor,
            ],
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
        )
        assert "CONSOLE" not in done.stderr, done.stderr
        return done.stdout

    return dump


@pytest.fixture
def probe(dom):
    """Return a function that runs the body of an async function in the page and returns what it returns."""

    def run(body: str, anchor: str = "#image=sub-1_T1w", size: str = "1200,900"):
        script = f"""<pre id="probe"></pre><script>(async () => {{
            {TOOLS}
            for (let i = 0; i < 100 && dialog.open && dialog.querySelector(".slices").hidden; i++) await later();
            const found = await (async () => {{ {body} }})();
            document.getElementById("probe").textContent = JSON.stringify(found);
        }})();</script>"""
        html = dom(anchor, script, size)
        return json.loads(re.search('<pre id="probe">(.*)</pre>', html)[1])

    return run


def order(html: str) -> list[str]:
    start = html.index("<tbody>", html.index('id="cases"'))
    body = html[start : html.index("</tbody>", start)]
    return [name[:5] for name in re.findall(r"<tr[^>]*><td>(?:<a[^>]*>)?([^<&]*)", body)]


def test_rows_are_sorted_by_a_metric(dom):
    assert order(dom("#sort=dice_class0")) == ["sub-", "sub-3", "sub-1", "sub-4"]  # undefined last
    largest = dom("#sort=hd95_class0")
    assert order(largest) == ["sub-1", "sub-4", "sub-", "sub-3"]  # 10 before 9.5: as numbers
    assert 'aria-sort="descending"' in largest
    assert order(dom("#sort=hd95_class0,reverse")) == ["sub-", "sub-4", "sub-1", "sub-3"]


def test_an_image_is_shown(dom):
    html = dom("#image=sub-3_T1w")
    viewer = html[html.index("<dialog") : html.index("</dialog>")]
    assert 'open=""' in viewer
    assert "<strong>sub-3_T1w</strong>" in viewer
    assert "Dice _seg 0.7" in viewer
    assert 'src="data:image/png;base64,' in viewer


def test_keys_and_sliders_scroll_through_three_planes(probe):
    found = probe(
        """
        const seen = [captions()];
        await press("ArrowUp");
        seen.push(captions());
        await press("End");
        await press("PageDown");
        seen.push(captions());
        await slide(figures[1].querySelector("input"), 3);
        await press("ArrowDown");
        seen.push(captions());
        await press("3");
        seen.push(captions());
        return seen;
        """
    )
    assert found == [
        [
            "axial 3 of 10",
            "coronal 13 of 30",
            "sagittal 8 of 20",
        ],  # of the largest slices the first, in its middle
        ["axial 4 of 10", "coronal 13 of 30", "sagittal 8 of 20"],
        ["axial 1 of 10", "coronal 13 of 30", "sagittal 8 of 20"],
        ["axial 1 of 10", "coronal 3 of 30", "sagittal 8 of 20"],
        ["sagittal 8 of 20"],
    ]


def test_an_address_names_a_slice(probe):
    assert probe("return captions();", "#image=sub-1_T1w&plane=coronal&slice=7") == ["coronal 7 of 30"]


def test_a_slice_has_image_prediction_and_truth_of_the_opacity_that_is_set(probe):
    found = probe(
        """
        const canvas = figures[0].querySelector(".slice");
        const look = () => [[213, 94, 0], [255, 230, 0], [255, 255, 255]].map((colour) => share(canvas, colour));
        await press("1");
        await slide(document.getElementById("fill"), 100);
        const all = look();
        await press("p");
        const truth = look();
        await press("t");
        const none = look();
        await slide(figures[0].querySelector("input"), 9);
        return [all, truth, none, look()];
        """
    )
    (prediction, outline, white), (hidden, _, _), (_, gone, _), (_, _, bright) = found
    assert 0.6 * 25 / 600 < prediction / bright < 25 / 600  # 5 x 5 of 20 x 30 voxels, partly under an outline
    assert hidden < prediction / 100
    assert gone < outline / 5
    assert white < 0.01  # the image is black below its middle, and letters are white
    assert bright > 0.2


def test_objects_are_stepped_through(probe):
    found = probe(
        """
        const which = document.getElementById("which");
        const kind = document.getElementById("kind");
        const seen = [];
        for (let i = 0; i < 4; i++) {
          await press("n");
          seen.push([which.textContent, ...captions()]);
        }
        kind.value = "false";
        kind.dispatchEvent(new Event("change", { bubbles: true }));
        seen.push([which.textContent]);
        return seen;
        """
    )
    assert found[0] == ["1 of 3: missed, 1 voxels", "axial 2 of 10", "coronal 21 of 30", "sagittal 16 of 20"]
    assert found[1][0] == "2 of 3: found, 150 voxels"
    assert found[2] == ["3 of 3: missed, 1 voxels", "axial 9 of 10", "coronal 21 of 30", "sagittal 16 of 20"]
    assert found[3] == found[0]
    assert found[4] == ["none"]


def test_other_images_follow_with_and_without_slices(probe):
    found = probe(
        """
        const state = () => [dialog.querySelector("strong").textContent, dialog.querySelector(".slices").hidden];
        await press("ArrowLeft");
        const before = state();
        await press("ArrowUp");
        await press("ArrowRight");
        for (let i = 0; i < 100 && state()[1]; i++) await later();
        return [before, state()];
        """
    )
    assert found == [["sub-3_T1w", True], ["sub-1_T1w", False]]


def test_nothing_is_wider_than_a_phone(probe):
    found = probe(
        """
        const frame = document.createElement("iframe");
        frame.style.width = "420px";
        frame.style.height = "800px";
        frame.srcdoc = document.documentElement.outerHTML.replace(/<pre id="probe">[^]*$/, "");
        document.body.append(frame);
        await new Promise((done) => frame.addEventListener("load", done));
        const page = frame.contentDocument;
        const wide = page.documentElement.scrollWidth;
        page.querySelector("[data-slices]").click();
        await later();
        await later();
        const canvas = page.querySelector("figure:not([hidden]) canvas.slice");
        const opened = page.getElementById("viewer");
        return [wide, opened.scrollWidth <= opened.clientWidth, opened.clientWidth, canvas.clientWidth];
        """,
        anchor="",
    )
    page, fits, dialog, canvas = found
    assert page <= 420
    assert fits
    assert dialog <= 420
    assert canvas > 330
