"""Number of epochs of a training with a time budget.

A learning-rate schedule needs the length of the training from the first update on, but the pace is known only after
some updates. The number is therefore determined in two steps. A rehearsal, the first batches of an epoch without
lasting effect, gives an initial number with which the training starts. The first epochs show the actual pace. If the
initial number still ends within the budget and uses most of it, it is kept, and the training is identical to one with
``num_epochs`` of this number; otherwise it is corrected once, and the schedule continues on the curve of the right
length. From then on nothing depends on a clock.
"""

from __future__ import annotations

import itertools
import logging
import math
import statistics
from collections.abc import Callable, Mapping
from typing import Any

from torch.utils.data import DataLoader

from ivadomed.config.schema.training import TrainingTime
from ivadomed.runtime.terminal import duration, say
from ivadomed.training.processes import Shard, shards

log = logging.getLogger(__name__)

Clock = Callable[[], float]
"""Monotonic clock in seconds; the same in all processes that train together."""

_KEY = "training_parameters.training_time"
_UNSURE = 0.04
"""Fraction of the budget that a rehearsal leaves unplanned: it saves no model, and batches differ."""
_RESERVE = 0.02
"""Fraction of the budget that the correction reserves for work after the last epoch, and for variation."""
_USED = (0.95, 0.99)
"""Fractions of the budget between which a number of epochs must end to be kept."""
_SHOWN = 0.05
"""Fraction of the budget after which the pace of two epochs is trusted."""
_LONG, _SETUP = 0.1, 60.0
"""Fraction of the budget, and seconds, after which the pace of one is: its setup time is then negligible."""
_HALF = 0.5
"""Fraction of the budget after which the pace of one must suffice."""
_LATE = 1.05
"""Fraction of the budget beyond which a late end causes a warning."""
_REHEARSAL = 0.01
_LONGEST_REHEARSAL = 30.0  # seconds
_BATCHES = 4  # of a pass, at least
_TOO_LONG = 5
"""Multiple of the time allowed for a rehearsal pass after which two batches must suffice."""


class Budget:
    """Length of a training: ``num_epochs``, or as many epochs as ``max_minutes`` allows.

    Args:
        time: The section.
        clock: See ``Clock``.
        started: Reading of the clock at the start of the budget.

    Attributes:
        epochs: Number of epochs; None until the first estimate.
        is_final: The number will not change any more.
        history: First epoch for which a number was in force -> that number.
        done: Number of epochs completed.
    """

    def __init__(self, time: TrainingTime, clock: Clock, started: float) -> None:
        self.most, self.minutes = time.num_epochs, time.max_minutes
        self.clock, self.started = clock, started
        self.epochs: int | None = self.most if self.minutes is None else None
        self.is_final = self.minutes is None
        self.history: dict[int, int] = {}
        self.done = 0
        self._before, self._is_late = 0.0, False
        self._took: list[float] = []  # seconds of each epoch, including those before an interruption
        self._last_end = started

    @property
    def seconds(self) -> float:
        """The budget."""
        return math.inf if self.minutes is None else 60 * self.minutes

    @property
    def rehearsal(self) -> float:
        """Seconds to spend on each pass of a rehearsal."""
        return min(_REHEARSAL * self.seconds, _LONGEST_REHEARSAL) / 2

    @property
    def pace(self) -> float:
        """Seconds per epoch; the first one, which includes setup, does not count once there are others."""
        return statistics.fmean(self._took[1:] or self._took)

    def begin(self) -> None:
        """Record the start of an epoch, which excludes earlier work from its time."""
        self._last_end = self.clock()

    def rehearsed(self, pace: float) -> None:
        """Set the number of epochs after a rehearsal.

        Args:
            pace: Seconds per epoch.
        """
        self.begin()
        self._set(self._fitting(pace, 1 - _UNSURE), pace)

    def ended(self) -> bool:
        """Record the end of an epoch.

        Returns:
            True if the number of epochs changed.
        """
        now, before = self.clock(), self.epochs
        self._took.append(now - self._last_end)
        self._last_end = now
        self.done += 1
        if self.is_final:
            self._warn_if_late()
        elif self._is_certain():
            self.is_final = True
            end = self._elapsed() + self.pace * (self._planned - self.done)
            fits = _USED[0] <= end / self.seconds <= _USED[1]
            self._set(self._planned if fits else self._fitting(self.pace, 1 - _RESERVE), self.pace)
        return self.epochs != before

    @property
    def _planned(self) -> int:
        assert self.epochs is not None
        return self.epochs

    def _elapsed(self) -> float:
        """Seconds until the end of the last epoch, including those before an interruption."""
        return self._before + self._last_end - self.started

    def _is_certain(self) -> bool:
        spent = sum(self._took) / self.seconds
        tells = spent >= _LONG and self._took[0] >= _SETUP
        return (
            self.done >= self._planned
            or spent >= _HALF
            or tells
            or (len(self._took) >= 2 and spent >= _SHOWN)
        )

    def _fitting(self, pace: float, share: float) -> int:
        """Number of epochs that end within a fraction of the budget, at least one and no fewer than completed."""
        left = share * self.seconds - self._elapsed()
        fitting = self.done + int(min(max(left, 0.0) / max(pace, 1e-9), 1e9))
        return max(self.done, 1, fitting if self.most is None else min(fitting, self.most))

    def _set(self, epochs: int, pace: float) -> None:
        if epochs != self.epochs:
            self.history[self.done + 1] = epochs
        self.epochs = epochs
        say("Epochs", self._text(pace))

    def _text(self, pace: float) -> str:
        """The number with its reason and certainty, as text."""
        allowed = f"{self.minutes:g} min"
        each = f"{self.epochs}, at {duration(pace)} each"
        if self._elapsed() + pace * (self._planned - self.done) > self.seconds:
            return f"{each}: longer than max_minutes ({allowed}), but the minimum"
        if self.epochs == self.most:
            return f"{each}: num_epochs, which ends before max_minutes ({allowed})"
        text = f"{each} within {allowed}"
        if not self.is_final:
            return f"{text}, estimated from the first batches; the first epochs will confirm it"
        if len(self.history) > 1:
            changes = zip(self.history.values(), [*self.history][1:], strict=False)
            until = [f"that of {number} until epoch {end - 1}" for number, end in changes]
            text += f" (the learning rate was {', '.join(until)})"
        return text

    def _warn_if_late(self) -> None:
        if self.minutes is None or self._is_late:
            return
        recent = statistics.median(self._took[-3:])
        end = self._elapsed() + recent * (self._planned - self.done)
        if end <= _LATE * self.seconds:
            return
        self._is_late = True
        log.warning(
            "%s.max_minutes: %g, but epochs now take %s, and the training will end after %s; their number (%d) stays, "
            "so that the result does not depend on what else the machine does.",
            *(_KEY, self.minutes, duration(recent), duration(end), self.epochs),
        )

    def state_dict(self) -> dict[str, Any]:
        """For the checkpoint."""
        return {
            **{"minutes": self.minutes, "most": self.most},
            **{"epochs": self.epochs, "is_final": self.is_final, "history": dict(self.history)},
            **{"done": self.done, "elapsed": self._elapsed(), "took": list(self._took)},
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """From the checkpoint; if the budget has changed, the number is determined again from the pace.

        The cost of an interruption, such as repeated setup, does not count: the number is that of an uninterrupted
        training.
        """
        self.begin()
        self.started = self._last_end
        self._before, self._took = state["elapsed"], list(state["took"])
        self.done, self.history = state["done"], dict(state["history"])
        if self.minutes is None:
            return
        if (self.minutes, self.most) == (state["minutes"], state["most"]):
            self.epochs, self.is_final = state["epochs"], state["is_final"]
        elif self._took:
            self.epochs, self.is_final = state["epochs"], True
            self._set(self._fitting(self.pace, 1 - _RESERVE), self.pace)


def planned_epochs(time: TrainingTime, state: Mapping[str, Any]) -> int | None:
    """Number of epochs for the training of a checkpoint under a section; None if it must be determined first.

    Args:
        time: The section.
        state: State of its ``Budget``, or {} for a training without one.
    """
    if time.max_minutes is None:
        return time.num_epochs
    is_same = (state.get("minutes"), state.get("most")) == (time.max_minutes, time.num_epochs)
    return state["epochs"] if is_same else None


def seconds_of_pass(loader: DataLoader[Any], step: Callable[[Shard], Any], budget: Budget) -> float:
    """Estimate the time of a pass through a data set from its first batches.

    The first one, which includes starting workers and setting up convolutions, does not count unless it is the only
    one.

    Args:
        loader: The batches.
        step: Processes one batch.
        budget: Limits the time spent, and provides the clock.

    Returns:
        Seconds.
    """
    ends = [budget.clock()]
    for shard in shards(loader):
        step(shard)
        ends.append(budget.clock())
        passed = (ends[-1] - ends[0]) / budget.rehearsal
        if passed >= 1 and (len(ends) > _BATCHES or (passed >= _TOO_LONG and len(ends) > 2)):
            break
    counted = ends[1:] if len(ends) > 2 else ends
    return len(loader) * statistics.fmean(later - sooner for sooner, later in itertools.pairwise(counted))
