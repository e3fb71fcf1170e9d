"""`default_model` and the sections of the other architectures, generated from the constructors of the networks.

`default_model` selects an architecture by `name` (Unet by default) and holds the arguments that all of them share. A
section such as `Modified3DUNet` with `applied: true` selects that architecture instead; keys missing from the section
are taken from `default_model`. A name such as `my_package.nets:MyNet` selects a user's own class.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from typing import Any, Literal

from pydantic import (
    Field,
    SerializerFunctionWrapHandler,
    create_model,
    model_serializer,
    model_validator,
)
from typing_extensions import Self

from ivadomed.config.schema import Size2D, Size3D
from ivadomed.models.specs import SPECS
from ivadomed.registry import parameters
from ivadomed.registry.section import (
    OWN,
    Entries,
    FromRegistry,
    OneOf,
    Open,
    OwnName,
    Section,
    argument_field,
    description,
    key,
    refuse,
)
from ivadomed.registry.types import Flag, Fraction, NonNegativeReal, Text

_MODELS = "ivadomed.models.registry:MODELS"


class PatchSizes(Section):
    """Patch sizes, a part of `default_model` and of the sections."""

    length_2D: Size2D = key(
        None, "Height and width of 2D patches in pixels after preprocessing; null: whole slices.", [256, 256]
    )
    stride_2D: Size2D = key(
        None, "Distance between 2D patches in pixels, at most `length_2D`; null: `length_2D`.", [192, 192]
    )
    length_3D: Size3D = key(
        None, "Size of 3D patches in voxels after preprocessing; 3D models only.", [96, 96, 16]
    )
    stride_3D: Size3D = key(
        None, "Distance between 3D patches in voxels, at most `length_3D`; null: `length_3D`.", [48, 48, 8]
    )

    @model_validator(mode="after")
    def _strides(self) -> Self:
        problems = []
        for kind in ("2D", "3D"):
            length, stride = getattr(self, f"length_{kind}"), getattr(self, f"stride_{kind}")
            if length and stride and any(step > size for step, size in zip(stride, length, strict=True)):
                problems.append(
                    f"stride_{kind}: {list(stride)} exceeds length_{kind} {list(length)}; expected at most "
                    "the "
                    "length along each dimension, otherwise voxels between patches are skipped"
                )
            if stride and not length and isinstance(self, DefaultModel):
                problems.append(f"stride_{kind}: {list(stride)} has no effect without length_{kind}")
        refuse(problems)
        return self


class DefaultModel(PatchSizes):
    """Keys of `default_model` that are not constructor arguments."""

    name: Text = key("Unet", "Architecture.", "Modified3DUNet")
    is_2d: Flag = key(True, "2D convolutions; false: 3D, which needs `length_3D`.")


class OwnModel(DefaultModel, Open):
    """A user's own class; all other keys are arguments of its constructor.

    Arguments are checked against its signature before a run starts; reading a configuration imports no code.
    """

    name: OwnName = key(
        OWN,
        "Module and name of a subclass of `ivadomed.models.Network` or of `torch.nn.Module`.",
        "my_package.nets:MyNet",
    )
    is_2d: Flag = key(True, "2D images; false: 3D, which needs `length_3D`.")

    @property
    def arguments(self) -> dict[str, Any]:
        """Keyword arguments of the constructor."""
        return dict(self.model_extra or {})


class ModelSection(PatchSizes):
    """Overrides of `default_model` for one architecture; a key left at null keeps the value from there."""

    applied: Flag = key(False, "Use this architecture; true in at most one section.")

    @model_serializer(mode="wrap")
    def _without_nulls(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {key: value for key, value in handler(self).items() if value is not None}


class FilmKeys(Section):
    """Keys of a network modulated by metadata (Perez et al., 2018; Lemay et al., 2021)."""

    metadata: Text | None = key(
        None,
        "Metadata that condition the network: `contrasts` (ids of contrast_dct.json), `mri_params` (FlipAngle, "
        "EchoTime, RepetitionTime, Manufacturer from the sidecar), or a column of participants.tsv. null: contrasts.",
        "contrasts",
    )


class MissingContrastKeys(Section):
    """Keys of a network that handles missing contrasts (Havaei et al., 2016)."""

    missing_probability: Fraction | None = key(
        None, "Initial probability (0 to 1) that a contrast is dropped in training. null: 0.", 0.25
    )
    missing_probability_growth: NonNegativeReal | None = key(
        None, "Exponent (>= 0) to which that probability is raised after each epoch. null: 1.", 0.99
    )


Fields = dict[str, tuple[Any, Any]]  # type and pydantic's field


@cache
def network_arguments(network: Callable[..., Any]) -> Fields:
    """Type and field of each constructor argument that is a key of the configuration."""
    fields = {key: argument_field(parameter) for key, parameter in parameters(network)[0].items()}
    return {key: (kind, field) for key, (kind, field) in fields.items() if field.description}


def _optional(kind: Any, field: Any, remark: str = "") -> tuple[Any, Any]:
    """Make a field nullable, with null by default: the constructor's default then applies."""
    text = field.description or ""
    if field.default is not None and "null: " not in text:
        value = field.default
        text += f" null: {f'{value:g}' if isinstance(value, float) else json.dumps(value)}."
    text = text.removesuffix(".") + f"{remark}." if remark else text
    return kind | None, Field(default=None, description=text, examples=field.examples)


def _made(network: Callable[..., Any], title: str, base: type[Section], fields: Fields) -> type[Section]:
    spec, bases = SPECS[network.__name__], [base]
    if spec.film:
        bases.append(FilmKeys)
    if spec.missing_contrasts:
        bases.append(MissingContrastKeys)
    definitions: Any = fields
    return create_model(
        title, __base__=tuple(bases), __doc__=description(network), __module__=__name__, **definitions
    )


@cache
def default_model_of(network: Callable[..., Any], unet: Callable[..., Any]) -> type[Section]:
    """Model of `default_model` for a network: the shared arguments are Unet's, with its defaults."""
    name = network.__name__
    spec, own, shared = SPECS[name], network_arguments(network), network_arguments(unet)
    title: Any = name
    fields: Fields = {"name": (Literal[title], Field(default=name, description="Architecture."))}
    for argument in shared | own:
        is_shared = argument in shared
        kind, field = (shared if is_shared and argument not in spec.not_shared else own)[argument]
        keeps_default = is_shared and argument not in spec.sized
        fields[argument] = (kind, field) if keeps_default else _optional(kind, field)
    return _made(network, name, DefaultModel, fields)


@cache
def section_of(network: Callable[..., Any], unet: Callable[..., Any]) -> type[Section]:
    """Section of a network: its own arguments, and those that override `default_model`'s."""
    name = network.__name__
    spec, own, shared = SPECS[name], network_arguments(network), network_arguments(unet)
    fields: Fields = {}
    for argument in shared | own:
        if argument in spec.not_shared:
            fields[argument] = _optional(*own[argument], ", whatever default_model says")
        elif argument in shared:
            kind, field = shared[argument]
            fields[argument] = (
                kind | None,
                Field(default=None, description="As in default_model.", examples=field.examples),
            )
        else:
            fields[argument] = _optional(*own[argument])
    return _made(network, f"{name[:1].upper()}{name[1:]}Section", ModelSection, fields)


def arguments_of(name: str) -> Fields:
    """See ``network_arguments``, here by the network's name."""
    return network_arguments(dict(ChosenModel().entries)[name])


class ChosenModel(OneOf):
    """Metadata of the field `default_model`, whose `name` selects a network."""

    def __init__(self) -> None:
        super().__init__(_MODELS, DefaultModel, "Unet")

    def models_of(self, value: Any, entries: Entries) -> tuple[type[Section], ...]:
        """Models of `default_model` for each network, and for a user's own."""
        networks = dict(entries)
        return (*(default_model_of(networks[name], networks["Unet"]) for name in SPECS), OwnModel)


class SectionOf(FromRegistry):
    """Metadata of the field that is the section of a network."""

    def __init__(self, name: str) -> None:
        super().__init__(_MODELS, ModelSection, name)

    def models_of(self, value: Any, entries: Entries) -> tuple[type[Section], ...]:
        """The section."""
        networks = dict(entries)
        return (section_of(networks[self.default], networks["Unet"]),)
