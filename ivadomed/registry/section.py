"""Sections of the configuration: strict models, and models generated from the signature of the entry they name.

This module, unlike the rest of the room, loads pydantic.
"""

from __future__ import annotations

import inspect
import re
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from functools import cache
from importlib import import_module
from inspect import Parameter
from types import UnionType
from typing import Annotated, Any, ClassVar, Final, Literal, Union, get_args, get_origin

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    ModelWrapValidatorHandler,
    PrivateAttr,
    SerializerFunctionWrapHandler,
    Tag,
    TypeAdapter,
    ValidationError,
    ValidationInfo,
    create_model,
    model_serializer,
    model_validator,
)
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails, core_schema
from typing_extensions import Self

from ivadomed.registry.outline import outlines
from ivadomed.registry.registry import OWN, Registry, parameters
from ivadomed.registry.types import INTERNAL, Doc, Text
from ivadomed.runtime.failures import utf8_remedy

_EXPECTED = {
    "bool_type": "expected true or false",
    "int_type": "expected an integer",
    "float_type": "expected a number",
    "string_type": "expected a string",
    "tuple_type": "expected a list",
    "dict_type": "expected an object {...}",
    "finite_number": "expected a finite number",
}

FIRST_LOOK: Final = "first look"
"""Validation context that imports no room of a registry: sections are compared with outlines."""


def _holds_several(annotation: Any) -> bool:
    """True for a section, a list or an object that cannot be null."""
    if get_origin(annotation) is Annotated:
        return _holds_several(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType):
        return all(_holds_several(member) for member in get_args(annotation))
    kind = get_origin(annotation) or annotation
    return isinstance(kind, type) and issubclass(kind, (BaseModel, tuple, dict))


class Section(BaseModel):
    """A JSON object of the configuration: frozen, without unknown keys.

    A section or list that is null has its default, as if the key were missing.
    """

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        defer_build=True,
        validate_default=False,
        protected_namespaces=(),
    )

    entry: ClassVar[Any] = None
    """Class or function whose arguments the keys are."""

    @model_validator(mode="before")
    @classmethod
    def _null_is_the_default(cls, value: Any) -> Any:
        if not isinstance(value, Mapping) or None not in value.values():
            return value
        return {key: entry for key, entry in value.items() if entry is not None or not cls._leaves_out(key)}

    @model_validator(mode="after")
    def _no_problems(self) -> Self:
        if hasattr(self.entry, "problems"):
            known = parameters(self.entry)[0].keys() & type(self).model_fields.keys()
            refuse(list(self.entry.problems(**{key: getattr(self, key) for key in known})))
        return self

    @classmethod
    def _leaves_out(cls, key: str) -> bool:
        field = cls.model_fields.get(key)
        return field is not None and not field.is_required() and _holds_several(field.annotation)


def key(default: Any, description: str, *examples: Any) -> Any:
    """Field with a default, a description, and an example other than the default."""
    return Field(default=default, description=description, examples=list(examples) or None)


def section(description: str) -> Any:
    """Field that holds a section, by default with all keys at their defaults."""
    return Field(default_factory=dict, validate_default=True, description=description)


class Named(Section):
    """A section whose `name` selects a class and whose other keys are the arguments of that class."""

    @property
    def arguments(self) -> dict[str, Any]:
        """Keyword arguments of the class, without keys that are null."""
        return {key: value for key, value in self if key != "name" and value is not None}


def name_or(default: str) -> Callable[[Any], str | None]:
    """Discriminator of a union of `Named` sections; an object without `name` means `default`."""

    def pick(value: Any) -> str | None:
        name = value.get("name", default) if isinstance(value, Mapping) else getattr(value, "name", None)
        return OWN if isinstance(name, str) and ":" in name else name

    return pick


class OrderedSteps(Section):
    """A section whose keys are steps, run in the order written.

    Every field is a step or null; null means that the step is not run.
    """

    _order: tuple[str, ...] = PrivateAttr(default=())

    @model_validator(mode="wrap")
    @classmethod
    def _remember_order(cls, value: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        section = handler(value)
        if isinstance(value, Mapping):
            section._order = tuple(key for key in value if value[key] is not None)
        return section

    @model_serializer(mode="wrap")
    def _in_order(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        plain = handler(self)
        return {name: plain[name] for name in self._order if name in plain}

    @property
    def steps(self) -> dict[str, Section]:
        """Name -> step, in the order in which they run."""
        return {name: getattr(self, name) for name in self._order}

    @property
    def arguments(self) -> dict[str, dict[str, Any]]:
        """Name -> keyword arguments, in order."""
        return {name: dict(step) for name, step in self.steps.items()}

    def __contains__(self, name: object) -> bool:
        return name in self._order


def refuse(problems: list[str]) -> None:
    """Raise when a section's keys contradict each other.

    Args:
        problems: One entry per problem, ``"key: problem"`` with the key relative to the section.

    Raises:
        ValueError: All problems, one line each; pydantic adds the section's place.
    """
    if problems:
        raise ValueError("\n".join(problems))


_IDENTIFIER = r"[^\W\d]\w*"
OWN_PATTERN: Final = rf"^{_IDENTIFIER}(\.{_IDENTIFIER})*:{_IDENTIFIER}$"


def _own_name(name: str) -> str:
    if not re.match(OWN_PATTERN, name):
        raise ValueError(f"expected {OWN}")
    return name


OwnName = Annotated[Text, AfterValidator(_own_name), Field(json_schema_extra={"pattern": OWN_PATTERN})]


@cache
def section_model(entry: Callable[..., Any], base: type[Section]) -> type[Section]:
    """Model of the arguments of a class or function.

    The first line of its docstring is the description. If it has a function ``problems(**arguments)``, the problems
    this returns, ``"key: problem"`` each, are refused.

    Args:
        entry: Entry of a registry.
        base: Model with the keys that do not come from the signature.
    """
    known, takes_any = parameters(entry)
    name: Any = entry.__name__
    title = name if isinstance(entry, type) else name.title().replace("_", "") + base.__name__
    fields: dict[str, Any] = {
        key: argument_field(parameter)
        for key, parameter in known.items()
        if INTERNAL not in getattr(parameter.annotation, "__metadata__", ())
    }
    if issubclass(base, Named):
        described = Field(default=name, description=base.model_fields["name"].description)
        fields = {"name": (Literal[name], described), **fields}
    model = create_model(
        title,
        __base__=opened(base) if takes_any else base,
        __doc__=description(entry),
        __module__=entry.__module__,
        **fields,
    )
    model.entry = entry
    return model


def parse_arguments(
    entry: Callable[..., Any], arguments: Mapping[str, Any]
) -> tuple[dict[str, Any], list[str]]:
    """Arguments of a class or function as their declared types, and their faults, ``"key: problem"`` each.

    Arguments marked as `INTERNAL` are not changed.
    """
    model = section_model(entry, Section)
    others = {key: value for key, value in arguments.items() if key not in model.model_fields}
    known = ", ".join(model.model_fields) or "no arguments"
    faults = [
        f"{key}: unknown key; {model.__name__} takes {known}"
        for key in others
        if key not in parameters(entry)[0]
    ]
    try:
        parsed = model.model_validate({key: arguments[key] for key in arguments if key not in others})
    except ValidationError as error:
        return {}, faults + [line for fault in error.errors() for line in _fault_lines(fault)]
    return {**others, **{key: getattr(parsed, key) for key in parsed.model_fields_set}}, faults


def _fault_lines(fault: ErrorDetails) -> list[str]:
    if not fault["loc"]:  # arguments contradict each other
        return str(fault["ctx"]["error"]).split("\n")
    return [f"{fault['loc'][0]}: {shown(fault['input'])}; {expectation(fault)}"]


def shown(value: Any) -> str:
    """A value for a message, shortened if long."""
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def expectation(error: ErrorDetails) -> str:
    """Text "expected ..." for an error of pydantic."""
    if error["type"] == "string_unicode":
        return f"expected text in UTF-8, as it is written to the files of a run; {utf8_remedy()}"
    if error["type"] in _EXPECTED:
        return _EXPECTED[error["type"]]
    context = error.get("ctx", {})
    if "actual_length" in context:
        least, most = context.get("min_length", 0), context.get("max_length")
        count = least if least == most else f"at least {least}" if most is None else f"{least} to {most}"
        return f"expected {count} entries, has {context['actual_length']}"
    message = error["msg"].replace("Value error, ", "")
    if error["type"] == "literal_error":
        message = message.replace("True", "true").replace("False", "false")  # as in JSON
    for begin, plain in (
        ("Input should be ", ""),
        ("greater ", "a value greater "),
        ("less ", "a value less "),
    ):
        message = plain + message[len(begin) :] if message.startswith(begin) else message
    return message if message.startswith("expected") else f"expected {message[0].lower()}{message[1:]}"


def description(entry: Callable[..., Any]) -> str:
    """First line of a docstring."""
    return (inspect.getdoc(entry) or "").partition("\n\n")[0].replace("\n", " ")


def argument_field(parameter: Parameter) -> tuple[Any, FieldInfo]:
    """Type and field of an argument; a `Doc` provides its description and example."""
    annotation = parameter.annotation
    metadata = getattr(annotation, "__metadata__", ())
    doc = next((entry for entry in metadata if isinstance(entry, Doc)), Doc(""))
    if rest := tuple(entry for entry in metadata if not isinstance(entry, Doc)):
        annotation = Annotated[(annotation.__origin__, *rest)]
    elif metadata:
        annotation = annotation.__origin__
    return annotation, Field(
        default=... if parameter.default is Parameter.empty else parameter.default,
        description=doc.text or None,
        examples=None if doc.example is None else [doc.example],
    )


class Open(Section):
    """Arguments of a user's own class, compared with its signature before a run starts.

    Reading a configuration imports no code.
    """

    model_config = ConfigDict(extra="allow")


def opened(base: type[Section]) -> Any:
    """Bases of a model that accepts any key in addition to those of `base`."""
    return Open if base is Section else (base, Open)


@cache
def own_model(base: type[Section]) -> type[Section]:
    """Model of a section that names ``package.module:Class``."""
    kind = base.__name__
    name = Field(
        default=OWN,
        description="Module and name of a class of your own.",
        examples=[f"my_package.my_module:My{kind}"],
    )
    fields: Any = {"name": (OwnName, name)} if issubclass(base, Named) else {}
    return create_model(
        f"Own{kind}",
        __base__=opened(base),
        __doc__=f"A {re.sub('(?<=.)(?=[A-Z])', ' ', kind).lower()} of your own; the other keys are its arguments.",
        **fields,
    )


Entries = tuple[tuple[str, Callable[..., Any]], ...]
"""Names and the entries they refer to."""


class FromRegistry(ABC):
    """Metadata of a field whose models are generated from a registry.

    The room of the registry is imported when a value is validated, or the schema or the models are requested.

    Args:
        registry: ``package.module:NAME``.
        base: Model with the keys that do not come from the signatures.
        default: Name assumed for a section without one, if its `name` selects the model.
    """

    def __init__(self, registry: str, base: type[Section], default: str = "") -> None:
        self.module, _, self.name = registry.partition(":")
        self.base, self.default = base, default

    @property
    def entries(self) -> Entries:
        """Names and entries, without those marked as not for configurations; imports the room."""
        registry: Registry[Any] = getattr(import_module(self.module), self.name)
        return tuple(
            (name, entry) for name, entry in registry.items() if getattr(entry, "configurable", True)
        )

    @property
    def known_entries(self) -> Entries:
        """Entries if the room has been imported, else their outlines."""
        return self.entries if self.module in sys.modules else outlines(self.module, self.name)

    @abstractmethod
    def models_of(self, value: Any, entries: Entries) -> tuple[type[Section], ...]:
        """Possible models of a value; {} means any.

        Args:
            value: Value of the configuration.
            entries: The entries or their outlines.
        """

    def _validate(self, value: Any, info: ValidationInfo) -> Any:
        if info.context == FIRST_LOOK:
            if value and (entries := self.known_entries):  # none where there is no source
                models = self.models_of(value, entries)
                adapter(models, self.default).validate_python(value, context=info.context)
            return value
        models = self.models_of(value, self.entries)
        found = adapter(models, self.default).validate_python(value, context=info.context)
        type(found).model_rebuild()  # pydantic 2.11 serializes instances only of classes that are built
        return found

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> Any:
        by_value = core_schema.plain_serializer_function_ser_schema(lambda value: value)
        return core_schema.with_info_plain_validator_function(self._validate, serialization=by_value)

    def __get_pydantic_json_schema__(self, schema: Any, handler: GetJsonSchemaHandler) -> Any:
        return handler(adapter(self.models_of({}, self.entries), self.default).core_schema)


@cache
def adapter(models: tuple[type[Section], ...], default: str) -> TypeAdapter[Any]:
    """Validator of a section that has one of several models, each with its `name`."""
    if len(models) == 1:
        return TypeAdapter(models[0])
    members: Any = tuple(Annotated[model, Tag(model.model_fields["name"].default)] for model in models)
    union = Union[members]  # noqa: UP007  # a tuple of members
    return TypeAdapter(Annotated[union, Discriminator(name_or(default))])


class OneOf(FromRegistry):
    """A section whose `name` selects an entry; the other keys are its arguments."""

    def models_of(self, value: Any, entries: Entries) -> tuple[type[Section], ...]:
        return (*(section_model(entry, self.base) for _, entry in entries), own_model(self.base))


class InOrder(FromRegistry):
    """A section whose keys each name an entry, run in the order of the keys.

    Args:
        registry: See `FromRegistry`.
        base: See `FromRegistry`.
        whole: Base of the section itself.
    """

    def __init__(self, registry: str, base: type[Section], whole: type[OrderedSteps]) -> None:
        super().__init__(registry, base)
        self.whole = whole

    def models_of(self, value: Any, entries: Entries) -> tuple[type[Section], ...]:
        names = value if isinstance(value, Mapping) else ()
        own = tuple(name for name in names if re.match(OWN_PATTERN, str(name)))
        return (_ordered(entries, self.base, self.whole, own),)

    def __get_pydantic_json_schema__(self, schema: Any, handler: GetJsonSchemaHandler) -> Any:
        reference = super().__get_pydantic_json_schema__(schema, handler)
        handler.resolve_ref_schema(reference)["patternProperties"] = {
            OWN_PATTERN: {"type": ["object", "null"]}
        }
        return reference


@cache
def _ordered(
    entries: Entries,
    base: type[Section],
    whole: type[OrderedSteps],
    own: tuple[str, ...],
) -> type[OrderedSteps]:
    models = {name: section_model(entry, base) for name, entry in entries}
    models |= dict.fromkeys(own, own_model(base))
    fields: Any = {
        name: (model | None, Field(default=None, description=model.__doc__)) for name, model in models.items()
    }
    return create_model(whole.__name__, __base__=whole, __doc__=whole.__doc__, **fields)
