"""Puts the reference of all keys into ``configuration.md``, and the JSON Schema for editors beside the pages.

Both are made from the schema while the documentation is built, so neither can differ from the program.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from configuration_keys import Key, Part, parts
from sphinx.application import Sphinx

from ivadomed.config import json_schema
from ivadomed.config.schema.run import SECTIONS

MARKER = "<!-- the reference, made from the schema -->"
SCHEMA_FILE = "ivadomed.schema.json"
_EVERY_TRANSFORM = ("applied_to", "dataset_type")


def reference(sections: Iterable[Part] | None = None) -> str:
    """All keys as Markdown: a heading per section, a definition per key.

    Keys that several variants or sections share are explained once and named where they are shared.
    """
    lines: list[str] = []
    known: dict[str, Key] = {}
    for part in parts() if sections is None else sections:
        own, shared = _split(part, known)
        lines += [*_heading(part), *(line for key in own for line in _definition(key, part))]
        if shared:
            lines += [_shared(part, shared), ""]
        known.update({_place(part, key): key for key in part.keys})
    return "\n".join(lines)


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
    if not part.path:
        return ["## Top level", "", part.description, ""]
    depth = part.path.count(".") + (1 if part.variant else 0)
    name = f"`{part.path}`" + (f" with the name `{part.variant}`" if part.variant else "")
    anchor = _anchor(f"{part.path}.{part.variant}" if part.variant else part.path)
    return [f"({anchor})=", f"{'#' * (2 + min(depth, 1))} {name}", "", part.description, ""]


def _place(part: Part, key: Key) -> str:
    return ".".join(word for word in (part.path, part.variant, key.name) if word)


def _anchor(place: str) -> str:
    """The place of a key as it stands in the address of the page: ``default_model-unet-depth``."""
    return place.replace(".", "-").replace(":", "-").lower()


def _definition(key: Key, part: Part) -> list[str]:
    kind = re.sub(r'("[^"]*")', r"`\1`", key.type) + (f", {key.range}" if key.range else "")
    if key.name == "name" and part.variant and key.type != "string":
        return []
    default = "required" if key.default == "required" else f"default `{key.default}`"
    return [
        "[`" + key.name + "`]{#" + _anchor(_place(part, key)) + "}" + f" — {kind}; {default}",
        f": {key.description} Example: `{json.dumps(key.name)}: {key.example}`",
        "",
    ]


def _fill(app: Sphinx, docname: str, source: list[str]) -> None:
    if docname == "configuration":
        source[0] = source[0].replace(MARKER, reference())


def _write_schema(app: Sphinx, error: Exception | None) -> None:
    if error is None:
        text = json.dumps(json_schema(), indent=2, ensure_ascii=False)
        (Path(app.outdir) / SCHEMA_FILE).write_text(text + "\n", encoding="utf-8")


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect both to the build."""
    list(parts())  # autodoc imports modules in a way in which pydantic can't make sections any more
    app.connect("env-get-outdated", lambda *_: ["configuration"])
    app.connect("source-read", _fill)
    app.connect("build-finished", _write_schema)
    return {"version": "1", "parallel_read_safe": True}
