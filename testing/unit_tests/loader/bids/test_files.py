"""Contrasts: all that stands behind the entities of a name, found again whatever it is called."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from ivadomed.errors import DataError
from ivadomed.loader.bids.files import contrast_of, matches
from ivadomed.loader.bids.index import scan
from ivadomed.loader.bids_dataframe import BidsDataframe
from ivadomed.loader.cases.grouping import build_cases

WORD = st.text("abcXYZ019", min_size=1, max_size=4)
ENTITY = st.builds("{}-{}".format, st.sampled_from(["acq", "rec", "dir", "desc"]), WORD)
BIDS_CONTRAST = st.builds(
    lambda entities, words: "_".join([*entities, *words]),
    st.lists(ENTITY, max_size=2, unique_by=lambda pair: pair.partition("-")[0]),
    st.lists(WORD, min_size=1, max_size=3),
)
ANY_CONTRAST = st.text("abT2w019-_ .()é", min_size=1, max_size=12).filter(lambda name: name.strip("."))


def write(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def indexed(root: Path, name: str, validate: bool = True):
    """The file of a fresh data set with this one image."""
    for old in root.rglob("*.nii.gz"):
        old.unlink()
    write(root, name)
    index = scan(root, validate=validate)
    assert not index.skipped
    return index[0]


@pytest.mark.parametrize(
    ("name", "taken_by", "not_by"),
    [
        ("sub-siteX01_T1w_reg", ["T1w_reg"], ["T1w", "reg", "T2w_reg", "acq-MTon_T1w_reg"]),
        ("sub-siteX01_T1w", ["T1w"], ["T1w_reg", "w", "1w"]),
        ("sub-siteX01_acq-MTon_MTS_reg", ["acq-MTon_MTS_reg", "MTS_reg"], ["acq-MToff_MTS_reg", "MTS"]),
        ("sub-01_T2w_straight_mid", ["T2w_straight_mid"], ["T2w_mid", "mid", "straight_mid"]),
        ("sub-01_a_T2w", ["a_T2w"], ["T2w"]),
    ],
)
def test_a_contrast_is_all_that_stands_behind_the_entities(tmp_path, name, taken_by, not_by):
    file = indexed(tmp_path, f"{name.split('_')[0]}/anat/{name}.nii.gz")
    assert [contrast for contrast in [*taken_by, *not_by] if matches(file, contrast)] == taken_by


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(BIDS_CONTRAST, BIDS_CONTRAST)
def test_any_contrast_is_found_again_in_the_name_it_was_put_in(tmp_path, contrast, other):
    file = indexed(tmp_path, f"sub-01/anat/sub-01_{contrast}.nii.gz")
    assert contrast_of(file, [contrast]) == contrast
    # Another one takes it only if it asks for the same suffix and no other entities.
    words = [part for part in contrast.split("_") if "-" not in part]
    asked = other.split("_")
    same = [part for part in asked if "-" not in part] == words
    entities = {part for part in asked if "-" in part} <= set(contrast.split("_"))
    assert matches(file, other) == (same and entities)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ANY_CONTRAST, st.sampled_from(["sub-01", "sub 1", "patient1", "x_y"]))
@example("my-contrast", "patient1")
@example("T2w.reg", "sub-01")
@example("_a", "sub-01")
def test_without_validation_any_text_is_a_contrast(tmp_path, contrast, subject):
    file = indexed(tmp_path, f"{subject}/{subject}_{contrast}.nii.gz", validate=False)
    assert file.participant == subject
    assert contrast_of(file, [contrast]) == contrast


def test_without_validation_the_last_part_of_a_name_is_a_contrast_too(tmp_path):
    file = indexed(tmp_path, "sub-001/anat/sub-001_a_T2w.nii.gz", validate=False)
    assert [c for c in ("T2w", "a_T2w", "a", "2w") if matches(file, c)] == ["T2w", "a_T2w"]
    assert contrast_of(file, ["T2w", "a_T2w"]) == "a_T2w"


LOOSE = [
    "sub-001/anat/sub-001_a_T2w.nii.gz",
    "sub-002/sub-002_T2w.nii.gz",
    "patient 3/scans/patient 3_T2w.nii.gz",
    "patient_4/anat/deep/scan_T2w.nii.gz",
    "sub-005_T2w.nii.gz",
]


def label_of(image: str) -> str:
    return f"derivatives/labels/{image.removesuffix('.nii.gz')}_seg.nii.gz"


def loader_params(root: Path, **more):
    return {
        "path_data": [str(root)],
        "target_suffix": ["_seg"],
        "contrast_params": {"training_validation": ["T2w"], "testing": ["T2w"]},
        "bids_validate": False,
        **more,
    }


def test_without_validation_names_and_folders_are_free(tmp_path):
    write(tmp_path, *LOOSE, *map(label_of, LOOSE), "sub-002/sub-002_T2w_reg.nii.gz", "code/x_T2w.nii.gz")
    write(tmp_path, "nobody_T2w.nii.gz")
    bids_df = BidsDataframe(loader_params(tmp_path), tmp_path, derivatives=True)
    cases = build_cases(
        bids_df, bids_df.images, target_suffix=["_seg"], contrasts=["T2w"], multichannel=False
    ).cases
    assert {str(case.images[0].relative_to(tmp_path)) for case in cases} == set(LOOSE)
    assert {str(case.targets[0][0].path.relative_to(tmp_path)) for case in cases} == set(map(label_of, LOOSE))
    subjects = ["patient 3", "patient_4", "sub-001", "sub-002", "sub-005"]
    assert sorted(case.subject for case in cases) == subjects
    assert sorted(bids_df.df["participant_id"].dropna()) == subjects
    assert [Path(item.file).name for item in bids_df.dropped] == ["nobody_T2w.nii.gz"]


def test_labels_stay_with_the_subject_of_their_folder(tmp_path):
    write(
        tmp_path, "patient1/T2w.nii.gz", "derivatives/labels/patient2/T2w_seg.nii.gz", "patient2/T1w.nii.gz"
    )
    with pytest.raises(DataError, match=r"no label T2w_seg .*wrong folder: derivatives/labels/patient2/"):
        BidsDataframe(loader_params(tmp_path), tmp_path, derivatives=True)


def test_links_around_themselves_have_an_end(tmp_path):
    write(tmp_path, *LOOSE)
    (tmp_path / "sub-002" / "again").symlink_to(tmp_path)
    assert len(scan(tmp_path, validate=False)) == len(LOOSE)


def test_a_name_that_has_more_than_the_contrast_is_left_out_with_advice(tmp_path):
    write(tmp_path, "sub-1/anat/sub-1_a_T2w.nii.gz", "sub-1/anat/sub-1_T2w.nii.gz")
    bids_df = BidsDataframe(loader_params(tmp_path, bids_validate=True), tmp_path, derivatives=False)
    assert list(bids_df.images) == ["sub-1_T2w.nii.gz"]
    [dropped] = bids_df.dropped
    assert 'its contrast is "a_T2w"' in dropped.reason
    assert "bids_validate" in dropped.reason


def test_sidecars_of_processed_images(tmp_path):
    write(tmp_path, "sub-1/anat/sub-1_T1w_reg.nii.gz")
    (tmp_path / "sub-1/anat/sub-1_T1w_reg.json").write_text('{"EchoTime": 1}')
    (tmp_path / "sub-1/anat/sub-1_T1w.json").write_text('{"EchoTime": 2}')
    index = scan(tmp_path)
    assert index.metadata(index[0]) == {"EchoTime": 1}
