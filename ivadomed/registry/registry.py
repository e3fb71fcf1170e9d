"""Dictionary of the classes or functions that a configuration can name, and suggestions for misspelled names."""

from __future__ import annotations

import difflib
import importlib
import inspect
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeVar, get_type_hints

from ivadomed.errors import ConfigError, IvadomedError

T = TypeVar("T", bound=Callable[..., Any])
E = TypeVar("E", bound=Callable[..., Any])

OWN = "package.module:Class"
"""Form of the name of a class that is imported instead of registered."""


class Registry(dict[str, T]):
    """Name -> class or function, filled by its decorator `register`.

    Args:
        base: Base class of the entries, or None for functions.
        place: Start of messages about an entry, with ``{name}``.
        unknown: Start of the message about a name that is not registered, with ``{name}``.
        no_argument: Message about an argument that is not in the signature, with ``{name}``, ``{key}``, the
            ``{known}`` ones, and a suggestion as ``{hint}``.
        expected: Base in words, "transform; expected a subclass of ...", for the message about any other class.
        error: Class of the errors.
    """

    def __init__(
        self,
        base: type | None,
        *,
        place: str,
        unknown: str,
        no_argument: str,
        expected: str,
        error: type[IvadomedError] = ConfigError,
    ) -> None:
        super().__init__()
        self.base, self.error = base, error
        self.place, self.unknown, self.no_argument, self.expected = place, unknown, no_argument, expected

    def register(self, entry: E) -> E:
        """Add a class or function under its own name; a decorator."""
        self[entry.__name__] = entry  # type: ignore[assignment]  # a decorator preserves the type of its argument
        return entry

    def find(self, name: Any, allow_import: bool = True) -> T:
        """Class or function of a name.

        Args:
            name: A key, or ``package.module:Class``, which is imported.
            allow_import: False if the name comes from an untrusted file; then only modules that the user has already
                imported are searched, excluding Python's own.

        Raises:
            IvadomedError: There is no such entry, or it is of another base.
        """
        if name in self:
            return self[name]
        module, colon, attribute = str(name).partition(":")
        if not colon:
            hint = did_you_mean(name, self, ".")
            raise self.error(f"{self.unknown.format(name=name)}{hint} Known: {', '.join(self)}.")
        place = self.place.format(name=name)
        if not allow_import and (
            module not in sys.modules or module.partition(".")[0] in sys.stdlib_module_names
        ):
            raise self.error(
                f"{place} is not a class of ivadomed, and a file is not allowed to import one; if you trust it, "
                f"`import {module}` before you load the file"
            )
        try:
            found = getattr(importlib.import_module(module), attribute)
        except Exception as error:  # the module's code may raise anything
            raise self.error(
                f"{place} cannot be imported ({type(error).__name__}: {error}); expected an importable {OWN}; "
                "add its folder to PYTHONPATH"
            ) from error
        fits = (
            callable(found) if self.base is None else isinstance(found, type) and issubclass(found, self.base)
        )
        if not fits:
            raise self.error(f"{place} is no {self.expected}")
        return found

    def build(self, name: Any, arguments: Mapping[str, Any]) -> Any:
        """Call the class of a name.

        Raises:
            IvadomedError: See `check`, and any error of the class itself.
        """
        self.check(name, arguments)
        return self.find(name)(**arguments)

    def check(self, name: Any, arguments: Iterable[str]) -> None:
        """Compare arguments with a signature, without a call.

        Args:
            name: See `find`.
            arguments: Names of the given arguments.

        Raises:
            IvadomedError: Unknown name, unknown or missing argument.
        """
        known, takes_any = parameters(self.find(name))
        given = list(arguments)
        for key in given:
            if key not in known and not takes_any:
                hint, names = did_you_mean(key, known, "."), ", ".join(known) or "none"
                raise self.error(self.no_argument.format(name=name, key=key, known=names, hint=hint))
        missing = [key for key, parameter in known.items() if parameter.default is parameter.empty]
        if missing := [key for key in missing if key not in given]:
            place = self.place.format(name=name).removesuffix(":")
            raise self.error(f"{place}: {', '.join(missing)} must be given")


def parameters(entry: Callable[..., Any]) -> tuple[dict[str, inspect.Parameter], bool]:
    """Arguments of a class or function that a configuration may set, and True if it accepts any others.

    For a class, these are the constructor's, and its base's if it passes ``**kwargs`` on; for a function, the
    keyword-only ones. Annotations are evaluated, including metadata.
    """
    found: dict[str, inspect.Parameter] = {}
    takes_any = False
    for call in constructors(entry):
        own = inspect.signature(call).parameters.values()
        try:
            hints = get_type_hints(call, include_extras=True)
        except NameError:  # a user's own class may use names imported for type checkers only
            hints = {}
        for parameter in own:
            if parameter.name != "self" and parameter.kind in _kinds(entry):
                annotation = hints.get(parameter.name, Any)
                found.setdefault(parameter.name, parameter.replace(annotation=annotation))
        takes_any = any(parameter.kind is parameter.VAR_KEYWORD for parameter in own)
        if not takes_any:
            break
    return found, takes_any


def constructors(entry: Callable[..., Any]) -> Iterator[Callable[..., Any]]:
    """The function itself; for a class, every constructor with arguments of a configuration, its own first."""
    if not isinstance(entry, type):
        yield entry
        return
    for cls in entry.__mro__:
        if cls.__module__.startswith(_FOREIGN):
            return
        if "__init__" in vars(cls):
            yield vars(cls)["__init__"]


def _kinds(entry: Callable[..., Any]) -> tuple[Any, ...]:
    named = inspect.Parameter.KEYWORD_ONLY
    return (named, inspect.Parameter.POSITIONAL_OR_KEYWORD) if isinstance(entry, type) else (named,)


# Classes whose constructors have no arguments of a configuration: object, torch.nn.Module.
_FOREIGN = ("builtins", "torch.")


_SHARED = "random"
_CUTOFF = 0.65


def similarity(one: str, other: str) -> float:
    """Ratio of twice the matching characters to all characters, 0 to 1; case-insensitive."""
    return difflib.SequenceMatcher(None, one.lower(), other.lower()).ratio()


def nearest(word: object, known: Iterable[str], cutoff: float = _CUTOFF) -> str | None:
    """Known word most similar to a misspelled one, or None; case-insensitive.

    Common prefixes of names do not count: RandomTranslation is not a misspelled RandomContrast.

    Args:
        word: The misspelled word.
        known: Candidates.
        cutoff: Minimum `similarity`.
    """
    lower = {name.lower(): name for name in known}
    text = str(word).lower()
    for name in difflib.get_close_matches(text, list(lower), n=3, cutoff=cutoff):
        shared = text.startswith(_SHARED) and name.startswith(_SHARED)
        if not shared or similarity(text.removeprefix(_SHARED), name.removeprefix(_SHARED)) >= cutoff:
            return lower[name]
    return None


def did_you_mean(word: object, known: Iterable[str], otherwise: str = "") -> str:
    """``; did you mean 'dropout_rate'?`` for a misspelled word, else `otherwise`."""
    near = nearest(word, known)
    return f"; did you mean {near!r}?" if near else otherwise
