"""`split_dataset`: which subjects train, validate and test."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, Strict, model_validator
from typing_extensions import Self

from ivadomed.config.schema.base import PathText, Scalar
from ivadomed.registry.section import Section, refuse, section
from ivadomed.registry.types import WHOLE, Fraction, Int, NonNegative, Text


class DataTesting(Section):
    """Subjects reserved for the test set by a metadata value."""

    data_type: Text | None = Field(
        default=None,
        description="Column of participants.tsv, e.g. `institution_id`; null: `split_method`.",
        examples=["institution_id"],
    )
    data_value: tuple[Scalar, ...] = Field(
        default=(),
        description="Values of that column that go to the test set only. Empty with a `data_type`: values "
        "are "
        "drawn at random until `test_fraction` is reached.",
        examples=[["unf", "ucl"]],
    )


class SplitDataset(Section):
    """The split into training, validation and test sets; no subject is ever in two of them."""

    fname_split: PathText | None = Field(
        default=None,
        description="File with an earlier split (.joblib or .json) to use again; null: make a new one.",
        examples=["results/seg_sc/split_datasets.json"],
    )
    random_seed: Int = Field(
        default=6, description="Seed of the split; the same seed and data give the same split.", examples=[1]
    )
    split_method: Text = Field(
        default="participant_id",
        description="Column of participants.tsv whose values are never shared between the sets, e.g. "
        "`participant_id`, `institution_id`, `sample_id`.",
        examples=["institution_id"],
    )
    data_testing: DataTesting = section("Subjects reserved for testing.")
    balance: Text | None = Field(
        default=None,
        description="Categorical column of participants.tsv whose values are spread evenly over the sets; "
        "null: none.",
        examples=["pathology"],
    )
    train_fraction: Fraction = Field(
        default=0.6, description="Fraction (0 to 1) of the subjects used for training.", examples=[0.7]
    )
    test_fraction: Fraction = Field(
        default=0.2,
        description="Fraction (0 to 1) of the subjects used for testing; the remainder validates.",
        examples=[0.15],
    )
    n_folds: Annotated[int, Strict(), Field(ge=2), WHOLE] | None = Field(
        default=None,
        description="Number of folds (>= 2) of a cross-validation grouped by `split_method`; null: one "
        "split.",
        examples=[5],
    )
    fold: NonNegative = Field(
        default=0,
        description="Which fold (0 to n_folds - 1) is the test set; only with `n_folds`.",
        examples=[2],
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        problems = []
        # A sum such as 0.7 + 0.3 may exceed 1 by rounding.
        if self.train_fraction + self.test_fraction > 1 + 1e-9:
            problems.append(
                f"train_fraction: {self.train_fraction} plus test_fraction {self.test_fraction} exceeds 1; "
                "expected "
                "a sum of at most 1, the remainder is the validation set"
            )
        if self.n_folds is not None and self.fold >= self.n_folds:
            problems.append(f"fold: {self.fold} is outside 0 to {self.n_folds - 1} (n_folds - 1)")
        refuse(problems)
        return self
