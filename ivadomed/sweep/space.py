"""What a search draws from, and what it has drawn."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ivadomed.errors import ConfigError
from ivadomed.sweep.hyperparameters import HyperparameterOption, option_at

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial, Trial

_RANGE = {"low", "high", "log", "step"}


@dataclass(frozen=True)
class Range:
    """Numbers to draw from; whole ones when both limits are.

    Args:
        low: Least.
        high: Greatest.
        log: Draw the logarithm.
        step: Distance of the numbers.
    """

    low: float
    high: float
    log: bool = False
    step: float | None = None


Space = Mapping[tuple[str, ...], tuple[Any, ...] | Range]
"""What to draw the value of each key from."""


def get_space(parameters: Mapping[str, Any], superkeys: Sequence[str] = ()) -> dict[tuple[str, ...], Any]:
    """The space of a parameter file: lists of values, and ranges ``{"low": 1e-4, "high": 1e-2, "log": true}``.

    Raises:
        ConfigError: A key has neither values nor a range nor a section.
    """
    space: dict[tuple[str, ...], Any] = {}
    for key, value in parameters.items():
        path = (*superkeys, key)
        if isinstance(value, Mapping) and {"low", "high"} <= value.keys() <= _RANGE:
            space[path] = _range(".".join(path), value)
        elif isinstance(value, Mapping) and value:
            space |= get_space(value, path)
        elif isinstance(value, list) and value:
            space[path] = tuple(value)
        else:
            raise ConfigError(
                f'{".".join(path)}: {value!r}; expected a list of values or a range {{"low": ..., "high": ...}}'
            )
    return space


def _range(place: str, value: Mapping[str, Any]) -> Range:
    numbers = [value[key] for key in ("low", "high", "step") if value.get(key) is not None]
    if not all(isinstance(number, int | float) and not isinstance(number, bool) for number in numbers):
        raise ConfigError(f"{place}: {dict(value)}; low, high and step are numbers")
    found = Range(**value)
    if not found.low < found.high or (found.log and (found.low <= 0 or found.step is not None)):
        raise ConfigError(
            f'{place}: {dict(value)}; low must be less than high, and "log" needs low > 0 and no step'
        )
    return found


def suggest(trial: Trial, name: str, values: tuple[Any, ...] | Range) -> Any:
    """The value of a key in a trial.

    Args:
        trial: Draws it.
        name: Of the key.
        values: What to draw from.
    """
    if isinstance(values, Range):
        if isinstance(values.low, int) and isinstance(values.high, int):
            return trial.suggest_int(
                name, values.low, values.high, step=int(values.step or 1), log=values.log
            )
        return _rounded(trial.suggest_float(name, values.low, values.high, step=values.step, log=values.log))
    # Optuna keeps choices as text, numbers and truth values; sections travel as JSON.
    return json.loads(trial.suggest_categorical(name, [json.dumps(value) for value in values]))


def _rounded(value: float) -> float:
    """A number as one would write it down, and name a folder after it."""
    return value if isinstance(value, int) else float(f"{value:.3g}")


def options_of_trial(trial: FrozenTrial, space: Space) -> list[HyperparameterOption]:
    """What a finished trial had drawn."""
    values = {".".join(path): (path, choices) for path, choices in space.items()}
    return [
        option_at(
            values[name][0], _rounded(value) if isinstance(values[name][1], Range) else json.loads(value)
        )
        for name, value in trial.params.items()
    ]
