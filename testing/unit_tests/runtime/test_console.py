"""What every tool does around its work."""

import pytest

from ivadomed.errors import ConfigError
from ivadomed.runtime.console import ToolParser, console_script


def tool(work, interrupted="", *words):
    """Exit code of a tool with an option --debug."""

    def get_parser():
        parser = ToolParser("tool", "Does things.", "")
        parser.add_argument("--debug", action="store_true")
        return parser

    return console_script(get_parser, work, interrupted)(list(words))


def fails(error):
    def work(options):
        raise error

    return work


@pytest.mark.parametrize(("value", "code"), [(None, 0), (0, 0), (1, 1)])
def test_the_code_is_that_of_the_work(value, code):
    assert tool(lambda options: value) == code


def test_an_error_is_one_line_and_its_code(capsys):
    error = ConfigError("-c: not there")
    assert tool(fails(error)) == error.exit_code != 0
    assert capsys.readouterr().err == "tool: -c: not there\n"


def test_debugging_shows_the_traceback_too(capsys):
    tool(fails(ConfigError("wrong")), "", "--debug")
    shown = capsys.readouterr().err
    assert "Traceback" in shown
    assert shown.endswith("tool: wrong\n")


def test_an_interruption_says_how_to_go_on_or_is_left_to_python(capsys):
    assert tool(fails(KeyboardInterrupt()), "stopped; again continues") == 130
    assert capsys.readouterr().err == "tool: stopped; again continues\n"
    with pytest.raises(KeyboardInterrupt):
        tool(fails(KeyboardInterrupt()))


@pytest.fixture
def parser():
    made = ToolParser("tool", "Does things.", "example:\n  tool -y -1,0")
    made.add_argument("-y", "--y-limits", nargs="+")
    made.add_argument("-lr", "--learning-rate", action="store_true")
    made.add_argument("-n", "--number", type=int)
    return made


@pytest.mark.parametrize("spelling", ["--y-limits", "--y_limits", "--y-lim", "--y_lim", "-y"])
@pytest.mark.parametrize("value", ["-1,0", "-1", "-.5,.5", "-1e-3,0", "_x-y_"])
def test_options_with_underscores_and_values_with_a_minus(parser, spelling, value):
    options = parser.parse_args([spelling, value, "--learning_rate", "-n", "-1"])
    assert (options.y_limits, options.learning_rate, options.number) == ([value], True, -1)
    if spelling.startswith("--"):
        assert parser.parse_args([f"{spelling}={value}"]).y_limits == [value]


def test_a_mistyped_option_is_an_error(parser, capsys, monkeypatch):
    monkeypatch.setattr("sys.argv", ["tool", "--y_limit_s", "1"])
    with pytest.raises(SystemExit):
        parser.parse_args()
    assert "--y-limit-s" in capsys.readouterr().err
    assert "example:\n  tool -y -1,0\n" in parser.format_help()


def test_the_home_folder_for_what_no_shell_has_seen(parser, monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    parser.add_argument("place")
    for word, path in (("~/x", "/home/me/x"), ("~", "/home/me"), ("~x", "~x"), ("a~/x", "a~/x")):
        assert parser.parse_args([word]).place == path
        assert parser.parse_args([f"--y-limits={word}", "p"]).y_limits == [path]
