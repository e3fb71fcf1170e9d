"""``--init``: a starting configuration for a data set, with the reason of each value."""

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
from ivadomed.runtime.terminal import Mode, Style, shown

if TYPE_CHECKING:
    from ivadomed.suggest import Choice

_WIDEST = 110
WARNING = "Warning"
"""Beginning of a line of the summary that the user should not miss."""


def init_command(
    name: str,
    path_data: Sequence[str],
    target_suffix: Sequence[str] = (),
    contrasts: Sequence[str] = (),
    quiet: bool = False,
) -> Path:
    """Write ``NAME.json`` and ``NAME.md``, and print what is in them.

    Args:
        name: Path of the configuration, with or without ".json".
        path_data: Data sets: folders, or tables.
        target_suffix: Labels to train on; empty: all that can be used.
        contrasts: Contrasts to train on; empty: all with labels.
        quiet: Print nothing.

    Returns:
        The configuration.

    Raises:
        OutputError: A file of that name exists.
        DataError: The data set cannot be trained on.
    """
    stem = name.removesuffix(".json")
    config, reasons = Path(f"{stem}.json"), Path(f"{stem}.md")
    for path in (config, reasons):
        if path.exists():
            raise OutputError(f"{path}: exists already; choose another name, or remove it first")
    for folder in path_data:
        data_path(folder)
    # Torch and pandas are loaded only now: what exists already or does not is refused at once.
    from ivadomed.config import load_config
    from ivadomed.suggest import Machine, suggest, summary, survey, tree

    with shown(Mode.QUIET if quiet else Mode.SCREEN):
        data = survey(path_data, target_suffix, contrasts)
    choices = suggest(data, Machine.here(), stem)
    chosen = tree(choices)
    load_config(chosen)
    write_json(config, chosen)
    notes = summary(data)
    write_text(reasons, _markdown(choices, config, notes))
    if not quiet:
        print("\n".join(_screen(choices, config, reasons, notes)))
    return config


def _screen(choices: Sequence[Choice], config: Path, reasons: Path, notes: Sequence[str]) -> Iterator[str]:
    """A key and its value, and below it the reason, section by section; a summary at the end."""
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
    for line in notes:
        yield style.yellow(line) if line.startswith(WARNING) else line
    yield ""
    yield f"Written: {config}; the reasons are in {reasons}, too."
    yield f"Check the data:  ivadomed_check_data -c {config}"
    yield f"Train:           ivadomed --train -c {config}"


def _markdown(choices: Sequence[Choice], config: Path, notes: Sequence[str]) -> str:
    rows = [(c.key, f"`{json.dumps(c.value)}`", c.reason) for c in choices]
    lines = [f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in rows]
    title = f"# Why {config.name} is as it is\n\nMade by `ivadomed --init`; every value may be changed.\n"
    table = ["| key | value | reason |", "|---|---|---|", *lines]
    return "\n".join([title, "```", *notes, "```", "", *table, ""])
