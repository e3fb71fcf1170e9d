"""What every tool does around its work."""

import pytest

from ivadomed.errors import ConfigError
from ivadomed.runtime.console import run_tool


def fails(error):
    def work():
        raise error

    return work


@pytest.mark.parametrize(("value", "code"), [(None, 0), (0, 0), (1, 1)])
def test_the_code_is_that_of_the_work(value, code):
    assert run_tool("tool", lambda: value) == code


def test_an_error_is_one_line_and_its_code(capsys):
    error = ConfigError("-c: not there")
    assert run_tool("tool", fails(error)) == error.exit_code != 0
    assert capsys.readouterr().err == "tool: -c: not there\n"


def test_debugging_shows_the_traceback_too(capsys):
    run_tool("tool", fails(ConfigError("wrong")), debug=True)
    shown = capsys.readouterr().err
    assert "Traceback" in shown
    assert shown.endswith("tool: wrong\n")


def test_an_interruption_says_how_to_go_on_or_is_left_to_python(capsys):
    assert run_tool("tool", fails(KeyboardInterrupt()), "stopped; again goes on") == 130
    assert capsys.readouterr().err == "tool: stopped; again goes on\n"
    with pytest.raises(KeyboardInterrupt):
        run_tool("tool", fails(KeyboardInterrupt()))
