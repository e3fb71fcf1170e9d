"""Training curves out of the TensorBoard events of a run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ivadomed.report.events import read_scalars


@dataclass(frozen=True)
class Curve:
    """One line of a chart.

    Args:
        chart: Tag of the events, such as "losses".
        name: Of the line, such as "train_loss".
        points: (epoch, value), epochs increasing.
    """

    chart: str
    name: str
    points: tuple[tuple[int, float], ...]


def read_curves(folder: Path) -> list[Curve]:
    """Curves of a run, sorted by chart and name.

    A curve is a folder ``<tag>_<name>`` of event files, as the training and ``SummaryWriter.add_scalars`` write
    them. Of epochs that were trained again after an interruption the last values count. Files that cannot be
    read are left out.
    """
    curves = []
    for place in sorted({file.parent for file in folder.glob("*/events.out.tfevents.*")}):
        for tag, values in read_scalars(place).items():
            prefix = tag.replace("/", "_") + "_"
            curves.append(Curve(tag, place.name.removeprefix(prefix), tuple(values.items())))
    return sorted(curves, key=lambda curve: (curve.chart, curve.name))
