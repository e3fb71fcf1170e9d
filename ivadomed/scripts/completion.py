"""Print a script for Tab completion of the options of ivadomed and its tools in a shell."""

from __future__ import annotations

import argparse
import pkgutil
import sys
from collections.abc import Iterator
from importlib import import_module

import ivadomed.scripts
from ivadomed import main as ivadomed_main
from ivadomed.errors import MachineError
from ivadomed.runtime.console import ToolParser, console_script

SHELLS = ("bash", "zsh")
_EXAMPLES = """\
examples:
  ivadomed_completion bash > ~/.ivadomed.bash && echo 'source ~/.ivadomed.bash' >> ~/.bashrc
  ivadomed_completion zsh > ~/.ivadomed.zsh && echo 'eval "$(<~/.ivadomed.zsh)"' >> ~/.zshrc

In ~/.zshrc, put that line after "autoload -Uz compinit && compinit".
The script is generated from the installed commands by shtab (pip install "ivadomed[completion]"); regenerate it after
an update.
"""
_FILES = {"bash": "_shtab_compgen_files", "zsh": "_files"}


def get_parser() -> argparse.ArgumentParser:
    """Parser of the command line."""
    parser = ToolParser("ivadomed_completion", __doc__, _EXAMPLES)
    parser.add_argument("shell", choices=SHELLS, help="shell for the script")
    return parser


def parsers() -> Iterator[argparse.ArgumentParser]:
    """Parsers of `ivadomed` and of each tool that is a command."""
    yield ivadomed_main.get_parser()
    for module in pkgutil.iter_modules(ivadomed.scripts.__path__):
        parser = import_module(f"ivadomed.scripts.{module.name}").get_parser()
        if parser.prog == f"ivadomed_{module.name}":
            yield parser


def completion(shell: str) -> str:
    """Completion script for a shell.

    Args:
        shell: One of `SHELLS`.

    Raises:
        MachineError: shtab is not installed.
    """
    try:
        import shtab
    except ImportError as error:
        raise MachineError(
            'shtab is not installed; install it with: pip install "ivadomed[completion]"'
        ) from error
    parts = []
    for parser in parsers():
        for action in parser._actions:
            if action.nargs != 0 and not action.choices and action.type not in (int, float):
                action.complete = _FILES  # type: ignore[attr-defined]  # where shtab looks
        parts.append(shtab.complete(parser, shell))
    return "\n".join(parts)


main = console_script(get_parser, lambda options: print(completion(options.shell)))

if __name__ == "__main__":
    sys.exit(main())
