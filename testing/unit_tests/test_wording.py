"""The vocabulary of documentation, docstrings and messages, see ``docs/wording.txt``."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [
    ROOT / "README.md",
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "docs").glob("[at]*/*.md")),
]
MODULES = sorted((ROOT / "ivadomed").rglob("*.py"))


@cache
def rules(docs: bool) -> list[tuple[re.Pattern[str], str]]:
    """Expressions to avoid, with what to write instead."""
    found = []
    for line in (ROOT / "docs" / "wording.txt").read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            pattern, advice = line.split("\t")
            if docs or not pattern.startswith("docs:"):
                found.append((re.compile(pattern.removeprefix("docs:")), advice))
    return found


def faults(text: str, docs: bool) -> Iterator[str]:
    """The expressions of a text that are to be avoided."""
    words = " ".join(text.lower().split())
    for pattern, advice in rules(docs):
        if match := pattern.search(words):
            place = words[max(0, match.start() - 30) : match.end() + 30]
            yield f"...{place}... -> {advice}"


def prose(page: str) -> str:
    """A page in Markdown without its code."""
    return re.sub(r"```.*?```|`[^`\n]*`|^    .*$", "", page, flags=re.DOTALL | re.MULTILINE)


def texts(module: str) -> Iterator[str]:
    """Docstrings and messages: all strings that have a space."""
    for node in ast.walk(ast.parse(module)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value:
            yield node.value


@pytest.mark.parametrize("text", ["Train it anew.", "The images\nthat are there: none", "Mend the file"])
def test_words_to_avoid_are_found(text):
    assert list(faults(text, docs=False))


def test_code_of_a_page_is_not_read():
    assert "anew" not in prose("Words\n\n```bash\necho anew\n```\n\n    echo anew\n\nand `anew`.")


def test_documentation():
    found = {
        str(page.relative_to(ROOT)): list(faults(prose(page.read_text("utf-8")), True)) for page in PAGES
    }
    assert {page: lines for page, lines in found.items() if lines} == {}


def test_docstrings_and_messages():
    found = {}
    for module in MODULES:
        lines = [line for text in texts(module.read_text("utf-8")) for line in faults(text, docs=False)]
        if lines:
            found[str(module.relative_to(ROOT))] = lines
    assert found == {}
