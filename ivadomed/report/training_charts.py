"""Charts of one or several trainings: the losses, then each validation metric, with the epoch whose model was kept."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from ivadomed.metrics.descriptions import describe
from ivadomed.report.charts import Line, lines
from ivadomed.report.convergence import best_epoch
from ivadomed.report.events import Curve

_LOSSES = ("train_loss", "val_loss")


def training_charts(curves: Sequence[Curve]) -> list[Markup]:
    """One chart for the losses, then one per metric; with several trainings, each has its own colour."""
    trainings = list(dict.fromkeys(curve.training for curve in curves))
    best = {curve.training: best_epoch(curve.points) for curve in curves if curve.name == "val_loss"}
    charts: dict[str, list[Line]] = {}
    for curve in curves:
        of_loss = curve.name in _LOSSES
        several = len(trainings) > 1
        label = describe(curve.name).label if of_loss else ("" if several else describe(curve.name).label)
        line = Line(
            name=", ".join(filter(None, (curve.training, label))),
            points=curve.points,
            colour=trainings.index(curve.training) if several else int(curve.name == "train_loss"),
            dashed=several and curve.name == "train_loss",
            best=None if curve.name == "train_loss" else best.get(curve.training),
        )
        charts.setdefault("" if of_loss else curve.name, []).append(line)
    drawn = []
    for name, series in sorted(charts.items(), key=lambda item: item[0]):
        described = describe(name or "val_loss")
        title = described.title[0].upper() + described.title[1:] if name else "Loss"
        drawn.append(lines(title, series, described))
    return [chart for chart in drawn if chart]
