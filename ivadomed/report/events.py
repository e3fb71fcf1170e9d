"""Scalars and training curves from TensorBoard events.

TensorBoard's own reader takes seconds to import; the format is simply a length, a checksum, a message and a checksum.
"""

from __future__ import annotations

import logging
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

logger = logging.getLogger(__name__)

_LENGTH = struct.Struct("<QI")  # bytes of the message, checksum of that number
_CHECKSUM = 4
_LONGEST = 1 << 12  # bytes: scalars are shorter, and pictures hardly ever are
_NUMBERS = re.compile(r"(?<=\.)\d+")
"""Parts of the name of an event file: timestamp, process, and number of the file within that process."""


@dataclass(frozen=True)
class Curve:
    """One line of a chart.

    Args:
        chart: Tag of the events, such as "losses".
        name: Name of the line, such as "train_loss".
        points: (epoch, value), epochs increasing.
        training: Name of the training, if there are several.
    """

    chart: str
    name: str
    points: tuple[tuple[int, float], ...]
    training: str = ""


def read_curves(folder: Path) -> list[Curve]:
    """Curves of a run, sorted by chart and name.

    A curve is a scalar with the tag ``<chart>/<name>``, or, in ivadomed 2 and early versions of 3.0, a folder
    ``<chart>_<name>`` of event files. For epochs repeated after an interruption, the last values are used. Unreadable
    files are skipped.
    """
    curves: dict[tuple[str, str], dict[int, float]] = {}
    for inner in sorted({file.parent for file in folder.glob("*/events.out.tfevents.*")}):
        for tag, values in read_scalars(inner).items():
            name = inner.name.removeprefix(tag.replace("/", "_") + "_")
            curves[tag, name] = values
    for tag, values in read_scalars(folder).items():
        chart, slash, name = tag.rpartition("/")
        if slash:  # a training started with an early version may have been resumed
            curves[chart, name] = {**curves.get((chart, name), {}), **values}
    return [
        Curve(chart, name, tuple(sorted(values.items()))) for (chart, name), values in sorted(curves.items())
    ]


def read_scalars(folder: Path) -> dict[str, dict[int, float]]:
    """Scalars of the event files in one folder: tag -> values by step, steps increasing.

    For steps written again after an interruption, the last values are used. Unreadable files are skipped.
    """
    series: dict[str, dict[int, float]] = {}
    for file in sorted(
        folder.glob("events.out.tfevents.*"), key=lambda file: [*map(int, _NUMBERS.findall(file.name))]
    ):
        try:
            _add_events(file, series)
        except (OSError, ValueError) as error:
            logger.debug("%s: not read (%s)", file, error)
    return {tag: dict(sorted(values.items())) for tag, values in series.items()}


def _add_events(file: Path, series: dict[str, dict[int, float]]) -> None:
    """Add the scalars of a file to ``series``: tag -> step -> value."""
    from google.protobuf.message import DecodeError
    from tensorboard.compat.proto.event_pb2 import Event, SessionLog

    for message in _records(file):
        try:
            event: Any = Event.FromString(message)
        except DecodeError as error:
            raise ValueError(f"damaged: {error}") from error
        if event.session_log.status == SessionLog.START:  # later events replace those from this step on
            for tag, values in series.items():
                series[tag] = {step: value for step, value in values.items() if step < event.step}
        for value in event.summary.value:
            if value.WhichOneof("value") == "simple_value":
                series.setdefault(value.tag, {})[event.step] = value.simple_value


def _records(file: Path) -> Iterator[bytes]:
    """Yield the messages of an event file except pictures; stop at one truncated by a crash."""
    size = file.stat().st_size
    with file.open("rb") as stream:  # with pictures, the file of a run may have gigabytes
        while len(head := stream.read(_LENGTH.size)) == _LENGTH.size:
            length, _ = _LENGTH.unpack(head)
            if stream.tell() + length + _CHECKSUM > size:
                return
            if length > _LONGEST:
                stream.seek(length + _CHECKSUM, 1)
                continue
            yield stream.read(length)
            stream.seek(_CHECKSUM, 1)
