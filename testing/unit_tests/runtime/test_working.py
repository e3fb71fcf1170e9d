"""The sign of life of work that takes long."""

import io
import logging
import sys
import threading
from types import SimpleNamespace

import pytest
from tqdm import tqdm

from ivadomed.runtime import status
from ivadomed.runtime import working as module
from ivadomed.runtime.status import STATUS
from ivadomed.runtime.terminal import Mode, logging_to_terminal, say, shown
from ivadomed.runtime.working import working


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def terminal(monkeypatch):
    stream = Terminal()
    for place in (module, status):  # pytest sets sys.stderr anew when a test begins
        monkeypatch.setattr(place, "sys", SimpleNamespace(stderr=stream, modules=sys.modules))
    return stream


def seen(stream):
    """What a terminal shows in the end, where every text clears the line before."""
    return stream.getvalue().rpartition("\x1b[K")[2]


def test_a_terminal_shows_what_is_done_until_it_is_done(terminal):
    with working("Packaging the model"):
        assert seen(terminal) == "Packaging the model ..."
    assert seen(terminal) == ""


def test_the_inner_work_is_shown(terminal):
    with working("Packaging the model"), working("Converting to ONNX"):
        assert seen(terminal) == "Converting to ONNX ..."
    assert seen(terminal) == ""


def test_a_line_of_the_screen_takes_its_place(terminal, capsys):
    logger = logging.getLogger()
    handlers, logger.handlers = logger.handlers, []
    try:
        with logging_to_terminal(), working("Indexing"):
            say("Data", "8 images")
            assert seen(terminal) == ""
    finally:
        logger.handlers = handlers
    assert capsys.readouterr().out == "Data      8 images\n"


def test_a_bar_has_precedence(terminal):
    with tqdm(total=3, disable=None, file=terminal) as bar:
        STATUS.show("Evaluating ...")
        assert "Evaluating" not in terminal.getvalue()
        assert bar.last_print_t >= bar.start_t


def test_elsewhere_it_is_a_line_when_it_takes_long(caplog, monkeypatch):
    told = threading.Event()
    monkeypatch.setattr(module, "say", lambda label, text: told.set() or say(label, text))
    monkeypatch.setattr(module, "PATIENCE", 0.01)
    with caplog.at_level(logging.INFO), working("Packaging the model"):
        assert told.wait(60)
    assert caplog.messages == ["Working   packaging the model"]


def test_elsewhere_short_work_is_no_line(caplog, monkeypatch):
    monkeypatch.setattr(module, "PATIENCE", 600)
    with caplog.at_level(logging.INFO), working("Packaging the model"):
        pass
    assert not caplog.messages


def test_a_quiet_run_shows_nothing(terminal):
    with shown(Mode.QUIET), working("Packaging the model"):
        assert terminal.getvalue() == ""


def test_a_failure_clears_the_line(terminal):
    with pytest.raises(ValueError, match="wrong"), working("Indexing"):
        raise ValueError("wrong")
    assert seen(terminal) == ""
