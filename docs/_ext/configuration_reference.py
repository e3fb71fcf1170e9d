"""Writes the reference of all keys, one page per section, and the JSON Schema for editors beside the pages.

Both are made from the schema while the documentation is built, so neither can differ from the program.
"""

from __future__ import annotations

import html
import json
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from configuration_keys import Key, Part, parts
from docutils.nodes import make_id
from sphinx.application import Sphinx

from ivadomed.config import json_schema
from ivadomed.config.schema.run import SECTIONS, RunConfig

MARKER = "<!-- the sections and the filter, made from the schema -->"
SCHEMA_FILE = "ivadomed.schema.json"
FOLDER = "configuration"
_EVERY_TRANSFORM = ("applied_to", "dataset_type")
_TOP, _NETWORKS = "top_level", "default_model"


def reference(sections: Iterable[Part] | None = None) -> dict[str, str]:
    """The pages of the reference: name -> Markdown, with a heading per section and a definition per key.

    Keys that several variants or sections share are explained once and named where they are shared.
    """
    pages: dict[str, list[str]] = {}
    for part, own, shared in _explained(sections):
        name = page_of(part)
        lines = pages.setdefault(name, _title(name))
        is_page = part.path in (name, "") and not part.variant
        lines += [] if is_page else _heading(part)
        lines += [line for key in own for line in _definition(key, part)]
        if shared:
            lines += [_shared(part, shared), ""]
    return {name: "\n".join(lines) for name, lines in pages.items()}


def page_of(part: Part) -> str:
    """Name of the page that explains a section. All networks share one page."""
    first = part.path.partition(".")[0]
    return _NETWORKS if first in SECTIONS else first or _TOP


def overview() -> str:
    """List of the pages, and the filter: every key, linked to its explanation."""
    sections, keys = defaultdict(int), []
    for part, own, _ in _explained(None):
        own = [key for key in own if not _is_tag(key, part)]
        sections[page_of(part)] += len(own)
        keys += [_entry(key, part) for key in own]
    table = [
        f"| [{_named(name)}]({FOLDER}/{name}.md) | {_describe(name)} | {n} |" for name, n in sections.items()
    ]
    tree = ["```{toctree}", ":hidden:", "", *(f"{FOLDER}/{name}" for name in sections), "```"]
    return "\n".join([*_FILTER, *keys, "</ul></details>", "", *_TABLE, *table, "", *tree])


_FILTER = (
    '<div class="key-filter"><label for="key-filter">Find a key</label>',
    '<input id="key-filter" type="search" placeholder="dropout, batch, Resample, ..."><output></output></div>',
    '<details id="key-list"><summary>All keys</summary><ul>',
)
_TABLE = ("| section | what it configures | keys |", "|---|---|---|")


def _entry(key: Key, part: Part) -> str:
    place = _place(part, key)
    link = f"{FOLDER}/{page_of(part)}.html#{make_id(_anchor(place))}"
    words = html.escape(f"{key.type}; {_default(key)}. {key.description}")
    shown = re.sub(r"`([^`]*)`", r"<code>\1</code>", words)
    return f'<li><a href="{link}"><code>{html.escape(place)}</code></a> {shown}</li>'


def _title(name: str) -> list[str]:
    return [f"# {_named(name)}", "", _describe(name), ""]


def _named(name: str) -> str:
    return "Top level" if name == _TOP else f"`{name}`"


def _describe(name: str) -> str:
    if name == _TOP:
        return "What to run, where to write the results, and on which devices."
    words = RunConfig.model_fields[name].description or ""
    sections = ", ".join(f"`{section}`" for section in SECTIONS)
    return f"{words} The sections {sections} select a network of that name." if name == _NETWORKS else words


def _explained(sections: Iterable[Part] | None) -> Iterator[tuple[Part, list[Key], list[Key]]]:
    """Each section with the keys to explain there, and those that were explained before."""
    known: dict[str, Key] = {}
    for part in parts() if sections is None else sections:
        yield (part, *_split(part, known))
        known.update({_place(part, key): key for key in part.keys})


def _split(part: Part, known: dict[str, Key]) -> tuple[list[Key], list[Key]]:
    """Keys to explain here, and those that were explained at `_elsewhere`."""
    shared = [
        key for key in part.keys if any(_same(key, known.get(place)) for place in _elsewhere(part, key))
    ]
    return [key for key in part.keys if key not in shared], shared


def _elsewhere(part: Part, key: Key) -> Iterator[str]:
    if part.path == "default_model" and key.name != "name":
        yield f"default_model.Unet.{key.name}"
    if part.path in SECTIONS:
        yield f"default_model.{part.path}.{key.name}"
    if key.name in _EVERY_TRANSFORM:
        yield f"transformation.Resample.{key.name}"


def _same(key: Key, other: Key | None) -> bool:
    if other is None or key.description == "As in default_model.":
        return other is not None
    return replace(key, path="") == replace(other, path="")


def _shared(part: Part, keys: list[Key]) -> str:
    names = ", ".join(f"`{key.name}`" for key in keys)
    if part.path.startswith("transformation."):
        place = "as [every transform](#transformation-resample-applied_to)"
    elif part.variant:
        place = "as [`Unet`](#default_model-unet)"
    else:
        anchor = f"#default_model-{part.path.lower()}"
        place = f"as [`default_model`]({anchor}); null, or left out, keeps the value from there"
    return f"Also {names}: {place}."


def _heading(part: Part) -> list[str]:
    name = f"`{part.path}`" + (f" with the name `{part.variant}`" if part.variant else "")
    anchor = _anchor(f"{part.path}.{part.variant}" if part.variant else part.path)
    return [f"({anchor})=", f"## {name}", "", part.description, ""]


def _place(part: Part, key: Key) -> str:
    return ".".join(word for word in (part.path, part.variant, key.name) if word)


def _anchor(place: str) -> str:
    """The place of a key as it stands in the address of the page: ``default_model-unet-depth``."""
    return place.replace(".", "-").replace(":", "-").lower()


def _definition(key: Key, part: Part) -> list[str]:
    kind = re.sub(r'("[^"]*")', r"`\1`", key.type) + (f", {key.range}" if key.range else "")
    if _is_tag(key, part):
        return []
    return [
        "[`" + key.name + "`]{#" + _anchor(_place(part, key)) + "}" + f" — {kind}; {_default(key)}",
        f": {key.description} Example: `{json.dumps(key.name)}: {key.example}`",
        "",
    ]


def _default(key: Key) -> str:
    return "required" if key.default == "required" else f"default `{key.default}`"


def _is_tag(key: Key, part: Part) -> bool:
    """Whether the key is the name that selects this variant, which its heading shows."""
    return key.name == "name" and bool(part.variant) and key.type != "string"


def _write_pages(app: Sphinx) -> None:
    folder = Path(app.srcdir) / FOLDER
    folder.mkdir(exist_ok=True)
    pages = reference()
    for path in folder.glob("*.md"):
        if path.stem not in pages:
            path.unlink()
    for name, text in pages.items():
        path = folder / f"{name}.md"
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")


def _fill(app: Sphinx, docname: str, source: list[str]) -> None:
    if docname == "configuration":
        source[0] = source[0].replace(MARKER, overview())


def _write_schema(app: Sphinx, error: Exception | None) -> None:
    if error is None:
        text = json.dumps(json_schema(), indent=2, ensure_ascii=False)
        (Path(app.outdir) / SCHEMA_FILE).write_text(text + "\n", encoding="utf-8")


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect all of it to the build."""
    list(parts())  # autodoc imports modules in a way in which pydantic can't make sections any more
    app.connect("builder-inited", _write_pages)
    app.connect("env-get-outdated", lambda *_: ["configuration"])
    app.connect("source-read", _fill)
    app.connect("build-finished", _write_schema)
    return {"version": "1", "parallel_read_safe": True}
