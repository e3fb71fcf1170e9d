"""`split_dataset`: which subjects train, validate and test."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, Strict, model_validator
from typing_extensions import Self

from ivadomed.config.schema.base import PathText, Scalar
from ivadomed.registry.section import Section, key, refuse, section
from ivadomed.registry.types import WHOLE, Fraction, Int, NonNegative, Text


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
    """The split into training, validation and test sets; no subject is ever in two of them."""

    fname_split: PathText | None = key(
        None,
        "File with an earlier split (.joblib or .json) to use again; null: make a new one.",
        "results/seg_sc/split_datasets.json",
    )
    random_seed: Int = key(6, "Seed of the split; the same seed and data give the same split.", 1)
    split_method: Text = key(
        "participant_id",
        "Column of participants.tsv whose values are never shared between the sets, e.g. `participant_id`, "
        "`institution_id`, `sample_id`.",
        "institution_id",
    )
    data_testing: DataTesting = section("Subjects reserved for testing.")
    balance: Text | None = key(
        None,
        "Categorical column of participants.tsv whose values are spread evenly over the sets; null: none.",
        "pathology",
    )
    train_fraction: Fraction = key(0.6, "Fraction (0 to 1) of the subjects used for training.", 0.7)
    test_fraction: Fraction = key(
        0.2, "Fraction (0 to 1) of the subjects used for testing; the remainder validates.", 0.15
    )
    n_folds: Annotated[int, Strict(), Field(ge=2), WHOLE] | None = key(
        None, "Number of folds (>= 2) of a cross-validation grouped by `split_method`; null: one split.", 5
    )
    fold: NonNegative = key(0, "Which fold (0 to n_folds - 1) is the test set; only with `n_folds`.", 2)

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
