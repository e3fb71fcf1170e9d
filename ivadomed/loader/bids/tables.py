"""Tables of a BIDS data set (participants, samples, sessions, scans) as columns of the data frame."""

from __future__ import annotations

import csv
import logging
from collections.abc import Iterable
from io import StringIO
from pathlib import Path

import numpy as np
import pandas as pd

from ivadomed.errors import DataError, some
from ivadomed.loader.bids.text import read_text
from ivadomed.registry import nearest

logger = logging.getLogger(__name__)

MISSING = frozenset({"", "n/a", "N/A"})
"""Values that stand for "unknown" in BIDS tables."""

OWN_COLUMNS = frozenset(
    [
        "path",
        "filename",
        "subject",
        "session",
        "sample",
        "run",
        "suffix",
        "extension",
        "datatype",
        "participant_id",
    ]
)


def read_tsv(path: Path, key: str) -> list[dict[str, str]]:
    """Read the rows of a table that have a value of ``key``; values stay strings, unknown ones are omitted.

    Cells are separated by tabs; in a ``.csv``, by commas, or by semicolons if the header has no comma. They may
    be quoted.

    Raises:
        DataError: The file cannot be read, has no column ``key``, or a row has more cells than the header.
    """
    is_csv = path.suffix.lower() == ".csv"
    text = read_text(path)
    delimiter = _delimiter(text.partition("\n")[0]) if is_csv else "\t"
    try:
        lines = csv.reader(
            StringIO(text, newline=""),
            delimiter=delimiter,
            quoting=csv.QUOTE_MINIMAL if is_csv else csv.QUOTE_NONE,
        )
        rows = [row for row in lines if any(row)]
    except csv.Error as error:
        kind = "comma" if is_csv else "tab"
        raise DataError(f"{path}: cannot be read as a {kind}-separated table ({error})") from error
    header = [name.strip() for name in rows[0]] if rows else []
    if key not in header:
        between = {"\t": "tabs", ",": "commas", ";": "semicolons"}[delimiter]
        raise DataError(f'{path}: has no column "{key}"; the columns, separated by {between}, are {header}')
    for number, row in enumerate(rows[1:], start=2):
        if len(row) > len(header):
            raise DataError(f"{path}: row {number} has {len(row)} cells, the header has {len(header)}")
    known = (
        {name: cell.strip() for name, cell in zip(header, row, strict=False) if cell.strip() not in MISSING}
        for row in rows[1:]
    )
    return [row for row in known if key in row]


def _delimiter(header: str) -> str:
    return ";" if ";" in header and "," not in header else ","


def add_tables(df: pd.DataFrame, root: Path, tables: Iterable[Path]) -> pd.DataFrame:
    """Add the columns of all tables of one data set.

    If a column already exists, it keeps its values as "<name>_x" and the new one takes the name (``acq_time``
    of sessions.tsv and of scans.tsv), unless ivadomed itself needs the column: then the new one is called
    "<name>_y".

    Args:
        df: Images of the data set ``root``, with ``participant_id`` and ``path``.
        root: Folder of the data set.
        tables: Its ``*_sessions.tsv`` and ``*_scans.tsv``.

    Raises:
        DataError: A table cannot be read or has duplicate rows.
    """
    df = _add_participants(df, root / "participants.tsv")
    samples = root / "samples.tsv"
    if samples.is_file() and "sample" in df:
        rows = [row for row in read_tsv(samples, "sample_id") if "participant_id" in row]
        df = df.assign(sample_id="sample-" + df["sample"])
        df = _join(df, rows, ["participant_id", "sample_id"], samples)
    subjects = frozenset(df["participant_id"])
    session_rows, scan_rows = [], []
    for table in sorted(tables):
        subject = table.relative_to(root).parts[0]
        if subject not in subjects:
            continue
        if table.name.endswith("_sessions.tsv"):
            session_rows += [{**row, "participant_id": subject} for row in read_tsv(table, "session_id")]
        else:
            rows = read_tsv(table, "filename")
            scan_rows += [{"path": str(table.parent / row.pop("filename")), **row} for row in rows]
    if session_rows and "session" in df:
        keyed = df.assign(session_id="ses-" + df["session"])
        df = _join(keyed, session_rows, ["participant_id", "session_id"], root).drop(columns="session_id")
    if scan_rows:
        df = _join(df, scan_rows, ["path"], root)
    return df


def _add_participants(df: pd.DataFrame, path: Path) -> pd.DataFrame:
    if not path.is_file():
        logger.warning("%s is missing: subjects have no metadata to select or split them by", path)
        return df
    rows = read_tsv(path, "participant_id")
    unlisted = sorted(set(df["participant_id"]) - {row["participant_id"] for row in rows})
    if unlisted:
        logger.warning("%s lists no %s", path, ", ".join(unlisted))
    columns = sorted({name for row in rows for name in row} - {"participant_id"})
    return _join(df, rows, ["participant_id"], path, columns)


def _join(
    df: pd.DataFrame,
    rows: list[dict[str, str]],
    keys: list[str],
    source: Path,
    columns: list[str] | None = None,
) -> pd.DataFrame:
    """Left join on ``keys``; rows keep their order and count."""
    if columns is None:
        columns = list(dict.fromkeys(name for row in rows for name in row if name not in keys))
    table = pd.DataFrame.from_records(rows, columns=[*keys, *columns]).astype(object)
    twice = table.duplicated(keys)
    if twice.any():
        named = " ".join(map(str, table.loc[twice.idxmax(), keys]))
        raise DataError(f"{source}: {named} is listed twice; keep one row")
    table = table.rename(columns={name: f"{name}_y" for name in columns if name in OWN_COLUMNS})
    df = df.rename(columns={name: f"{name}_x" for name in columns if name in df and name not in OWN_COLUMNS})
    joined = df.merge(table, how="left", on=keys, sort=False)
    return joined.astype(object).where(joined.notna(), np.nan)


def column(df: pd.DataFrame, name: str, where: str) -> pd.Series:
    """Look up a column of the table; ``where`` is the key of the configuration that names it.

    Raises:
        DataError: There is no such column.
    """
    if name not in df:
        near = nearest(name, map(str, df.columns))
        hint = f', did you mean "{near}"?' if near else "."
        # Columns of the tables come last, after those of file names and sidecars.
        columns = some(map(str, reversed(df.columns)), 12)
        raise DataError(f'{where}: the data set has no column "{name}"{hint} Columns: {columns}')
    return df[name]
