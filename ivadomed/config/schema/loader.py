"""Input data, its split and its transforms: `loader_parameters`, `object_detection_params`, `split_dataset`,
`transformation`."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    SerializerFunctionWrapHandler,
    Strict,
    model_serializer,
    model_validator,
)
from typing_extensions import Self

from ivadomed.config.schema import PathText, PathTexts, Scalar
from ivadomed.images.label_suffix import LabelSuffix
from ivadomed.registry.section import OrderedSteps, Section, key, refuse, section
from ivadomed.registry.types import (
    WHOLE,
    DatasetType,
    Flag,
    Fraction,
    Int,
    NonNegative,
    Parsed,
    Positive,
    PositiveReal,
    Text,
)

NIFTI = (".nii", ".nii.gz")
ALL_FOLDS = "all"
"""Value of `split_dataset.fold`: one model per fold, and their ensemble."""


def _suffixes(value: Any) -> tuple[str, ...] | tuple[tuple[str, ...], ...]:
    """One suffix per class, or one list of suffixes (one per rater) per class."""
    if isinstance(value, (list, tuple)):
        if all(isinstance(entry, str) and entry for entry in value):
            return tuple(map(_label, value))
        lists = all(isinstance(entry, (list, tuple)) and entry for entry in value)
        if lists and all(isinstance(suffix, str) and suffix for entry in value for suffix in entry):
            return tuple(tuple(map(_label, entry)) for entry in value)
    raise ValueError(
        "expected a list of suffixes, e.g. ['_seg-manual'], or one list of suffixes per class when "
        "several raters labeled, e.g. [['_seg-rater1', '_seg-rater2']]"
    )


def _label(text: Any) -> str:
    """Valid entry, as written."""
    if not isinstance(text, str):
        raise ValueError("expected a text")
    LabelSuffix.parse(text)
    return text


Label = Annotated[Text, AfterValidator(_label)]


def _extensions(value: Any) -> Any:
    return NIFTI if isinstance(value, (list, tuple)) and not value else value


def _fold(value: Any) -> int | str:
    if value == ALL_FOLDS:
        return ALL_FOLDS
    whole = int(value) if isinstance(value, float) and value.is_integer() else value
    if type(whole) is not int or whole < 0:
        raise ValueError('expected the number of a fold, 0 or more, or "all"')
    return whole


def _share_values(one: str, other: str) -> bool:
    """True if two labels are the same file, or share a value or class of it."""
    first, second = LabelSuffix.parse(one), LabelSuffix.parse(other)
    return one == other or (first.file == second.file and not {*first.parts}.isdisjoint(second.parts))


class ObjectDetection(Section):
    """First model of a cascade: the second model works in the bounding box of the region it finds."""

    object_detection_path: PathText | None = key(
        None,
        "Folder of the detection model (`NAME/NAME.json` with `.pt` or `.onnx`); null: none. Bounding boxes are "
        "saved in `path_output/bounding_boxes.json`.",
        "models/find_cord",
    )
    safety_factor: tuple[PositiveReal, PositiveReal, PositiveReal] = key(
        (1.0, 1.0, 1.0),
        "Factors (> 0) that enlarge the bounding box about its center along each dimension.",
        [1.5, 1.5, 1.0],
    )
    anchor: Literal["center", "corner"] | None = key(
        None,
        "Position of 3D patches that are larger than the box: `center`: at its center, shifted back into the "
        "image; `corner`: from its first voxel, as in ivadomed 2. null: center for a new training, corner for "
        "a packaged model without this key.",
    )


class SubjectSelection(Section):
    """Use `n[i]` subjects whose `metadata[i]` equals `value[i]`; the three lists have equal length."""

    n: tuple[Positive, ...] = key((), "Number of subjects per condition.", [5, 10])
    metadata: tuple[Text, ...] = key((), "Column of participants.tsv per condition.", ["pathology", "sex"])
    value: tuple[Scalar, ...] = key((), "Value of that column per condition.", ["ms", "F"])

    @model_validator(mode="after")
    def _same_length(self) -> Self:
        lengths = len(self.n), len(self.metadata), len(self.value)
        if len(set(lengths)) > 1:
            refuse(
                [
                    f"n, metadata, value have {lengths[0]}, {lengths[1]} and {lengths[2]} entries; "
                    "expected equally many, one per condition"
                ]
            )
        return self


class RoiParams(Section):
    """The region of interest on which `ROICrop` is centered."""

    suffix: Label | None = key(
        None,
        "Suffix of the derivative with the region, e.g. `_seg-manual`, or `_dseg:cord` for a label map; null: "
        "no region.",
        "_seg-manual",
    )
    slice_filter_roi: NonNegative | None = key(
        None,
        "Discard slices whose region has fewer than this many non-zero voxels; only with ROICrop. null: keep all.",
        10,
    )


class ContrastParams(Section):
    """The image contrasts (BIDS suffixes, with entities where needed: `acq-ax_T2star`)."""

    training_validation: tuple[Text, ...] = key(
        (),
        "Contrasts used for training and validation. With `multichannel` they are the channels in this order, "
        "otherwise they are mixed as separate samples.",
        ["T1w", "T2w"],
    )
    testing: tuple[Text, ...] = key(
        (), "Contrasts used for testing. Empty: those of `training_validation`.", ["T2w"]
    )
    balance: dict[Text, Fraction] = Field(
        default_factory=dict,
        description="Fraction (0 to 1) of the images of a contrast to use, e.g. {'T1w': 0.1}. Not with "
        "`multichannel`.",
        examples=[{"T1w": 0.1}],
    )


class SliceFilterParams(Section):
    """Filters that discard 2D slices."""

    filter_empty_input: Flag = key(True, "Discard slices where all intensities are zero.")
    filter_empty_mask: Flag = key(False, "Discard slices without any label.")
    filter_absent_class: Flag = key(False, "Discard slices where at least one class is absent.")
    filter_classification: Flag = key(
        False,
        "Discard slices with a channel that the model at `classifier_path` rejects, in training, validation and "
        "testing. It receives slices as preprocessed for testing. For 2D models.",
    )
    classifier_path: PathText | None = key(
        None,
        "`.pt` file of the single-channel classification model used by `filter_classification`.",
        "models/has_tumour/has_tumour.pt",
    )

    @model_validator(mode="after")
    def _classifier(self) -> Self:
        if self.filter_classification and self.classifier_path is None:
            refuse(
                ["classifier_path: is null; expected a model's path because filter_classification is true"]
            )
        return self


class PatchFilterParams(Section):
    """Filters that discard 2D or 3D patches in training and validation."""

    filter_empty_input: Flag = key(False, "Discard patches where all intensities are zero.")
    filter_empty_mask: Flag = key(False, "Discard patches without any label.")
    filter_absent_class: Flag = key(False, "Discard patches where at least one class is absent.")


class RandomPatchParams(Section):
    """Training patches at random positions, redrawn every epoch, instead of tiles; for small objects."""

    applied: Flag = key(
        False,
        "Draw the position of each training patch; needs `length_2D` or `length_3D`. Validation and test sets are "
        "still tiled.",
    )
    foreground: Fraction = key(0.33, "Probability (0 to 1) that a patch is centered on a labeled voxel.", 0.5)
    per_image: Positive | None = key(None, "Patches per image and epoch (> 0). null: as many as tiles.", 8)


class LoaderParameters(Section):
    """The data set, its labels, and the extraction of samples."""

    path_data: PathTexts = key(
        (),
        "Path of the data set, or list of paths: folders of BIDS, nnU-Net or the Decathlon, or tables.",
        ["data_example_spinegeneric"],
    )
    bids_config: PathText | None = key(
        None,
        "pybids layout configuration for data that the installed BIDS version does not cover; null: the default.",
        "config/config_bids.json",
    )
    bids_validate: Flag = key(True, "Check that file names follow BIDS.")
    subject_selection: SubjectSelection = section("Use only some of the subjects.")
    target_suffix: Annotated[tuple[str, ...] | tuple[tuple[str, ...], ...], Parsed(_suffixes)] = key(
        (),
        "Suffix of the label file of each class, e.g. ['_seg-manual']. For a label map, add a value or a name: "
        "['_dseg:1', '_dseg:2+3'], ['_dseg:anterior']. For several raters, one list of suffixes per class, of which "
        "one is drawn per sample.",
        ["_seg-manual", "_lesion-manual"],
    )
    ignore_label: Label | None = key(
        None,
        "Voxels to exclude from losses and metrics, written as an entry of `target_suffix`, e.g. `_dseg:255`; "
        "an image without this file has none. null: all voxels count.",
        "_dseg:255",
    )
    target_sessions: tuple[Text, ...] = key(
        (), "Sessions to use, without `ses-`, e.g. ['01']. Empty: all.", ["01"]
    )
    extensions: Annotated[tuple[Text, ...], BeforeValidator(_extensions)] = key(
        NIFTI,
        "File extensions of the images, with the leading dot. Empty: .nii and .nii.gz.",
        [".png", ".tif"],
    )
    roi_params: RoiParams = section("Region of interest.")
    contrast_params: ContrastParams = section("Image contrasts.")
    slice_filter_params: SliceFilterParams = section("Filters for 2D slices.")
    patch_filter_params: PatchFilterParams = section("Filters for patches.")
    random_patch_params: RandomPatchParams = section("Training patches at random positions.")
    slice_axis: Literal["sagittal", "coronal", "axial"] = key(
        "axial", "Plane of the 2D slices; for 3D models, the last axis of the patches."
    )
    multichannel: Flag = key(
        False, "Stack the contrasts of a subject as channels of one sample (they must be co-registered)."
    )
    soft_gt: Flag = key(
        False, "Keep labels as real numbers (0 to 1) instead of binarizing them after interpolation."
    )
    is_input_dropout: Flag = key(
        False, "When training on several channels, blank random ones (at least one remains)."
    )
    cache: Literal["disk", "hdf5", "memory", "none"] = key(
        "disk",
        "Storage of preprocessed images: `disk`: memory-mapped files, the fastest; `hdf5`: compressed HDF5 files, "
        "which take less disk space; `memory`: arrays in memory; `none`: images are preprocessed again for each "
        "sample. Samples are the same in all cases.",
    )
    cache_dir: PathText | None = key(
        None,
        "Folder for `disk` and `hdf5`, which concurrent runs may share; null: `cache` in `path_output`.",
        "/scratch/cache",
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        problems = []
        contrasts = self.contrast_params
        if self.multichannel and contrasts.balance:
            problems.append(
                f"contrast_params.balance: {contrasts.balance} cannot be combined with multichannel true; "
                "set "
                "multichannel to false or remove balance"
            )
        unknown = set(contrasts.balance) - {*contrasts.training_validation, *contrasts.testing}
        problems += [
            f"contrast_params.balance: {name!r} is not among the contrasts in training_validation and testing"
            for name in sorted(unknown)
        ]
        n_train, n_test = len(contrasts.training_validation), len(contrasts.testing)
        if self.multichannel and n_train and n_test and n_train != n_test:
            problems.append(
                f"contrast_params.testing: has {n_test} contrasts, training_validation has {n_train}; with "
                "multichannel true they are the model's channels and must be equally many"
            )
        problems += [
            f"extensions: {extension!r} has no leading dot; expected e.g. '.{extension}'"
            for extension in self.extensions
            if not extension.startswith(".")
        ]
        problems += [
            f"ignore_label: {self.ignore_label!r} excludes all voxels of {suffix!r}, a class of target_suffix, "
            "from losses and metrics; name other values"
            for entry in self.target_suffix
            for suffix in ([entry] if isinstance(entry, str) else entry)
            if self.ignore_label is not None and _share_values(suffix, self.ignore_label)
        ]
        refuse(problems)
        return self


class DataTesting(Section):
    """Subjects reserved for the test set by a metadata value."""

    data_type: Text | None = key(
        None, "Column of participants.tsv, e.g. `institution_id`; null: `split_method`.", "institution_id"
    )
    data_value: tuple[Scalar, ...] = key(
        (),
        "Values of that column that go to the test set only. Empty with a `data_type`: values are drawn at "
        "random until `test_fraction` is reached.",
        ["unf", "ucl"],
    )


class SplitDataset(Section):
    """The split into training, validation and test sets; no subject is in more than one."""

    fname_split: PathText | None = key(
        None,
        "File with an earlier split (.joblib or .json) to reuse, or `splits_final.json` of nnU-Net; null: make a "
        "new one.",
        "results/seg_sc/split_datasets.json",
    )
    random_seed: Int = key(6, "Seed of the split; the same seed and data give the same split.", 1)
    split_method: Text = key(
        "participant_id",
        "Column of participants.tsv whose values are never shared between sets, e.g. `participant_id`, "
        "`institution_id`, `sample_id`.",
        "institution_id",
    )
    data_testing: DataTesting = section("Subjects reserved for testing.")
    balance: Text | None = key(
        None,
        "Categorical column of participants.tsv by which sets are stratified; null: none.",
        "pathology",
    )
    train_fraction: Fraction = key(0.6, "Fraction (0 to 1) of the subjects used for training.", 0.7)
    test_fraction: Fraction = key(
        0.2, "Fraction (0 to 1) of the subjects used for testing; the remainder is for validation.", 0.15
    )
    n_folds: Annotated[int, Strict(), Field(ge=2), WHOLE] | None = key(
        None, "Number of folds (>= 2) of a cross-validation grouped by `split_method`; null: one split.", 5
    )
    fold: Annotated[NonNegative | Literal["all"], Parsed(_fold)] = key(
        0,
        "With `n_folds`, the fold (0 to n_folds - 1) to use as test set; or the fold of `splits_final.json` to use. "
        '`"all"`: train every fold, test it on its validation subjects, and combine the models into an '
        "ensemble; the test set is then chosen as without folds, and no fold uses it.",
        "all",
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        problems = []
        # A sum such as 0.7 + 0.3 may exceed 1 by rounding.
        if self.train_fraction + self.test_fraction > 1 + 1e-9:
            problems.append(
                f"train_fraction: {self.train_fraction} plus test_fraction {self.test_fraction} exceeds 1; "
                "expected "
                "a sum of at most 1; the remainder is the validation set"
            )
        if self.is_cross_validation:
            if self.n_folds is None and self.fname_split is None:
                problems.append(
                    'fold: "all" needs n_folds, such as 5, or splits_final.json of nnU-Net as fname_split'
                )
        elif self.n_folds is not None and int(self.fold) >= self.n_folds:
            problems.append(f"fold: {self.fold} is outside 0 to {self.n_folds - 1} (n_folds - 1)")
        refuse(problems)
        return self

    @property
    def is_cross_validation(self) -> bool:
        """True if each fold is trained, instead of one split."""
        return self.fold == ALL_FOLDS


class Transform(Section):
    """Keys common to all transforms; all others are arguments of its class."""

    applied_to: tuple[Literal["im", "gt", "roi"], ...] | None = Field(
        default=None,
        description="Kinds of data it is applied to: `im`, `gt`, `roi`. null: all three; only the image for "
        "RandomBrightness, RandomContrast, RandomLowResolution, NormalizePercentile and ClipAndStandardize.",
        examples=[["im", "gt"]],
    )
    dataset_type: tuple[DatasetType, ...] | None = Field(
        default=None,
        description="Sets it is applied to: `training`, `validation`, `testing`. null: all three.",
        examples=[["training"]],
    )

    @model_serializer(mode="wrap")
    def _without_idle_flags(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # Packaged models are also read by older versions, which refuse unknown keys.
        fields = type(self).model_fields
        idle = {
            key
            for key, field in fields.items()
            if (field.default is None or field.default is False) and getattr(self, key) is field.default
        } - Transform.model_fields.keys()
        return {key: value for key, value in handler(self).items() if key not in idle}

    def used_in(self, dataset_type: str) -> bool:
        """True if the transform is part of the chain of that set."""
        return self.dataset_type is None or dataset_type in self.dataset_type

    @property
    def arguments(self) -> dict[str, Any]:
        """Keyword arguments (JSON-ready) and `applied_to`, without keys that are null."""
        return self.model_dump(mode="json", exclude={"dataset_type"}, exclude_none=True)

    @property
    def crops(self) -> bool:
        """True if it crops a box given by its argument `size`."""
        return getattr(self.entry, "crops", False)

    @property
    def resamples(self) -> bool:
        """True if it changes the voxel size."""
        return getattr(self.entry, "resamples", False)

    @property
    def needs_roi(self) -> bool:
        """True if it reads the region of interest."""
        return getattr(self.entry, "needs_roi", False)


class Transformation(OrderedSteps):
    """Transforms in the order in which they are applied."""

    @property
    def chain(self) -> dict[str, Any]:
        """Name -> transform, in the order in which they are applied."""
        return self.steps
