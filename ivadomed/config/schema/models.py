"""`default_model` and the sections of the other architectures.

`default_model` picks an architecture by `name` (Unet when absent) and holds the arguments all of them share.
A section such as `Modified3DUNet` with `applied: true` picks that architecture instead; what the section
leaves out is taken from `default_model`. A name such as `my_package.nets:MyNet` picks a class of the user's own.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    ConfigDict,
    Discriminator,
    Field,
    SerializerFunctionWrapHandler,
    Strict,
    Tag,
    model_serializer,
    model_validator,
)
from typing_extensions import Self

from ivadomed.config.schema.base import Size2D, Size3D
from ivadomed.models.specs import NETWORKS
from ivadomed.registry.section import Section, name_or, refuse
from ivadomed.registry.types import WHOLE, Flag, Fraction, NonNegativeReal, Positive, Real, Text

Activation = Literal["sigmoid", "relu", "softmax"]
DropoutRate = Annotated[Real, Field(ge=0, lt=1)]
FilmSwitch = Annotated[int, Strict(), Field(ge=0, le=1), WHOLE]
# The tag of a class of the user's own among the architectures, and what error messages show of it.
OWN_NAME = "package.module:Class"
_IDENTIFIER = r"[^\W\d]\w*"
_OWN_PATTERN = rf"^{_IDENTIFIER}(\.{_IDENTIFIER})*:{_IDENTIFIER}$"


def _own_name(name: str) -> str:
    if not re.match(_OWN_PATTERN, name):
        raise ValueError(f"expected {OWN_NAME}")
    return name


OwnName = Annotated[Text, AfterValidator(_own_name), Field(json_schema_extra={"pattern": _OWN_PATTERN})]


class Windows(Section):
    """Size of the patches; shared by `default_model` and the sections."""

    length_2D: Size2D = Field(
        default=None,
        description="Height and width of 2D patches in pixels after preprocessing; null: whole slices.",
        examples=[[256, 256]],
    )
    stride_2D: Size2D = Field(
        default=None,
        description="Distance between 2D patches in pixels, at most `length_2D`; null: `length_2D`.",
        examples=[[192, 192]],
    )
    length_3D: Size3D = Field(
        default=None,
        description="Size of 3D patches in voxels after preprocessing; 3D models only.",
        examples=[[96, 96, 16]],
    )
    stride_3D: Size3D = Field(
        default=None,
        description="Distance between 3D patches in voxels, at most `length_3D`; null: `length_3D`.",
        examples=[[48, 48, 8]],
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
                    "length along each dimension, or voxels between patches are never seen"
                )
            if stride and not length and isinstance(self, DefaultModel):
                problems.append(f"stride_{kind}: {list(stride)} has no effect without length_{kind}")
        refuse(problems)
        return self


class FilmArguments(Section):
    """Arguments of FiLM (Perez et al., 2018; Lemay et al., 2021)."""

    metadata: Text | None = Field(
        default=None,
        description="What conditions the network: `contrasts` (ids of contrast_dct.json), `mri_params` "
        "(FlipAngle, "
        "EchoTime, RepetitionTime, Manufacturer of the sidecar), or a column of participants.tsv. null: "
        "contrasts.",
        examples=["contrasts"],
    )
    film_layers: tuple[FilmSwitch, ...] | None = Field(
        default=None,
        description="1 where FiLM modulates a layer, else 0; 2 * depth + 2 entries from input to output. "
        "null: every layer.",
        examples=[[0, 1, 0, 0, 0, 0, 0, 0]],
    )


class HemisArguments(Section):
    """Arguments of HeMIS (Havaei et al., 2016)."""

    missing_probability: Fraction | None = Field(
        default=None,
        description="Probability (0 to 1) that a contrast is withheld in training, at the start. null: 0.",
        examples=[0.25],
    )
    missing_probability_growth: NonNegativeReal | None = Field(
        default=None,
        description="After each epoch the probability is raised to this exponent (>= 0). null: 1.",
        examples=[0.99],
    )


class Modified3DArguments(Section):
    """Arguments of the modified 3D U-Net (Isensee et al., 2017), which FiLM may modulate too."""

    attention: Flag | None = Field(default=None, description="Attention gates in the decoder. null: false.")
    metadata: Text | None = Field(
        default=None,
        description="With `film_layers`: what conditions the network, as in FiLMedUnet.",
        examples=["contrasts"],
    )
    film_layers: tuple[FilmSwitch, ...] | None = Field(
        default=None,
        description="1 where FiLM modulates a layer, else 0; ten entries: five context levels, four localisation "
        "levels, output. null: no FiLM.",
        examples=[[0, 1, 0, 0, 0, 0, 0, 0, 0, 0]],
    )


class CountceptionArguments(Section):
    """Arguments of Count-ception (Cohen et al., 2017)."""

    use_logits: Flag | None = Field(default=None, description="Give logits per output value. null: false.")
    logits_per_output: Positive | None = Field(
        default=None, description="Number of logits per output. null: 12.", examples=[8]
    )


class ResidualArguments(Section):
    """Arguments of the residual-encoder U-Net (Isensee et al., 2024); null leaves them to the rule of `sizing`."""

    max_filters: Positive | None = Field(
        default=None, description="Most filters of a stage (> 0). null: 512 in 2D, 320 in 3D.", examples=[128]
    )
    n_blocks: tuple[Positive, ...] | None = Field(
        default=None,
        description="Residual blocks of each stage, depth + 1 numbers (> 0). null: 1, 3, 4, 6, 6, ...",
        examples=[[1, 2, 2, 2]],
    )
    deep_supervision: Flag | None = Field(
        default=None, description="Train the lower resolutions of the decoder to segment, too. null: true."
    )


class DefaultModel(Windows):
    """Unet, and the arguments that every architecture takes from here."""

    name: Text = Field(default="Unet", description="Architecture.", examples=["Modified3DUNet"])
    dropout_rate: DropoutRate = Field(
        default=0.3, description="Probability (0 to < 1) of dropout.", examples=[0.2]
    )
    bn_momentum: Fraction = Field(
        default=0.1, description="Momentum (0 to 1) of batch normalization.", examples=[0.4]
    )
    depth: Positive = Field(default=3, description="Number of down-samplings (> 0).", examples=[4])
    final_activation: Activation = Field(
        default="sigmoid", description="Last layer: `sigmoid`, `softmax`, or `relu` (normalized to 0..1)."
    )
    is_2d: Flag = Field(default=True, description="2D convolutions; false: 3D, which needs `length_3D`.")
    n_filters: Positive | None = Field(
        default=None,
        description="Filters of the first convolution (> 0), doubled per level. null: 64, in 3D U-Nets 16, in "
        "ResidualEncoderUnet 32.",
        examples=[32],
    )


class Unet(DefaultModel):
    name: Literal["Unet"] = Field(default="Unet", description="Architecture.")


class FiLMedUnet(DefaultModel, FilmArguments):
    name: Literal["FiLMedUnet"] = Field(default="FiLMedUnet", description="Architecture.")


class HeMISUnet(DefaultModel, HemisArguments):
    name: Literal["HeMISUnet"] = Field(default="HeMISUnet", description="Architecture.")


class Modified3DUNet(DefaultModel, Modified3DArguments):
    name: Literal["Modified3DUNet"] = Field(default="Modified3DUNet", description="Architecture.")


class ResidualEncoderUnet(DefaultModel, ResidualArguments):
    name: Literal["ResidualEncoderUnet"] = Field(default="ResidualEncoderUnet", description="Architecture.")
    dropout_rate: DropoutRate = Field(
        default=0.0, description="Probability (0 to < 1) of dropout.", examples=[0.1]
    )
    depth: Positive | None = Field(  # type: ignore[assignment]  # only this one can do without
        default=None,
        description="Number of down-samplings (> 0). null: as many as patch size and voxel size allow.",
        examples=[3],
    )


class Countception(DefaultModel, CountceptionArguments):
    name: Literal["Countception"] = Field(default="Countception", description="Architecture.")


class Resnet18(DefaultModel):
    name: Literal["resnet18"] = Field(default="resnet18", description="Architecture.")


class Densenet121(DefaultModel):
    name: Literal["densenet121"] = Field(default="densenet121", description="Architecture.")


class OwnModel(Windows):
    """A class of the user's own; all keys but these are arguments of its constructor.

    They are checked against its signature before a run starts: reading a configuration imports no code.
    """

    model_config = ConfigDict(extra="allow")

    name: OwnName = Field(
        default=OWN_NAME,
        description="Module and name of a subclass of `ivadomed.models.Network`.",
        examples=["my_package.nets:MyNet"],
    )
    is_2d: Flag = Field(default=True, description="2D images; false: 3D, which needs `length_3D`.")

    @property
    def arguments(self) -> dict[str, Any]:
        """Keyword arguments of the constructor."""
        return dict(self.model_extra or {})


def _architecture(value: Any) -> str | None:
    name = name_or("Unet")(value)
    return OWN_NAME if isinstance(name, str) and ":" in name else name


AnyDefaultModel = Annotated[
    Annotated[Unet, Tag("Unet")]
    | Annotated[FiLMedUnet, Tag("FiLMedUnet")]
    | Annotated[HeMISUnet, Tag("HeMISUnet")]
    | Annotated[Modified3DUNet, Tag("Modified3DUNet")]
    | Annotated[ResidualEncoderUnet, Tag("ResidualEncoderUnet")]
    | Annotated[Countception, Tag("Countception")]
    | Annotated[Resnet18, Tag("resnet18")]
    | Annotated[Densenet121, Tag("densenet121")]
    | Annotated[OwnModel, Tag(OWN_NAME)],
    Discriminator(_architecture),
]


class ModelSection(Windows):
    """Overrides of `default_model` for one architecture; a key left at null keeps the value from there."""

    applied: Flag = Field(
        default=False, description="Use this architecture; at most one section may say true."
    )
    dropout_rate: DropoutRate | None = Field(default=None, description="As in default_model.", examples=[0.2])
    bn_momentum: Fraction | None = Field(default=None, description="As in default_model.", examples=[0.4])
    depth: Positive | None = Field(default=None, description="As in default_model.", examples=[4])
    final_activation: Activation | None = Field(default=None, description="As in default_model.")
    n_filters: Positive | None = Field(default=None, description="As in default_model.", examples=[8])

    @model_serializer(mode="wrap")
    def _without_nulls(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {key: value for key, value in handler(self).items() if value is not None}


class FiLMedUnetSection(ModelSection, FilmArguments):
    """U-Net modulated by metadata."""


class HeMISUnetSection(ModelSection, HemisArguments):
    """U-Net that copes with missing contrasts; the contrasts are its channels, so `multichannel` is true."""


class Modified3DUNetSection(ModelSection, Modified3DArguments):
    """3D U-Net with deep supervision and optional attention gates."""


class ResidualEncoderUnetSection(ModelSection, ResidualArguments):
    """2D or 3D U-Net with a residual encoder, sized by patch and voxel size."""

    dropout_rate: DropoutRate | None = Field(
        default=None,
        description="Probability (0 to < 1) of dropout. null: 0, whatever default_model says.",
        examples=[0.1],
    )
    depth: Positive | None = Field(
        default=None,
        description="Number of down-samplings (> 0). null: as many as patch size and voxel size allow, whatever "
        "default_model says.",
        examples=[3],
    )


class CountceptionSection(ModelSection, CountceptionArguments):
    """Fully convolutional counting and localisation."""


class Resnet18Section(ModelSection):
    """ResNet-18, classification."""


class Densenet121Section(ModelSection):
    """DenseNet-121, classification."""


SECTIONS: tuple[str, ...] = tuple(NETWORKS)[1:]
"""Networks that have a section of their own."""
