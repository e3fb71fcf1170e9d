"""Results of a run: a table of the candidates, and a page with decisions, results and next commands."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from ivadomed.auto.choice import Verdict
from ivadomed.auto.plan import Plan
from ivadomed.config.run_files import CONFIG
from ivadomed.evaluation.cross_validation import FOLDER
from ivadomed.evaluation.summary import SUMMARY_FILE, summary_text
from ivadomed.images.files import write_csv, write_text
from ivadomed.report.page import REPORT_FILE
from ivadomed.report.run_tables import CANDIDATES
from ivadomed.runtime.terminal import shell_word

PAGE = "summary.md"


def write_candidates(
    folder: Path, plan: Plan, verdict: Verdict, scores: Mapping[str, pd.Series], epochs: Mapping[str, int]
) -> pd.DataFrame:
    """Write ``candidates.csv``, one row per candidate, the best first.

    Args:
        folder: Folder of the run.
        plan: Plan of the run.
        verdict: Outcome of the comparison.
        scores: Scores of the held-out subjects.
        epochs: Number of epochs of fold 0, by candidate; a pair has none.
    """
    rows = [
        {
            "candidate": name,
            "minutes": plan.minutes,
            "epochs": epochs.get(name),
            "subjects": int(scores[name].notna().sum()) if name in scores else None,
            "score": round(score, 4),
            "chosen": name == verdict.winner,
            "reason": verdict.reasons.get(name, ""),
        }
        for name, score in sorted(verdict.scores.items(), key=lambda item: -np.nan_to_num(item[1]))
    ]
    table = pd.DataFrame(rows).astype({"epochs": "Int64", "subjects": "Int64"})
    write_csv(folder / CANDIDATES, table, index=False)
    return table


def write_page(folder: Path, plan: Plan, verdict: Verdict | None, winner: str, package: Path) -> Path:
    """Write ``summary.md``: decisions with reasons, results, and next commands."""
    lines = [f"# {folder.resolve().name}", "", "## Plan", "", *plan.lines(), ""]
    if verdict is not None:
        table = pd.read_csv(folder / CANDIDATES, dtype=str, keep_default_na=False)
        lines += ["## Candidates", "", _markdown(table), ""]
    for title, place in _results(folder / winner).items():
        lines += [
            f"## {title} ({winner})",
            "",
            "```",
            _text(place),
            "```",
            "",
            f"`{place / REPORT_FILE}`",
            "",
        ]
    lines += ["## Next", "", *(f"    {line}" for line in next_commands(folder, package)), ""]
    write_text(folder / PAGE, "\n".join(lines))
    return folder / PAGE


def _results(folder: Path) -> dict[str, Path]:
    """Folders with results, by title."""
    places = {
        "Cross-validation, each subject by the model that did not see it": folder / FOLDER,
        "Test set": folder,
    }
    return {title: place for title, place in places.items() if (place / SUMMARY_FILE).is_file()}


def _text(folder: Path) -> str:
    return summary_text(pd.read_csv(folder / SUMMARY_FILE, dtype={"class": str}, keep_default_na=True))


def _markdown(table: pd.DataFrame) -> str:
    rows = [list(map(str, row)) for row in (table.columns, ["---"] * len(table.columns), *table.to_numpy())]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def next_commands(folder: Path, package: Path) -> list[str]:
    """Commands that use the model."""
    return [
        f"ivadomed_segment_image -m {shell_word(package)} -i IMAGE.nii.gz",
        f"ivadomed --segment -c {shell_word(folder / CONFIG)} --path-data NEWDATA",
    ]
