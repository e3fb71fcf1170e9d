"""Rows of the table: what was checked, the value found, its limit, and what follows from them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

OK, FAIL, SKIPPED, OVER, STATED = "ok", "FAIL", "skipped", "over its goal", "stated"


@dataclass(frozen=True)
class Row:
    """One row.

    Args:
        part: Part of the check, the name of its module.
        what: What was checked or measured.
        status: ``OK`` or ``FAIL`` of a check, ``OK`` or ``OVER`` of a figure with a goal, ``STATED`` of one without,
            ``SKIPPED``.
        value: What was found.
        limit: Most that it may be, or what was expected.
        why: Of a failure what it means, of a skipped row the reason.
    """

    part: str
    what: str
    status: str
    value: float | str | None = None
    limit: float | str | None = None
    why: str = ""


def within(part: str, what: str, value: float, limit: float) -> Row:
    """A check: a value that must not be above a limit; one that is not a number fails."""
    return Row(part, what, OK if value <= limit else FAIL, value, limit)


def holds(part: str, what: str, passed: bool, found: str, expected: str) -> Row:
    """A check of something that is not a number."""
    return Row(part, what, OK if passed else FAIL, found, expected)


def goal(part: str, what: str, value: float, most: float) -> Row:
    """A figure that should not be above a goal; missing it is no error."""
    return Row(part, what, OK if value <= most else OVER, value, most)


def stated(part: str, what: str, value: float | str) -> Row:
    """A figure or setting as it was found."""
    return Row(part, what, STATED, value)


def skipped(part: str, what: str, why: str) -> Row:
    """Something that cannot be checked here."""
    return Row(part, what, SKIPPED, why=why)


def broken(part: str, error: BaseException) -> Row:
    """A part that an error ended."""
    text = str(error).strip().split("\n")[0]
    return Row(part, "the part ends without an error", FAIL, type(error).__name__, why=text)


def exit_code(rows: Iterable[Row]) -> int:
    """1 when a check failed, or nothing was checked at all, else 0."""
    statuses = [row.status for row in rows]
    return int(FAIL in statuses or not {OK, OVER, STATED} & set(statuses))


def as_json(rows: Sequence[Row], about: dict[str, Any]) -> dict[str, Any]:
    """Content of ``gpu_check.json``."""
    return {**about, "passed": exit_code(rows) == 0, "rows": [asdict(row) for row in rows]}


def table(rows: Sequence[Row]) -> str:
    """The table, one line a row."""
    lines = [("part", "what", "value", "limit", "result")]
    for row in rows:
        result = f"{row.status}: {row.why}" if row.why else row.status
        lines.append((row.part, row.what, _text(row.value), _text(row.limit), result))
    widths = [max(len(line[column]) for line in lines) for column in range(4)]
    return "\n".join(
        "  ".join([*(cell.ljust(width) for cell, width in zip(line, widths, strict=False)), line[-1]])
        for line in lines
    )


def summary(rows: Sequence[Row]) -> str:
    """Number of rows by result."""
    counts = {
        status: sum(row.status == status for row in rows) for status in (OK, FAIL, OVER, STATED, SKIPPED)
    }
    return ", ".join(f"{count} {status}" for status, count in counts.items() if count)


def _text(value: float | str | None) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else f"{value:.3g}"
