"""Names in BIDS of cases and channels."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ivadomed.errors import DataError
from ivadomed.loader.bids.names import NameRules
from ivadomed.loader.layouts.naming import CaseFiles, contrast_names, rows_of, subject_of


@pytest.mark.parametrize(
    ("case", "folders"),
    [
        ("hippocampus_001", ("sub-hippocampus001", "")),
        ("BRATS-Ü 7.1", ("sub-BRATS71", "")),
        ("sub-01", ("sub-01", "")),
        ("sub-01_ses-02", ("sub-01", "ses-02")),
        ("sub-01_run-2", ("sub-01run2", "")),
    ],
)
def test_the_subject_has_the_letters_and_digits_of_the_case(case, folders):
    assert subject_of(case) == folders


@pytest.mark.parametrize(
    ("channels", "contrasts"),
    [
        (["T1-weighted", "FLAIR"], ("T1weighted", "FLAIR")),
        (["MRI", "ADC", "MRI"], ("MRI0", "ADC", "MRI2")),
        (["造影"], ("channel0",)),
    ],
)
def test_contrasts_are_named_after_channels(channels, contrasts):
    assert contrast_names(channels) == contrasts


@given(st.lists(st.text(), min_size=1, max_size=4))
def test_contrasts_differ_and_can_stand_in_a_name(channels):
    names = contrast_names(channels)
    assert len(set(names)) == len(channels)
    assert all(re.fullmatch("[A-Za-z0-9]+", name) for name in names)


@given(st.text(min_size=1), st.sampled_from(["T1w", "FLAIR"]))
def test_the_name_of_an_image_keeps_the_rules_of_bids(case, contrast):
    files = CaseFiles(
        case, subject_of(case), {contrast: Path("x/image.nii.gz")}, {("", "_dseg"): Path("l.nii")}
    )
    if files.folders[0] == "sub-":
        with pytest.raises(DataError, match="no letter or digit"):
            rows_of([files], Path("data"), [".nii", ".nii.gz"])
        return
    label, image = rows_of([files], Path("data"), [".nii", ".nii.gz"])
    parsed = NameRules().parse(image.name)
    assert (parsed.entities, parsed.suffix) == (image.entities, contrast)
    assert f"sub-{parsed.entities['subject']}" == image.participant == label.participant
    assert label.stem == f"{image.stem}_dseg"
    assert label.relative.startswith("derivatives/labels/sub-")


def test_cases_that_would_share_a_subject_are_refused():
    cases = [CaseFiles(name, subject_of(name)) for name in ("a_1", "b", "a1")]
    with pytest.raises(DataError, match='"a_1" and "a1" would both be the subject sub-a1'):
        rows_of(cases, Path("data"), [])
