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
from ivadomed.images.files import write_json, write_text
from ivadomed.runtime.terminal import Style

if TYPE_CHECKING:
    from ivadomed.suggest import Choice

_WIDEST = 110


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
        path_data: BIDS folders.
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
    # Torch and pandas are loaded only now: a name that exists is refused at once.
    from ivadomed.config import load_config
    from ivadomed.suggest import Machine, suggest, survey, tree

    data = survey(path_data, target_suffix, contrasts)
    choices = suggest(data, Machine.here(), stem)
    chosen = tree(choices)
    load_config(chosen)
    write_json(config, chosen)
    write_text(reasons, _markdown(choices, config))
    if not quiet:
        print("\n".join(_screen(choices, config, reasons)))
    return config


def _screen(choices: Sequence[Choice], config: Path, reasons: Path) -> Iterator[str]:
    """A key and its value, and below it the reason; section by section."""
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
    yield f"Written: {config}; the reasons are in {reasons}, too."
    yield f"Check the data:  ivadomed_check_data -c {config}"
    yield f"Train:           ivadomed --train -c {config}"


def _markdown(choices: Sequence[Choice], config: Path) -> str:
    rows = [(c.key, f"`{json.dumps(c.value)}`", c.reason) for c in choices]
    lines = [f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in rows]
    title = f"# Why {config.name} is as it is\n\nMade by `ivadomed --init`; every value may be changed.\n"
    return "\n".join([title, "| key | value | reason |", "|---|---|---|", *lines, ""])
