"""`RunConfig`: the complete configuration, a tree that mirrors the JSON file."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from ivadomed.config.schema import FileName, MirrorAxes, PathText
from ivadomed.config.schema.loader import (
    LoaderParameters,
    ObjectDetection,
    SplitDataset,
    Transform,
    Transformation,
)
from ivadomed.config.schema.models import (
    ChosenModel,
    DefaultModel,
    ModelSection,
    OwnModel,
    SectionOf,
    arguments_of,
)
from ivadomed.config.schema.predictions import (
    EvaluationParameters,
    PostprocessingStep,
    PostprocessingSteps,
    Uncertainty,
)
from ivadomed.config.schema.training import TrainingParameters, Wandb
from ivadomed.models.specs import OWN, NetworkSpec, Task, spec_of
from ivadomed.registry.section import InOrder, Section, key, section
from ivadomed.registry.types import DatasetType, Flag, NonNegative


@dataclass(frozen=True)
class Architecture:
    """A network and its constructor arguments.

    Args:
        name: Name of a class of `ivadomed.models`, or ``package.module:Class``.
        arguments: Keyword arguments; omitted ones have the default of the class.
    """

    name: str
    arguments: dict[str, Any]


class RunConfig(Section):
    """Configuration of one run, made by `load_config`; derived values are cached properties."""

    command: Literal["train", "test", "eval", "segment"] = key("train", "Command to run.")
    gpu_ids: tuple[NonNegative, ...] = key(
        (0,),
        "GPUs to use; empty: the CPU. If a GPU does not exist, the CPU is used, with a warning.",
        [0, 1],
    )
    path_output: PathText = Field(
        default="output",
        min_length=1,
        description="Folder of the results; created if missing.",
        examples=["results/seg_sc"],
    )
    model_name: FileName = key(
        "my_model", "Name of the packaged model: its folder in `path_output` and its files.", "seg_sc_t2w"
    )
    debugging: Flag = key(False, "Show more messages and keep intermediate results.")
    log_file: FileName = key("log", "Name of the log file in `path_output`.", "run.log")
    blend: Literal["mean", "gaussian"] | None = key(
        None,
        "Weights for averaging predictions of overlapping patches: `mean`: all voxels equal, as in ivadomed 2; "
        "`gaussian`: more weight at the center of a patch. null: gaussian for a new training, mean for a "
        "packaged model without this key.",
    )
    mirror_axes: MirrorAxes | None = key(
        None,
        "Axes of a sample (0 height, 1 width, 2 depth) along which it is mirrored at prediction; predictions of all "
        "combinations are averaged. Each axis doubles the time. Useful if training mirrored along the same axes. "
        "null: none.",
        [0, 1],
    )
    wandb: Wandb | None = key(None, "Tracking with Weights & Biases; null: off.")
    object_detection_params: ObjectDetection = section(
        "Detection model for the region of interest: the first step of a cascade."
    )
    loader_parameters: LoaderParameters = section("Images and labels to read, and how.")
    split_dataset: SplitDataset = section("Split of subjects into training, validation and test sets.")
    training_parameters: TrainingParameters = section(
        "Loss, optimizer, schedule, length and precision of the training."
    )
    default_model: Annotated[DefaultModel, ChosenModel()] = section("Network architecture and its arguments.")
    FiLMedUnet: Annotated[ModelSection, SectionOf("FiLMedUnet")] = section("U-Net modulated by metadata.")
    HeMISUnet: Annotated[ModelSection, SectionOf("HeMISUnet")] = section(
        "U-Net for subjects with missing contrasts."
    )
    Modified3DUNet: Annotated[ModelSection, SectionOf("Modified3DUNet")] = section("3D U-Net.")
    ResidualEncoderUnet: Annotated[ModelSection, SectionOf("ResidualEncoderUnet")] = section(
        "U-Net with a residual encoder, sized from the patch and the voxel size."
    )
    Countception: Annotated[ModelSection, SectionOf("Countception")] = section(
        "Count-ception, for heat maps."
    )
    resnet18: Annotated[ModelSection, SectionOf("resnet18")] = section("ResNet-18, classification.")
    densenet121: Annotated[ModelSection, SectionOf("densenet121")] = section("DenseNet-121, classification.")
    uncertainty: Uncertainty = section("Monte Carlo uncertainty.")
    postprocessing: Annotated[
        PostprocessingSteps,
        InOrder("ivadomed.postprocessing:STEPS", PostprocessingStep, PostprocessingSteps),
    ] = section("Postprocessing steps of predictions, in the order of the keys.")
    evaluation_parameters: EvaluationParameters = section("Metrics, report and pictures of the evaluation.")
    transformation: Annotated[
        Transformation, InOrder("ivadomed.transforms:TRANSFORMS", Transform, Transformation)
    ] = section("Preprocessing and augmentation, in the order of the keys.")

    @property
    def applied_networks(self) -> list[str]:
        """Networks whose section sets ``applied`` to true."""
        return [name for name in SECTIONS if getattr(self, name).applied]

    @cached_property
    def architecture_name(self) -> str:
        """Name of the network: of the applied section, else `default_model.name`."""
        return next(iter(self.applied_networks), self.default_model.name)

    @property
    def network(self) -> NetworkSpec:
        """Requirements of the network."""
        return spec_of(self.architecture_name)

    @property
    def network_section(self) -> ModelSection | None:
        """Section of the network; None if `default_model` alone describes it."""
        return getattr(self, self.architecture_name, None)

    @property
    def network_place(self) -> str:
        """Section that selects the network."""
        return next(iter(self.applied_networks), "default_model")

    def network_key(self, key: str) -> Any:
        """Value of a key: from the network's section, else from `default_model`, else None."""
        value = getattr(self.network_section, key, None)
        others = self.default_model.name != self.architecture_name
        if value is None and others and key in self.network.not_shared:
            return None
        return getattr(self.default_model, key, None) if value is None else value

    @cached_property
    def architecture(self) -> Architecture:
        """Name and constructor arguments of the network."""
        name, network = self.architecture_name, self.network
        if isinstance(self.default_model, OwnModel) and network is OWN:
            return Architecture(name, network.derived(self) | self.default_model.arguments)
        return Architecture(name, network.arguments(self, arguments_of(name)))

    @cached_property
    def is_2d(self) -> bool:
        """True for a network that works on 2D slices or patches."""
        return self.network.is_2d(self.default_model.is_2d)

    @property
    def channel_names(self) -> tuple[str, ...]:
        """Contrasts of training: the channels of a multichannel network."""
        return self.loader_parameters.contrast_params.training_validation

    @property
    def in_channel(self) -> int:
        """Number of input channels: 1, or the number of contrasts if they are stacked."""
        return max(len(self.channel_names), 1) if self.loader_parameters.multichannel else 1

    @property
    def out_channel(self) -> int:
        """Number of output channels, including the background for masks of more than one class."""
        n_classes = len(self.class_names)
        return n_classes + 1 if n_classes > 1 and self.task != "regression" else max(n_classes, 1)

    @cached_property
    def length(self) -> tuple[int, ...]:
        """Patch size, 2 or 3 entries; empty for whole 2D slices."""
        return self.network_key("length_2D" if self.is_2d else "length_3D") or ()

    @cached_property
    def stride(self) -> tuple[int, ...]:
        """Distance between patches, with as many entries as `length`."""
        stride = self.network_key("stride_2D" if self.is_2d else "stride_3D")
        return (stride or self.length) if self.length else ()

    @property
    def sample_size(self) -> tuple[int, ...] | None:
        """Size of a sample: the patch size, else that of the last crop; None without both."""
        crops = [step.size for step in self.transformation.chain.values() if step.crops]
        return self.length or (crops[-1] if crops else None)

    @property
    def spacing(self) -> tuple[float, ...]:
        """Voxel size along the axes of a sample, from `transformation.Resample`; 1 if images are not resampled."""
        resample = next((step for step in self.transformation.chain.values() if step.resamples), None)
        zooms = (1.0,) * 3 if resample is None else (resample.hspace, resample.wspace, resample.dspace)
        return zooms[: 2 if self.is_2d else 3]

    @property
    def class_names(self) -> tuple[str, ...]:
        """Suffix of each class; the first one for a class with several raters."""
        suffixes = self.loader_parameters.target_suffix
        return tuple(suffix if isinstance(suffix, str) else suffix[0] for suffix in suffixes)

    @property
    def slice_axis_index(self) -> int:
        """Axis of RAS-oriented arrays along which slices are taken: sagittal 0, coronal 1, axial 2."""
        return ("sagittal", "coronal", "axial").index(self.loader_parameters.slice_axis)

    @property
    def task(self) -> Task:
        """Kind of prediction: masks, slice classes, or heat maps."""
        return self.network.task

    @property
    def metadata_type(self) -> str | None:
        """Metadata that condition a FiLM model: `contrasts`, `mri_params` or a metadata column; None without FiLM."""
        if self.network.film_layers(self) is None:
            return None
        return self.network_key("metadata") or "contrasts"

    @property
    def missing_contrasts(self) -> tuple[float, float]:
        """Probability that HeMIS drops a contrast in the first epoch, and its growth; 0 for other networks."""
        if not self.network.missing_contrasts:
            return 0.0, 1.0
        growth = self.network_key("missing_probability_growth")
        return self.network_key("missing_probability") or 0.0, 1.0 if growth is None else growth

    @property
    def memory_keys(self) -> dict[str, Any]:
        """Full paths and values of the keys that determine the memory needed for training."""
        keys: dict[str, Any] = {"training_parameters.batch_size": self.training_parameters.batch_size}
        if self.length:
            keys[self._path_of("length_2D" if self.is_2d else "length_3D")] = list(self.length)
        else:
            chain = self.transformation.chain.items()
            crops = {name: list(step.size) for name, step in chain if step.crops and step.used_in("training")}
            name, size = [("CenterCrop", "none"), *crops.items()][-1]
            keys[f"transformation.{name}.size"] = size
        arguments = self.architecture.arguments
        if "n_filters" in arguments or (
            self.network is not OWN and "n_filters" in arguments_of(self.architecture_name)
        ):
            keys[self._path_of("n_filters")] = arguments.get("n_filters", "the default")
        return keys

    def _path_of(self, key: str) -> str:
        own = getattr(self.network_section, key, None) is not None
        return f"{self.architecture_name if own else 'default_model'}.{key}"

    @property
    def model_folder(self) -> Path:
        """Folder of the packaged model."""
        return Path(self.path_output) / self.model_name

    def contrasts_for(self, dataset_type: DatasetType) -> tuple[str, ...]:
        """Contrasts of a set; the test set uses those of training unless it lists its own."""
        own = self.loader_parameters.contrast_params.testing if dataset_type == "testing" else ()
        return own or self.channel_names

    def transforms_for(self, dataset_type: DatasetType) -> dict[str, dict[str, Any]]:
        """Transforms of one set, in order.

        Args:
            dataset_type: `training`, `validation` or `testing`.

        Returns:
            Name -> arguments, with `applied_to` if it is restricted.
        """
        chain = self.transformation.chain
        return {name: step.arguments for name, step in chain.items() if step.used_in(dataset_type)}

    def to_json(self, *, hide_secrets: bool = False) -> dict[str, Any]:
        """JSON-ready dictionary in the documented form; `load_config` reads it back without warnings.

        Args:
            hide_secrets: Blank the wandb API key, for files to be shared.
        """
        plain = self.model_dump(mode="json")
        if hide_secrets and plain["wandb"]:
            plain["wandb"]["wandb_api_key"] = ""
        return plain

    def __reduce__(self) -> Any:
        # The models of sections generated from a registry belong to no module.
        return RunConfig.model_validate, (self.to_json(),)

    def relevant(self, exclude: Iterable[str] = ()) -> dict[str, Any]:
        """Keys that affect the result of a run, for comparison between runs.

        Args:
            exclude: Dotted paths to leave out, e.g. `training_parameters.training_time.num_epochs`. Secrets are
                always left out.

        Returns:
            JSON-ready dictionary; equal for equal configurations, including the order of steps.
        """
        plain = self.to_json(hide_secrets=True)
        for path in exclude:
            _remove(plain, path.split("."))
        for ordered in {"transformation", "postprocessing"} & plain.keys():
            plain[ordered]["order"] = list(plain[ordered])
        return plain


SECTIONS = tuple(name for name, field in RunConfig.model_fields.items() if field.annotation is ModelSection)
"""Networks with their own section; others are described in `default_model` alone."""


def _remove(tree: dict[str, Any], keys: list[str]) -> None:
    for name in keys[:-1]:
        child = tree.get(name)
        if not isinstance(child, dict):
            return
        tree = child
    tree.pop(keys[-1], None)
