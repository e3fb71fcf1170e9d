"""Tables in the folder of a run that accompany an evaluation: cross-validation, postprocessing, members, candidates.

A missing or unreadable table is left out of the page.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pandas as pd

from ivadomed.config.run_files import BEST
from ivadomed.errors import IvadomedError
from ivadomed.evaluation.cross_validation import FOLDER, fold_means
from ivadomed.evaluation.dataset import RESULT_FILE, worst_first
from ivadomed.evaluation.postprocessing_table import POSTPROCESSING_FILE, TOGETHER, in_words
from ivadomed.evaluation.summary import SUMMARY_FILE, mean_over_classes
from ivadomed.images.files import parse_json
from ivadomed.inference.members import KEY, members_of
from ivadomed.loader.split.file import SPLITS
from ivadomed.report.contents import CrossValidation, RunTables

log = logging.getLogger(__name__)

CANDIDATES = "candidates.csv"
"""Table of the candidates of ``--auto``, in the parent folder of the run."""

_WORST = 5
T = TypeVar("T")


def read_run_tables(folder: Path, model_name: str) -> RunTables:
    """Tables for the page of an evaluation.

    Args:
        folder: Folder with the evaluation: that of a run, or ``cross_validation`` in it.
        model_name: Name of the packaged model.
    """
    own_page = folder.name == FOLDER
    run = folder.parent if own_page else folder
    found = _read(lambda: _cross_validation(run, own_page))
    tried = _read(lambda: _postprocessing(run))
    members = _read(lambda: _members(run / model_name))
    candidates = _read(lambda: _candidates(run))
    empty = pd.DataFrame()
    return RunTables(
        found,
        empty if tried is None else tried,
        members or (),
        empty if candidates is None else candidates,
    )


def _read(read: Callable[[], T]) -> T | None:
    """Return the table read; None if it is missing."""
    try:
        return read()
    except FileNotFoundError:
        return None
    except (IvadomedError, OSError, ValueError, KeyError) as error:
        log.debug("Left out of the page: %s", error)
        return None


def _cross_validation(run: Path, own_page: bool) -> CrossValidation:
    splits = parse_json((run / SPLITS).read_bytes())
    table = pd.read_csv(run / FOLDER / RESULT_FILE, index_col="image_id", dtype={"image_id": str})
    summary = pd.read_csv(run / FOLDER / SUMMARY_FILE, dtype={"class": str, "contrast": str})
    summary[["class", "contrast"]] = summary[["class", "contrast"]].fillna("")
    dice = mean_over_classes(table)
    worst = [(image, dice[image]) for image in worst_first(table)[:_WORST]]
    page = "" if own_page else f"../{FOLDER}/results_eval/report.html"
    return CrossValidation(summary, fold_means(table, splits), worst, page)


def _postprocessing(run: Path) -> pd.DataFrame:
    file = next(
        (path for path in (run / FOLDER / POSTPROCESSING_FILE, run / POSTPROCESSING_FILE) if path.is_file()),
        run / POSTPROCESSING_FILE,
    )
    model = run / BEST
    if model.is_file() and model.stat().st_mtime_ns > file.stat().st_mtime_ns:
        raise FileNotFoundError(f"{file}: is of an earlier model")
    table = pd.read_csv(file, dtype={"step": str, "class": str, "value": str})
    names = ["step", "class", "value"]
    table[names] = table[names].fillna("")
    table["words"] = [in_words(row) for row in table.to_dict("records")]
    table["best"] = table["unseen"].notna() | (table["step"] == TOGETHER)
    return table


def _members(package: Path) -> list[tuple[str, str, str]]:
    file = package / f"{package.name}.json"
    entries = parse_json(file.read_bytes()).get(KEY, [])
    return [
        (member.stem.name, str(entry.get("model", "")), _network(member.settings))
        for entry, member in zip(entries, members_of(package) if entries else [], strict=True)
    ]


def _network(settings: object) -> str:
    if not isinstance(settings, dict):
        return ""
    applied = [
        name for name, content in settings.items() if isinstance(content, dict) and content.get("applied")
    ]
    return next(iter(applied), settings.get("default_model", {}).get("name", ""))


def _candidates(run: Path) -> pd.DataFrame:
    places = (run / CANDIDATES, run.parent / CANDIDATES)
    return pd.read_csv(next((place for place in places if place.is_file()), places[0]))
