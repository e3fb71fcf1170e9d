"""`RunConfig`: the whole configuration, a tree that mirrors the JSON file."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationInfo, model_validator
from typing_extensions import Self

from ivadomed.config import checks, derived
from ivadomed.config.schema.base import (
    DatasetType,
    FileName,
    Flag,
    NonNegative,
    PathText,
    Section,
    refuse,
    section,
)
from ivadomed.config.schema.evaluation import EvaluationParameters
from ivadomed.config.schema.loader import LoaderParameters, ObjectDetection
from ivadomed.config.schema.models import (
    AnyDefaultModel,
    CountceptionSection,
    Densenet121Section,
    FiLMedUnetSection,
    HeMISUnetSection,
    Modified3DUNetSection,
    ResidualEncoderUnetSection,
    Resnet18Section,
    Unet,
)
from ivadomed.config.schema.postprocessing import Postprocessing, Uncertainty
from ivadomed.config.schema.split import SplitDataset
from ivadomed.config.schema.training import TrainingParameters
from ivadomed.config.schema.transformation import Transformation
from ivadomed.config.schema.wandb import Wandb


class RunConfig(Section):
    """One run of ivadomed, made by `load_config`; derived values are properties, computed once."""

    command: Literal["train", "test", "eval", "segment"] = Field(default="train", description="What to do.")
    gpu_ids: tuple[NonNegative, ...] = Field(
        default=(0,),
        description="GPUs to use; empty: the CPU. A GPU that the machine does not have means the CPU, with a warning.",
        examples=[[0, 1]],
    )
    path_output: PathText = Field(
        default="output",
        min_length=1,
        description="Folder of the results; created when missing.",
        examples=["results/seg_sc"],
    )
    model_name: FileName = Field(
        default="my_model",
        description="Name of the packaged model: the folder in `path_output` and its files.",
        examples=["seg_sc_t2w"],
    )
    debugging: Flag = Field(default=False, description="More messages and intermediate results.")
    log_file: FileName = Field(
        default="log",
        description="Name of the log file in `path_output`.",
        examples=["run.log"],
    )
    blend: Literal["mean", "gaussian"] | None = Field(
        default=None,
        description="How predictions of overlapping patches are averaged: `mean`: all voxels alike, as ivadomed 2; "
        "`gaussian`: the middle of a patch counts more. null: gaussian for a model that is trained, mean for a "
        "packaged model that does not say.",
    )
    wandb: Wandb | None = Field(default=None, description="Tracking with Weights & Biases; null: off.")
    object_detection_params: ObjectDetection = section(ObjectDetection, "First step of a cascade.")
    loader_parameters: LoaderParameters = section(LoaderParameters, "Data.")
    split_dataset: SplitDataset = section(SplitDataset, "Training, validation and test sets.")
    training_parameters: TrainingParameters = section(TrainingParameters, "The optimisation.")
    default_model: AnyDefaultModel = section(
        Unet, "Architecture, and arguments that all architectures share."
    )
    FiLMedUnet: FiLMedUnetSection = section(FiLMedUnetSection, "U-Net modulated by metadata.")
    HeMISUnet: HeMISUnetSection = section(HeMISUnetSection, "U-Net that copes with missing contrasts.")
    Modified3DUNet: Modified3DUNetSection = section(Modified3DUNetSection, "3D U-Net.")
    ResidualEncoderUnet: ResidualEncoderUnetSection = section(
        ResidualEncoderUnetSection, "U-Net with a residual encoder, sized by patch and voxel size."
    )
    Countception: CountceptionSection = section(CountceptionSection, "Count-ception, for heat maps.")
    resnet18: Resnet18Section = section(Resnet18Section, "ResNet-18, classification.")
    densenet121: Densenet121Section = section(Densenet121Section, "DenseNet-121, classification.")
    uncertainty: Uncertainty = section(Uncertainty, "Monte Carlo uncertainty.")
    postprocessing: Postprocessing = section(
        Postprocessing, "Steps on predictions, in the order of the keys."
    )
    evaluation_parameters: EvaluationParameters = section(
        EvaluationParameters, "Comparison with the ground truth."
    )
    transformation: Transformation = section(
        Transformation, "Preprocessing and augmentation, in the order of the keys."
    )

    @model_validator(mode="after")
    def _consistent(self, info: ValidationInfo) -> Self:
        refuse(checks.problems(self, info.context))
        return self

    @cached_property
    def architecture(self) -> derived.Architecture:
        """Name and constructor arguments of the model."""
        return derived.architecture(self)

    @property
    def architecture_name(self) -> str:
        """Name of the model's class."""
        return derived.architecture_name(self)

    @cached_property
    def is_2d(self) -> bool:
        """Whether the model works on 2D slices or patches."""
        return derived.is_2d(self)

    @cached_property
    def in_channel(self) -> int:
        """Number of input channels."""
        return derived.in_channel(self)

    @cached_property
    def out_channel(self) -> int:
        """Number of output channels, the background included when there is more than one class."""
        return derived.out_channel(self)

    @cached_property
    def length(self) -> tuple[int, ...]:
        """Patch size, 2 or 3 entries; empty for whole 2D slices."""
        return derived.windows(self)[0]

    @cached_property
    def stride(self) -> tuple[int, ...]:
        """Distance between patches, as many entries as `length`."""
        return derived.windows(self)[1]

    @property
    def class_names(self) -> tuple[str, ...]:
        """Suffix of each class; of a class with several raters the first."""
        return derived.class_names(self)

    @property
    def slice_axis_index(self) -> int:
        """Axis of RAS-oriented arrays along which slices are taken: sagittal 0, coronal 1, axial 2."""
        return derived.SLICE_AXES[self.loader_parameters.slice_axis]

    @property
    def task(self) -> derived.Task:
        """What the architecture predicts."""
        return derived.task(self.architecture_name)

    @property
    def metadata_type(self) -> str | None:
        """What conditions a FiLM model: `contrasts`, `mri_params` or a metadata column; None without FiLM."""
        return derived.metadata_type(self)

    @property
    def missing_contrasts(self) -> tuple[float, float]:
        """Probability that HeMIS withholds a contrast in the first epoch, and its growth; 0 for other networks."""
        return derived.missing_contrasts(self)

    @property
    def memory_keys(self) -> dict[str, Any]:
        """Keys that decide how much memory a training takes, by their full paths, with their values."""
        return derived.memory_keys(self)

    @property
    def model_folder(self) -> Path:
        """Folder of the packaged model."""
        return Path(self.path_output) / self.model_name

    def contrasts_for(self, dataset_type: DatasetType) -> tuple[str, ...]:
        """Contrasts of the training, validation or testing set."""
        return derived.contrasts_for(self, dataset_type)

    def transforms_for(self, dataset_type: DatasetType) -> dict[str, dict[str, Any]]:
        """Transforms of one set in their order.

        Args:
            dataset_type: `training`, `validation` or `testing`.

        Returns:
            Name -> arguments, with `applied_to` where it is restricted.
        """
        return derived.transforms_for(self, dataset_type)

    def to_json(self, *, hide_secrets: bool = False) -> dict[str, Any]:
        """Plain JSON-ready dictionary of the documented shape; `load_config` reads it back without warnings.

        Args:
            hide_secrets: Blank the wandb API key, for files that are shared.
        """
        plain = self.model_dump(mode="json")
        if hide_secrets and plain["wandb"]:
            plain["wandb"]["wandb_api_key"] = ""
        return plain

    def relevant(self, exclude: Iterable[str] = ()) -> dict[str, Any]:
        """What decides about the result of a run, to be compared with that of another one.

        Args:
            exclude: Dotted paths that do not count, e.g. `training_parameters.training_time.num_epochs`.
                Secrets never count.

        Returns:
            JSON-ready; equal for equal configurations, also as to the order of steps.
        """
        plain = self.to_json(hide_secrets=True)
        for path in exclude:
            _remove(plain, path.split("."))
        for ordered in {"transformation", "postprocessing"} & plain.keys():
            plain[ordered]["order"] = list(plain[ordered])
        return plain


def _remove(tree: dict[str, Any], keys: list[str]) -> None:
    for key in keys[:-1]:
        child = tree.get(key)
        if not isinstance(child, dict):
            return
        tree = child
    tree.pop(keys[-1], None)
