"""``auto.json``: decisions made before the first training and kept by a resumed run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ivadomed.auto.division import Division
from ivadomed.auto.folder import PLAN, candidate_file
from ivadomed.config.tree import expand, read_json
from ivadomed.errors import ConfigError
from ivadomed.images.files import write_json
from ivadomed.runtime.terminal import duration


@dataclass(frozen=True)
class Plan:
    """Plan of an ``--auto`` run; users may change everything but the data before training starts.

    Args:
        path_data: Data sets, as absolute paths.
        target_suffix: Requested labels; empty: all usable ones.
        contrasts: Requested contrasts; empty: all.
        hours: Budget.
        machine: Description of the machine, for information.
        at_once: Number of parallel trainings.
        lesions: Classes with many objects, scored by the object-wise F1; others are scored by Dice.
        least_minutes: Minimum useful length of a training, by candidate.
        candidates: Names of the configurations in ``candidates/`` to compare, the preferred one first.
        n_folds: Folds of the winner; 0: one split.
        minutes: Length of each training.
        reason: Reason for the division of the time.
        pair: True if the two best candidates are also evaluated as a pair, for which ``minutes`` leaves time.
        left_out: Other suitable configurations that are not compared, with the reason.
    """

    path_data: tuple[str, ...]
    target_suffix: tuple[str, ...]
    contrasts: tuple[str, ...]
    hours: float
    machine: str
    at_once: int
    lesions: tuple[int, ...]
    least_minutes: Mapping[str, float]
    candidates: tuple[str, ...]
    n_folds: int
    minutes: float
    reason: str
    pair: bool = False
    left_out: Mapping[str, str] = field(default_factory=dict)

    @property
    def division(self) -> Division:
        """Trainings of the plan."""
        return Division(self.candidates, self.n_folds, self.minutes, self.reason, self.pair)

    @property
    def minutes_to_train(self) -> float:
        """Total training time, counting parallel trainings once."""
        return self.minutes * self.division.rounds(self.at_once)

    def settings(self, folder: Path, candidate: str) -> dict[str, Any]:
        """Settings of the plan in the configuration of a candidate."""
        return expand(
            {
                "path_output": str(folder / candidate),
                "model_name": folder.resolve().name,
                "loader_parameters.cache_dir": str(folder / "cache"),
                "split_dataset.n_folds": self.n_folds or None,
                "split_dataset.fold": "all" if self.n_folds else 0,
                "training_parameters.training_time.max_minutes": self.minutes,
            }
        )

    def lines(self) -> list[str]:
        """The plan as text."""
        names, each = " and ".join(self.candidates), duration(60 * self.minutes)
        if not self.n_folds:
            steps = f"{names}, one training of {each}, on one split"
        elif len(self.candidates) == 1:
            steps = f"{names}, {self.n_folds} folds of {each} each"
        else:
            best = "better one, or of two that are better together" if self.pair else "better one"
            steps = (
                f"{names} on fold 0, then the rest of the {self.n_folds} folds of the {best}; "
                f"each training has {each}"
            )
        together = f", {self.at_once} at a time" * (self.at_once > 1)
        return [
            f"{steps}{together}: {duration(60 * self.minutes_to_train)} of {duration(3600 * self.hours)}",
            self.reason,
            *(f"left out: {name}; {why}" for name, why in self.left_out.items()),
        ]

    def write(self, folder: Path) -> None:
        """Write ``auto.json``."""
        write_json(folder / PLAN, asdict(self))

    def check(
        self,
        folder: Path,
        path_data: Sequence[str],
        hours: float | None,
        target_suffix: Sequence[str],
        contrasts: Sequence[str],
    ) -> None:
        """Raise ConfigError if options contradict this plan; omitted options are taken from the plan."""
        asked: dict[str, tuple[Any, Any]] = {
            "--path-data": ([str(Path(path).expanduser().absolute()) for path in path_data], self.path_data),
            "--hours": (hours, self.hours),
            "--target-suffix": (list(target_suffix), self.target_suffix),
            "--contrasts": (list(contrasts), self.contrasts),
        }
        for option, (new, old) in asked.items():
            old = list(old) if isinstance(old, tuple) else old
            if new and new != old:
                raise ConfigError(
                    f"{option}: {_text(new)}, but {folder / PLAN} has {_text(old) or 'none'}, and its trainings have "
                    "begun with that; leave the option out to continue, or choose another NAME"
                )


def read_plan(folder: Path) -> Plan | None:
    """Plan in a folder; None if there is none.

    Raises:
        ConfigError: A key is missing or unknown, or has an invalid value.
    """
    path = folder / PLAN
    if not path.is_file():
        return None
    content = read_json(path)
    _check_keys(path, content)
    values: dict[str, Any] = {key: tuple(v) if isinstance(v, list) else v for key, v in content.items()}
    plan = Plan(**values)
    for name in plan.candidates:
        if not candidate_file(folder, name).is_file():
            raise ConfigError(f"{path}: candidates: {name!r}, but there is no {candidate_file(folder, name)}")
    return plan


def _check_keys(path: Path, content: Mapping[str, Any]) -> None:
    names = Plan.__dataclass_fields__
    for key in [*(key for key in names if key not in content), *(key for key in content if key not in names)]:
        problem = "is missing" if key in names else "is not known"
        raise ConfigError(f"{path}: {key}: {problem}; expected the keys {', '.join(names)}")
    expected = {
        "candidates": ("names of files in candidates/", lambda v: isinstance(v, list) and len(v) > 0),
        "n_folds": ("0, or 2 or more", lambda v: _is_number(v, int) and (v == 0 or v > 1)),
        "minutes": ("a number above 0", lambda v: _is_number(v, int | float) and v > 0),
        "at_once": ("1 or more", lambda v: _is_number(v, int) and v > 0),
        "path_data": ("a list of folders", lambda v: isinstance(v, list) and len(v) > 0),
        "pair": ("true or false", lambda v: isinstance(v, bool)),
    }
    for key, (text, holds) in expected.items():
        if not holds(content[key]):
            raise ConfigError(f"{path}: {key}: {content[key]!r}; expected {text}")
    if content["n_folds"] == 0 and len(content["candidates"]) > 1:
        raise ConfigError(f"{path}: n_folds: 0; comparing candidates requires 2 or more")
    if content["pair"] and len(content["candidates"]) < 2:
        raise ConfigError(f"{path}: pair: true; a pair requires 2 or more candidates")


def _is_number(value: Any, kind: Any) -> bool:
    return isinstance(value, kind) and not isinstance(value, bool)


def _text(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, list) else f"{value:g}"
