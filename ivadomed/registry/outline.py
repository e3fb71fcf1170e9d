"""Names and signatures of a registry's entries, read from the source of its room without importing it.

The rooms of losses, networks and transforms load torch, which takes seconds. An outline suffices to report a
misspelled name or argument, and usually a wrong type, before that.
"""

from __future__ import annotations

import ast
import builtins
import importlib
import re
from collections.abc import Callable, Iterator
from functools import cache
from importlib.util import find_spec
from inspect import Parameter, Signature
from pathlib import Path
from typing import Any

from ivadomed.registry import types
from ivadomed.registry.types import INTERNAL

Definition = ast.ClassDef | ast.FunctionDef

_MATTERS = re.compile(r"Annotated\[|\.register\b|^@[a-z]+\n(class|def) ", re.MULTILINE)
"""Found in every module that registers something or defines an alias or base for it; others are not parsed."""

_NO_ARGUMENTS = "ClassVar"
_LIGHT = ("typing", "collections.abc", types.__name__)
"""Modules whose names may appear in the annotations of a room."""


@cache
def outlines(module: str, registry: str) -> tuple[tuple[str, Callable[..., Any]], ...]:
    """Names and outlines of the entries registered in a room, except those that no configuration names.

    Args:
        module: Package of the room.
        registry: Name of its registry.

    Returns:
        For each entry, a function with its name, docstring, and a signature with the arguments that a configuration
        may set. Annotations that refer to anything outside the room and ``registry.types`` are `Any`.
    """
    room = _Room(module, registry)
    return tuple((node.name, _outline(node, room)) for node in room.registered())


class _Room:
    """Definitions of all modules of a room, and the names that their annotations use."""

    def __init__(self, module: str, registry: str) -> None:
        spec = find_spec(module)
        folder = Path(spec.origin).parent if spec and spec.origin else Path()
        texts = [path.read_text(encoding="utf-8") for path in sorted(folder.glob("*.py"))]
        self.definitions: dict[str, Definition] = {}
        self.scope = _Scope()
        for node in (node for text in texts if _MATTERS.search(text) for node in ast.parse(text).body):
            if isinstance(node, Definition):
                self.definitions[node.name] = node
            elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                self.scope.assigned[node.targets[0].id] = node.value
        self._decorators = set(self._made_for(f"{registry}.register"))

    def _made_for(self, register: str) -> Iterator[str]:
        for name, value in self.scope.assigned.items():
            if ast.unparse(value) == register:
                yield name
        for name, node in self.definitions.items():
            if isinstance(node, ast.FunctionDef) and f"{register}(" in ast.unparse(node):
                yield name

    def registered(self) -> Iterator[Definition]:
        """Definitions that a configuration can name."""
        for node in self.definitions.values():
            named = {each.id for each in node.decorator_list if isinstance(each, ast.Name)}
            if named & self._decorators and not _is_not_configurable(node):
                yield node

    def bases(self, node: ast.ClassDef) -> Iterator[ast.ClassDef]:
        """Bases of a class in this room."""
        for base in node.bases:
            found = self.definitions.get(base.id) if isinstance(base, ast.Name) else None
            if isinstance(found, ast.ClassDef):
                yield found


class _Scope(dict[str, Any]):
    """Names for annotations: those of light modules, and the room's aliases, which are evaluated on demand."""

    def __init__(self) -> None:
        super().__init__(vars(builtins))
        for module in _LIGHT:
            known = vars(importlib.import_module(module))
            self.update({name: value for name, value in known.items() if not name.startswith("_")})
        self.assigned: dict[str, ast.expr] = {}

    def __missing__(self, name: str) -> Any:
        self[name] = self.value(self.assigned[name])
        return self[name]

    def value(self, node: ast.expr | None, otherwise: Any = Any) -> Any:
        """Value of an expression; `otherwise` if it uses unknown names."""
        if node is None:
            return otherwise
        try:
            return eval(compile(ast.Expression(node), "<annotation>", "eval"), {}, self)
        except (NameError, KeyError, TypeError, AttributeError):
            return otherwise


def _is_not_configurable(node: Definition) -> bool:
    return any(
        isinstance(inner, ast.AnnAssign)
        and ast.unparse(inner.target) == "configurable"
        and inner.value is not None
        and ast.unparse(inner.value) == "False"
        for inner in node.body
    )


def _outline(node: Definition, room: _Room) -> Callable[..., Any]:
    arguments = dict(_class_arguments(node, room) if isinstance(node, ast.ClassDef) else _keywords(node))

    def outline(**_: Any) -> None: ...

    parameters = []
    for name, (annotation, default) in arguments.items():
        if annotation is not None and INTERNAL.upper() in ast.unparse(annotation):
            continue
        value = Parameter.empty if default is None else room.scope.value(default, None)
        parameters.append(Parameter(name, Parameter.KEYWORD_ONLY, default=value))
        outline.__annotations__[name] = room.scope.value(annotation)
    outline.__annotations__ = {each.name: outline.__annotations__[each.name] for each in parameters}
    outline.__signature__ = Signature(parameters)  # type: ignore[attr-defined]
    outline.__name__, outline.__doc__ = node.name, ast.get_docstring(node)
    return outline


Argument = tuple[str, tuple[ast.expr | None, ast.expr | None]]
"""Name, annotation and default, as written."""


def _class_arguments(node: ast.ClassDef, room: _Room) -> Iterator[Argument]:
    """Arguments of the constructor and of those it passes ``**kwargs`` to; the attributes of a dataclass."""
    call = next(
        (each for each in node.body if isinstance(each, ast.FunctionDef) and each.name == "__init__"), None
    )
    if call is not None:
        yield from _keywords(call)
        if call.args.kwarg is None:
            return
    for base in room.bases(node):
        yield from _class_arguments(base, room)
    if call is None and node.decorator_list:
        for inner in node.body:
            if isinstance(inner, ast.AnnAssign) and _NO_ARGUMENTS not in ast.unparse(inner.annotation):
                yield ast.unparse(inner.target), (inner.annotation, inner.value)


def _keywords(node: ast.FunctionDef) -> Iterator[Argument]:
    """Arguments after the first; for a function that is not a constructor, the keyword-only ones."""
    args = node.args
    if node.name == "__init__":
        defaults: list[ast.expr | None] = [None] * (len(args.args) - len(args.defaults)) + list(args.defaults)
        for argument, default in list(zip(args.args, defaults, strict=True))[1:]:
            yield argument.arg, (argument.annotation, default)
    for argument, default in zip(args.kwonlyargs, args.kw_defaults, strict=True):
        yield argument.arg, (argument.annotation, default)
