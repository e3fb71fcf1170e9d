"""Colours, bars and words for the terminal."""

import ast
import io
import logging
import re
import shlex
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import ivadomed
from ivadomed.runtime import ranks
from ivadomed.runtime.ranks import World
from ivadomed.runtime.terminal import (
    Mode,
    ScreenFormatter,
    Style,
    duration,
    hidden_bar,
    length,
    shell_word,
    shown,
)


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize(
    ("stream", "environment", "coloured"),
    [
        (Terminal(), {}, True),
        (io.StringIO(), {}, False),
        (Terminal(), {"NO_COLOR": "1"}, False),
        (Terminal(), {"NO_COLOR": ""}, True),  # no-color.org: only when it is not empty
        (Terminal(), {"TERM": "dumb"}, False),
    ],
)
def test_colours_are_for_terminals_that_want_them(stream, environment, coloured):
    style = Style.of_terminal(stream, environment)
    assert style.coloured is coloured
    assert style.red("x") == ("\x1b[31mx\x1b[0m" if coloured else "x")


def record(level, text, **more):
    made = logging.LogRecord("ivadomed.screen", level, "", 0, text, (), None)
    made.__dict__.update(more)
    return made


def test_labels_warnings_and_errors_are_set_off():
    formatter = ScreenFormatter(Style(coloured=True))
    assert formatter.format(record(logging.INFO, "Data  6", label="Data")) == "\x1b[1mData\x1b[0m  6"
    assert formatter.format(record(logging.WARNING, "look")) == "\x1b[33mlook\x1b[0m"
    assert formatter.format(record(logging.ERROR, "no")) == "\x1b[31mno\x1b[0m"
    assert formatter.format(record(logging.INFO, "plain")) == "plain"


def test_bars_are_shown_by_the_first_process_unless_it_is_quiet(monkeypatch):
    assert hidden_bar() is None  # tqdm finds out whether there is a terminal
    with shown(Mode.QUIET):
        assert hidden_bar() is True
    assert hidden_bar() is None
    monkeypatch.setattr(ranks, "current_world", lambda: World(1, 2, 1, 2))
    assert hidden_bar() is True


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.523, "0.52 s"),
        (9.96, "10 s"),
        (99.4, "99 s"),
        (99.6, "2 min"),
        (3570, "1 h 0 min"),
        (12000, "3 h 20 min"),
        (187200, "2 d 4 h"),
    ],
)
def test_duration(seconds, words):
    assert duration(seconds) == words


@pytest.mark.parametrize(
    ("mm", "words"),
    [(1.25, "1.25 mm"), (0.01, "0.01 mm"), (0.00129, "1.29 um"), (123.4, "123 mm"), (0.0, "0 um")],
)
def test_length(mm, words):
    assert length(mm) == words


PACKAGE = Path(ivadomed.__file__).parent
WORD_OF_COMMAND = re.compile(r"ivadomed(_\w+|( [^;:,()]*)? --?[\w-]+) $")


def unquoted_words(module):
    """Values in the commands of messages that a shell would take for several words if they had a space."""
    for node in ast.walk(ast.parse(module)):
        if not isinstance(node, ast.JoinedStr):
            continue
        before = ""
        for part in node.values:
            if isinstance(part, ast.Constant):
                before += part.value
                continue
            quoted = isinstance(part.value, ast.Call) and getattr(part.value.func, "id", "") == "shell_word"
            if WORD_OF_COMMAND.search(before) and not quoted:
                yield ast.unparse(part.value)
            before += "VALUE"


@pytest.mark.parametrize("message", ['f"next: ivadomed --test -c {file}"', 'f"ivadomed_report {a} -o {b}"'])
def test_unquoted_words_are_found(message):
    assert list(unquoted_words(message))


@pytest.mark.parametrize(
    "path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE))
)
def test_commands_in_messages_can_be_pasted(path):
    assert list(unquoted_words(path.read_text(encoding="utf-8"))) == []


@given(st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1))
def test_a_shell_reads_a_word_as_it_was(word):
    assert shlex.split(f"ivadomed -c {shell_word(word)}")[2:] == [word]
