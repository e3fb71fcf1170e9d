"""The page in a browser: it sorts, shows pictures, and its script has no error."""

import re
import shutil
import subprocess

import pytest

from ivadomed.report import write_report

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on PATH")

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


@pytest.fixture
def dom(report, tmp_path):
    """Return a function that opens the page at an address within it and returns what the script made of it."""
    url = write_report(report).as_uri()

    def dump(anchor: str = "") -> str:
        profile = f"--user-data-dir={tmp_path / 'profile'}"
        done = subprocess.run(
            [CHROMIUM, *FLAGS, profile, "--dump-dom", url + anchor],
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
        )
        assert "CONSOLE" not in done.stderr
        return done.stdout

    return dump


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
