"""Two sentences at the top of a report: quality, certainty, images to inspect, and course of the training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ivadomed.evaluation.pairs import PredictionPair
from ivadomed.evaluation.summary import mean_over_classes, summarize
from ivadomed.report.convergence import courses, courses_text
from ivadomed.report.events import Curve
from ivadomed.runtime.terminal import length

FEW_SUBJECTS = 10
"""With fewer, the bootstrap interval of a mean is too narrow."""

_NAMED = 3
_CLASSES = 6
_WHISKER = 1.5
_FEWEST_FOR_OUTLIERS = 5


@dataclass(frozen=True)
class Verdict:
    """Summary of an evaluation in two sentences.

    Args:
        sentences: Quality and certainty; images to inspect and course of the training.
        look_at: Images named in the second sentence.
    """

    sentences: tuple[str, str]
    look_at: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """Both sentences."""
        return " ".join(sentence for sentence in self.sentences if sentence)


def verdict(
    table: pd.DataFrame,
    pairs: Sequence[PredictionPair],
    class_names: Sequence[str],
    curves: Sequence[Curve] = (),
) -> Verdict:
    """Summarize an evaluation.

    Images stand out if one of their classes has a Dice of 0 (missed or invented), or if their mean Dice over classes
    lies more than 1.5 interquartile ranges below the lower quartile (Tukey 1977).

    Args:
        table: One row per image, see ``evaluate_predictions``.
        pairs: The images, with their subjects.
        class_names: Name of each class.
        curves: Curves of the training or trainings.
    """
    training = courses_text(courses(curves))
    dice = mean_over_classes(table).dropna()
    if dice.empty:
        good = (
            f"Dice is undefined for all of the {_images(len(table))}: prediction and ground truth are empty."
        )
        return Verdict((good, f"{training[:1].upper()}{training[1:]}." if training else ""))
    where, named = _where_to_look(table, dice)
    second = f"{where}; {training}." if training else f"{where}."
    return Verdict((_how_good(table, dice, pairs, class_names), second), tuple(named))


def _how_good(
    table: pd.DataFrame, dice: pd.Series, pairs: Sequence[PredictionPair], class_names: Sequence[str]
) -> str:
    row = summarize(dice.to_frame("dice"), pairs).iloc[0]
    subjects = len({pair.subject or pair.image_id for pair in pairs if pair.image_id in dice.index})
    counted = _images(len(dice)) + (f" of {subjects} subjects" if 1 < subjects < len(dice) else "")
    if len(dice) < len(table):
        counted += f"; in {len(table) - len(dice)} more both masks are empty"
    interval = f"95 % confidence interval {row['ci95_low']:.2f} to {row['ci95_high']:.2f}, "
    if subjects == 1:
        interval = "one subject, so no confidence interval; "
    elif subjects < FEW_SUBJECTS:
        interval += f"too narrow because {subjects} subjects are few; "
    distance = mean_over_classes(table, "hd95").mean()
    far = "" if np.isnan(distance) else f"; 95 % of the surfaces agree within {length(distance, 2)}"
    return f"The mean Dice is {row['mean']:.2f} ({interval}{counted}){_of_classes(table, class_names)}{far}."


def _of_classes(table: pd.DataFrame, class_names: Sequence[str]) -> str:
    """Mean Dice of each class; for many classes, the lowest and the highest."""
    means = table[[f"dice_class{k}" for k in range(len(class_names))]].mean()
    known = pd.Series(means.to_numpy(), index=list(class_names)).dropna()
    if len(known) < 2:
        return ""
    if len(known) > _CLASSES:
        known = known.sort_values().iloc[[0, -1]]
        low, high = (f"{value:.2f} for {name}" for name, value in known.items())
        return f": from {low} to {high}"
    return ": " + ", ".join(f"{value:.2f} for {name}" for name, value in known.items())


def _where_to_look(table: pd.DataFrame, dice: pd.Series) -> tuple[str, list[str]]:
    columns = [name for name in table if str(name).startswith("dice_class")]
    zero = table.index[(table[columns] == 0).any(axis=1)]
    failed = dice[zero].sort_values(kind="stable")
    others = dice.drop(zero)
    outlying = pd.Series(dtype=float)
    if len(others) >= _FEWEST_FOR_OUTLIERS:
        low, high = np.percentile(others, [25, 75])
        outlying = others[others < low - _WHISKER * (high - low)].sort_values(kind="stable")
    found = []
    if len(failed):
        found.append(f"{_listed(failed)}, where a class is missed or invented")
    if len(outlying):
        found.append(f"{_listed(outlying)}, far below the others")
    if found:
        return f"Look first at {', and at '.join(found)}", [*failed.index[:_NAMED], *outlying.index[:_NAMED]]
    lowest = str(dice.idxmin())
    return f"No image stands out; the lowest Dice is that of {lowest} ({dice[lowest]:.2f})", [lowest]


def _listed(values: pd.Series) -> str:
    shown = ", ".join(f"{name} ({value:.2f})" for name, value in values.iloc[:_NAMED].items())
    more = len(values) - _NAMED
    return f"{shown} and {more} more" if more > 0 else shown


def _images(count: int) -> str:
    return f"{count} image{'s' * (count != 1)}"
