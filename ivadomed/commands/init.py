"""``--init``: a starting configuration for a data set, with the reason for each value."""

from __future__ import annotations

import json
import shutil
import textwrap
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from ivadomed.errors import OutputError
from ivadomed.images.files import data_path, write_json, write_text
from ivadomed.runtime.terminal import Mode, Style, shell_word, shown
from ivadomed.runtime.working import working

if TYPE_CHECKING:
    from ivadomed.suggest import Candidate, Choice

_WIDEST = 110
NAMES = ("2d", "3d", "3d_lowres", "3d_cascade")
"""Candidates that a data set may have."""
WARNING = "Warning"
"""Start of an important line of the summary."""


def init_command(
    name: str,
    path_data: Sequence[str],
    target_suffix: Sequence[str] = (),
    contrasts: Sequence[str] = (),
    quiet: bool = False,
    with_candidates: bool = False,
    minutes: float | None = None,
) -> Path:
    """Write ``NAME.json`` and ``NAME.md``, and print their content.

    With candidates, write ``NAME_2d.json``, ``NAME_3d.json`` and so on, each with its own file of reasons.

    Args:
        name: Path of the configuration, with or without ".json".
        path_data: Data sets: folders or tables.
        target_suffix: Labels to train on; empty: all usable ones.
        contrasts: Contrasts to train on; empty: all with labels.
        quiet: Print nothing.
        with_candidates: Write all configurations worth comparing, not just the first.
        minutes: Maximum duration of one training on this machine, in minutes; None: the usual duration of a first
            training.

    Returns:
        The configuration, or the first of the candidates.

    Raises:
        OutputError: A file of that name already exists.
        DataError: The data set cannot be trained on.
    """
    stem = name.removesuffix(".json")
    for path in (Path(f"{one}{end}") for one in _stems(stem, with_candidates) for end in (".json", ".md")):
        if path.exists():
            raise OutputError(f"{path}: exists already; choose another name, or remove it first")
    for folder in path_data:
        data_path(folder)
    with shown(Mode.QUIET if quiet else Mode.SCREEN):
        written, lines = _suggested(stem, path_data, target_suffix, contrasts, with_candidates, minutes)
    if not quiet:
        print("\n".join(lines))
    return written[0]


def _suggested(
    stem: str,
    path_data: Sequence[str],
    target_suffix: Sequence[str],
    contrasts: Sequence[str],
    with_candidates: bool,
    minutes: float | None,
) -> tuple[list[Path], Iterator[str]]:
    """Write the configuration or the candidates; return the files and the lines to print."""
    with working("Loading libraries"):
        # Torch and pandas are loaded only now, after existing outputs and missing inputs have been refused.
        from ivadomed.suggest import Machine, candidates, suggest, summary, survey
    with working("Inspecting the data set"):
        data = survey(path_data, target_suffix, contrasts)
    with working("Sizing the network for this machine"):
        machine, notes = Machine.here(), summary(data)
        if with_candidates:
            offered = candidates(data, machine, stem, minutes)
            written = [_written(f"{stem}_{one.name}", one.choices, notes) for one in offered]
            return written, _screen_of_candidates(offered, written, notes)
        choices = suggest(data, machine, stem, minutes)
        written = [_written(stem, choices, notes)]
        return written, _screen(choices, written[0], notes)


def _stems(stem: str, with_candidates: bool) -> list[str]:
    """Names of the files that may be written, without extensions."""
    return [f"{stem}_{name}" for name in NAMES] if with_candidates else [stem]


def _written(stem: str, choices: Sequence[Choice], notes: Sequence[str]) -> Path:
    """Write a configuration and its file of reasons."""
    from ivadomed.config import load_config
    from ivadomed.suggest import tree

    config, chosen = Path(f"{stem}.json"), tree(choices)
    load_config(chosen)
    write_json(config, chosen)
    write_text(config.with_suffix(".md"), _markdown(choices, config, notes))
    return config


def _screen_of_candidates(
    offered: Sequence[Candidate], written: Sequence[Path], notes: Sequence[str]
) -> Iterator[str]:
    """A line per configuration, the labels, and the next commands."""
    for candidate, config in zip(offered, written, strict=True):
        network, training = candidate.tree["default_model"], candidate.tree["training_parameters"]
        time = training["training_time"]
        length = (
            f"{time['num_epochs']} epochs" if "num_epochs" in time else f"{time['max_minutes']:g} minutes"
        )
        yield f"{config}: {candidate.reason}"
        yield (
            f"    {network['name']} with {network['n_filters']} filters, "
            f"{length} in batches of {training['batch_size']}"
        )
        if candidate.detector:
            yield f"    needs the trained model of {config.stem.removesuffix(candidate.name)}{candidate.detector}"
    yield ""
    yield from _noted(notes)
    yield ""
    yield "The .md file next to each configuration gives the reason for each value."
    for config in written:
        yield f"Train:           ivadomed --train -c {shell_word(config)}"


def _noted(notes: Sequence[str]) -> Iterator[str]:
    style = Style.of_terminal()
    for line in notes:
        yield style.yellow(line) if line.startswith(WARNING) else line


def _screen(choices: Sequence[Choice], config: Path, notes: Sequence[str]) -> Iterator[str]:
    """Keys and values with the reason below, section by section; a summary at the end."""
    style, width = Style.of_terminal(), min(shutil.get_terminal_size((_WIDEST, 24)).columns, _WIDEST)
    for section, group in groupby(choices, lambda choice: choice.key.partition(".")[0]):
        of_section = list(group)
        if of_section[0].key != section:
            yield style.bold(section)
        for choice in of_section:
            yield f"  {choice.key.partition('.')[2] or choice.key}: {style.blue(json.dumps(choice.value))}"
            yield from map(
                style.dim,
                textwrap.wrap(choice.reason, width, initial_indent=" " * 6, subsequent_indent=" " * 6),
            )
    yield ""
    yield from _noted(notes)
    yield ""
    yield f"Written: {config}, with the reasons in {config.with_suffix('.md')}."
    yield f"Check the data:  ivadomed_check_data -c {shell_word(config)}"
    yield f"Train:           ivadomed --train -c {shell_word(config)}"


def _markdown(choices: Sequence[Choice], config: Path, notes: Sequence[str]) -> str:
    from ivadomed.suggest.choices import table_of_reasons

    title = f"# Reasons for the values in {config.name}\n\nWritten by `ivadomed --init`; every value may be changed.\n"
    return "\n".join([title, "```", *notes, "```", "", *table_of_reasons(choices), ""])
