"""The documented steps of ``BidsDataset``."""

import pytest

from ivadomed.errors import DataError
from ivadomed.loader.bids_dataframe import BidsDataframe
from ivadomed.loader.bids_dataset import BidsDataset

LOADER = {"target_suffix": ["_seg-manual"], "extensions": [".nii.gz"], "roi_params": {"suffix": None}}


@pytest.fixture
def bids_df(study, tmp_path):
    contrasts = {"contrast_lst": ["T1w", "T2w"]}
    params = {**LOADER, "path_data": [str(study)], "contrast_params": contrasts}
    return BidsDataframe(params, str(tmp_path), derivatives=True)


@pytest.fixture
def dataset(bids_df):
    names = [name for name in bids_df.get_subject_fnames() if name.endswith("_T1w.nii.gz")]
    return BidsDataset(bids_df, names, ["_seg-manual"], {"contrast_lst": ["T1w"]}, {})


def test_labels_find_their_class_and_rater(dataset):
    found = [None, []]
    for name in ("a/sub-1_T1w_seg.nii.gz", "a/sub-1_T1w_lesion-r2.nii.gz", "a/sub-1_T1w_other.nii.gz"):
        dataset.get_target_filename(["_seg", ["_lesion-r1", "_lesion-r2"]], found, name)
    assert found == ["a/sub-1_T1w_seg.nii.gz", ["a/sub-1_T1w_lesion-r2.nii.gz"]]


def test_a_suffix_may_end_like_another_one(dataset):
    found = [None, None]
    for name in ("sub-1_T1w_seg.nii.gz", "sub-1_T1w_lesion_seg.nii.gz"):
        dataset.get_target_filename(["_seg", "_lesion_seg"], found, name)
    assert found == ["sub-1_T1w_seg.nii.gz", "sub-1_T1w_lesion_seg.nii.gz"]


def test_a_column_is_entered_with_the_numbers_of_its_values(dataset, bids_df):
    table = bids_df.df
    row = table[table["filename"] == dataset.filename_pairs[0][0][0].rpartition("/")[2]]
    metadata = {}
    dataset.create_metadata_dict(metadata, "participant_id", row, bids_df)
    names = sorted(set(table["participant_id"].dropna()))
    assert metadata == {
        "participant_id": row["participant_id"].iloc[0],
        "metadata_dict": {name: place for place, name in enumerate(names)},
    }
    for choice in ("contrasts", "mri_params", False, None):
        unchanged = {}
        dataset.create_metadata_dict(unchanged, choice, row, bids_df)
        assert unchanged == {}
    with pytest.raises(DataError, match="no column shoe_size"):
        dataset.create_metadata_dict({}, "shoe_size", row, bids_df)


def step(dataset, bids_df, name, subjects=None, balance=None, counts=None, total=None, boxes=None):
    dataset.create_filename_pair(
        subjects if subjects is not None else {},
        name,
        counts if counts is not None else {},
        total or {},
        subjects is not None,
        bids_df.df,
        {"balance": balance or {}},
        ["_seg-manual"],
        bids_df.get_deriv_fnames(),
        bids_df,
        boxes or {},
        {"T1w": 0, "T2w": 1},
        None,
    )


def test_image_after_image_gives_the_pairs_of_the_data_set(dataset, bids_df):
    expected = [(pair[0], pair[1], pair[2]) for pair in dataset.filename_pairs]
    dataset.filename_pairs.clear()
    for inputs, _, _ in expected:
        step(dataset, bids_df, inputs[0].rpartition("/")[2])
    assert [(pair[0], pair[1], pair[2]) for pair in dataset.filename_pairs] == expected
    assert dataset.filename_pairs[0][3][0]["contrast"] == "T1w"


def test_contrasts_become_channels_of_their_subject(dataset, bids_df):
    names = sorted(bids_df.get_subject_fnames())
    subject = names[0].split("_")[0]
    entry = {"absolute_paths": [None] * 2, "deriv_path": None, "roi_filename": None, "metadata": [None] * 2}
    subjects = {subject: entry}
    for contrast in ("T2w", "T1w"):
        step(dataset, bids_df, f"{subject}_{contrast}.nii.gz", subjects)
    assert [path.rpartition("_")[2] for path in entry["absolute_paths"]] == ["T1w.nii.gz", "T2w.nii.gz"]
    assert [record["contrast"] for record in entry["metadata"]] == ["T1w", "T2w"]
    assert entry["deriv_path"][0].endswith(f"{subject}_T1w_seg-manual.nii.gz")


def test_no_more_than_the_share_of_a_contrast_is_entered(dataset, bids_df):
    names = [pair[0][0].rpartition("/")[2] for pair in dataset.filename_pairs]
    dataset.filename_pairs.clear()
    counts = {"T1w": 0}
    for name in names:
        step(dataset, bids_df, name, balance={"T1w": 0.5}, counts=counts, total={"T1w": 6})
    assert (len(dataset.filename_pairs), counts) == (3, {"T1w": 6})


def test_boxes_are_entered(dataset, bids_df):
    path = dataset.filename_pairs[0][0][0]
    dataset.filename_pairs.clear()
    step(dataset, bids_df, path.rpartition("/")[2], boxes={path: [[0, 4, 0, 5, 0, 6]]})
    assert dataset.filename_pairs[0][3][0]["bounding_box"] == [0, 4, 0, 5, 0, 6]
