"""Configurations for one data set that are worth comparing: slices, volumes, and a cascade for large volumes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ivadomed.suggest.choices import Choice, choices_of, tree
from ivadomed.suggest.plan import StudyPlan
from ivadomed.suggest.sizes import Machine
from ivadomed.suggest.survey import Survey


@dataclass(frozen=True)
class Candidate:
    """A configuration to be compared with others.

    Args:
        name: "2d", "3d", "3d_lowres" or "3d_cascade".
        reason: Why it is offered, in words.
        choices: Its keys, with a reason each.
        detector: Name of the candidate whose packaged model finds the object, in a cascade; None otherwise. The key
            `object_detection_params.object_detection_path` expects that model in the output folder of its run.
    """

    name: str
    reason: str
    choices: Sequence[Choice]
    detector: str | None = None

    @property
    def tree(self) -> dict[str, Any]:
        """The configuration."""
        return tree(self.choices)


def candidates(data: Survey, machine: Machine, name: str, minutes: float | None = None) -> list[Candidate]:
    """Configurations that suit a data set; the first one is what `suggest` gives.

    Args:
        data: The data set.
        machine: Where they will be trained.
        name: Beginning of the names of the models and of the folders of the runs, which end in `_2d`, `_3d`...
        minutes: Minutes that one training may take; None for as long as a first training usually does.
    """
    plan = StudyPlan(data, machine, minutes)
    plans = {f"{plan.n_axes}d": plan}
    return [
        Candidate(kind, plan.why_2d or "neighbouring slices help", choices_of(plan, f"{name}_{kind}"))
        for kind, plan in plans.items()
    ]
