"""Table of the postprocessing steps tried: its file, and its rows as text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

POSTPROCESSING_FILE = "postprocessing.csv"
TOGETHER = "all together"
"""Step of the row that compares a whole choice with the configuration."""


def in_words(row: Mapping[str, Any]) -> str:
    """Describe a row of the table: "remove_small 10 vox of _lesion", "no fill_holes of _seg"."""
    words = {"on": row["step"], "off": f"no {row['step']}"}.get(
        row["value"], f"{row['step']} {row['value']}".strip()
    )
    return f"{words} of {row['class']}" if row["class"] else words
