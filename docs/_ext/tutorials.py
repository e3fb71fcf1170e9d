"""Blocks of the documentation that are executed, and tutorials as notebooks.

The first line of a fenced block says what becomes of it:

- ``bash run``, ``python run``: executed by the tests, a cell of a notebook;
- ``bash download``: not executed, a cell that is commented out;
- ``json FILE``: a configuration to save under that name; ``json FILE from OTHER``: OTHER with these keys changed;
- ``json small``: values with which a configuration trains within seconds;
- anything else is for reading.

``python docs/_ext/tutorials.py`` writes the notebooks beside their tutorials.
"""

from __future__ import annotations

import hashlib
import re
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat

NOTEBOOKS = ("one_class_segmentation_2d_unet", "two_class_microscopy")
TUTORIALS = Path(__file__).parents[1] / "tutorials"
_FENCE = re.compile(r"^( *)```(\w+)(?: +([^\n]*))?\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
_REPOSITORY = "ivadomed/ivadomed"
_PAGES = "https://ivadomed.org"


@dataclass(frozen=True)
class Block:
    """A fenced block: ``LANGUAGE NOTE``, and the lines in it."""

    language: str
    note: str
    text: str

    @property
    def runs(self) -> bool:
        """Whether the block is executed."""
        return self.note == "run" and self.language in ("bash", "python")


def blocks(page: str) -> Iterator[Block]:
    """The fenced blocks of a page in Markdown."""
    for found in _FENCE.finditer(page):
        yield _block(found)


def _block(found: re.Match[str]) -> Block:
    return Block(found[2], (found[3] or "").strip(), textwrap.dedent(found[4]))


def merged(tree: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """`tree` with `changes` written into it, section by section; ``name`` and ordered sections are replaced."""
    result = dict(tree)
    for key, value in changes.items():
        section = key not in ("postprocessing", "transformation") and isinstance(value, Mapping)
        result[key] = merged(result.get(key) or {}, value) if section else value
    return result


def notebook(page: str, name: str) -> nbformat.NotebookNode:
    """A tutorial as a notebook: its text and its executed blocks are cells, in their order."""
    cells, place = [_badge(name)], 0
    for found in _FENCE.finditer(page):
        code = _cell(_block(found))
        if code is not None:
            cells += [*_text(page[place : found.start()]), nbformat.v4.new_code_cell(code)]
            place = found.end()
    cells += _text(page[place:])
    for number, cell in enumerate(cells):  # the same text gives the same file
        cell["id"] = hashlib.sha256(f"{number} {cell['source']}".encode()).hexdigest()[:12]
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    return nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel})


def _badge(name: str) -> nbformat.NotebookNode:
    link = f"https://colab.research.google.com/github/{_REPOSITORY}/blob/main/docs/tutorials/{name}.ipynb"
    picture = "https://colab.research.google.com/assets/colab-badge.svg"
    install = "In Colab, run `!pip install ivadomed` in a cell of its own first."
    return nbformat.v4.new_markdown_cell(f"[![Open in Colab]({picture})]({link})\n\n{install}")


def _cell(block: Block) -> str | None:
    text = block.text.rstrip("\n")
    if block.runs:
        return f"%%bash\n{text}" if block.language == "bash" else text
    if block.note == "download":
        return "\n".join(f"# !{line}" for line in text.splitlines())
    if block.language == "json" and re.fullmatch(r"\S+\.json", block.note):
        return f"%%writefile {block.note}\n{text}"
    return None


def _text(part: str) -> list[nbformat.NotebookNode]:
    absolute = re.sub(r"\]\((?:\.\./)([\w/]+)\.md", rf"]({_PAGES}/\1.html", part.strip())
    absolute = re.sub(r"\]\((\w+)\.md", rf"]({_PAGES}/tutorials/\1.html", absolute)
    return [nbformat.v4.new_markdown_cell(absolute)] if absolute else []


def main() -> None:
    """Write all notebooks."""
    for name in NOTEBOOKS:
        page = (TUTORIALS / f"{name}.md").read_text(encoding="utf-8")
        nbformat.write(notebook(page, name), TUTORIALS / f"{name}.ipynb")


if __name__ == "__main__":
    main()
