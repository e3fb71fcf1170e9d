"""Completion with the Tab key, asked of a real bash."""

import shutil
import subprocess
import sys

import pytest

from ivadomed.scripts.completion import main, parsers

pytest.importorskip("shtab")
PROGRAMS = {parser.prog for parser in parsers()}


@pytest.fixture(scope="module")
def script(tmp_path_factory):
    path = tmp_path_factory.mktemp("completion") / "ivadomed.bash"
    command = [sys.executable, "-m", "ivadomed.scripts.completion", "bash"]
    path.write_text(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    return path


def complete(script, program, *words):
    """What bash offers for the last word."""
    function = f"_shtab_{program}"
    line = f"source {script}; COMP_WORDS=({' '.join([program, *words])}); COMP_CWORD={len(words)}; "
    line += f'{function} {program} "{words[-1]}" ""; printf "%s\\n" "${{COMPREPLY[@]}}"'
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, cwd=script.parent)
    return set(done.stdout.split())


def test_all_commands_are_there():
    assert {"ivadomed", "ivadomed_check_data", "ivadomed_segment_image", "ivadomed_completion"} <= PROGRAMS
    assert all(program == "ivadomed" or program.startswith("ivadomed_") for program in PROGRAMS)


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash")
@pytest.mark.parametrize(
    ("program", "word", "offered"),
    [
        ("ivadomed", "--tr", {"--train"}),
        ("ivadomed", "--path", {"--path-data", "--path-output"}),
        ("ivadomed_check_data", "--conf", {"--config"}),
        ("ivadomed_completion", "z", {"zsh"}),
    ],
)
def test_options(script, program, word, offered):
    assert complete(script, program, word) == offered


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash")
def test_files(script):
    (script.parent / "my_config.json").write_text("{}")
    assert complete(script, "ivadomed", "-c", "my_") == {"my_config.json"}


def test_zsh_has_a_function_for_each_command(capsys):
    assert main(["zsh"]) == 0
    text = capsys.readouterr().out
    assert all(f"compdef _shtab_{program} " in text for program in PROGRAMS)


def test_without_shtab(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "shtab", None)
    assert main(["bash"]) == 1
    error = (
        'ivadomed_completion: shtab is not installed; install it with: pip install "ivadomed[completion]"\n'
    )
    assert capsys.readouterr().err == error
