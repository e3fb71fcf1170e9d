"""Cases: channels, classes, raters, regions of interest, and what is left out."""

from __future__ import annotations

from pathlib import Path

import pytest

from ivadomed.errors import ConfigError, DataError
from ivadomed.images.labels import LabelFile
from ivadomed.loader.bids_dataframe import BidsDataframe
from ivadomed.loader.cases.grouping import build_cases

LABELS = "derivatives/labels"


def write(root: Path, *names: str, text: str = "") -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def image(root, subject, name, *labels):
    write(root, f"{subject}/anat/{subject}_{name}.nii.gz")
    write(root, *(f"{LABELS}/{subject}/anat/{subject}_{name}{label}.nii.gz" for label in labels))


def cases(
    root, contrasts=("T1w", "T2w"), suffixes=("_seg",), *, derivatives=True, multichannel=False, **others
):
    params = {
        "path_data": str(root),
        "target_suffix": list(suffixes),
        "contrast_params": {"contrast_lst": list(contrasts)},
    }
    bids_df = BidsDataframe(params, root, derivatives)
    return build_cases(
        bids_df,
        bids_df.get_subject_fnames()[::-1],
        target_suffix=suffixes,
        contrasts=contrasts,
        multichannel=multichannel,
        **others,
    )


def ids(found):
    return [case.id for case in found.cases]


def names(files):
    """Names of images or labels."""
    paths = [getattr(file, "path", file) for file in files or ()]
    return None if files is None else [path.name.removesuffix(".nii.gz") for path in paths]


@pytest.fixture
def data(tmp_path):
    for subject in ("sub-01", "sub-02"):
        image(tmp_path, subject, "T1w", "_seg")
        image(tmp_path, subject, "T2w", "_seg")
    write(tmp_path, "participants.tsv", text="participant_id\tsex\nsub-01\tF\nsub-02\tM\n")
    write(tmp_path, "sub-01/anat/sub-01_T1w.json", text='{"EchoTime": 0.5}')
    return tmp_path


def test_one_case_per_image(data):
    found = cases(data)
    assert ids(found) == ["sub-01_T1w", "sub-01_T2w", "sub-02_T1w", "sub-02_T2w"]
    first = found.cases[0]
    assert first.images == (data / "sub-01/anat/sub-01_T1w.nii.gz",)
    assert first.targets == ((LabelFile(data / LABELS / "sub-01/anat/sub-01_T1w_seg.nii.gz"),),)
    assert (first.subject, first.contrasts, first.roi) == ("sub-01", ("T1w",), None)
    assert first.metadata["sex"] == "F"
    assert first.metadata["EchoTime"] == 0.5
    assert "EchoTime" not in found.cases[1].metadata


def test_two_sessions_as_two_channels(tmp_path):
    for subject in ("sub-01", "sub-02"):
        for session in ("ses-a", "ses-b"):
            stem = f"{subject}/{session}/anat/{subject}_{session}_T1w"
            write(tmp_path, f"{stem}.nii.gz", f"{LABELS}/{stem}_seg.nii.gz")
    found = cases(tmp_path, ("ses-a_T1w", "ses-b_T1w"), multichannel=True)
    assert ids(found) == ["sub-01_ses-a_T1w", "sub-02_ses-a_T1w"]
    assert names(found.cases[0].images) == ["sub-01_ses-a_T1w", "sub-01_ses-b_T1w"]
    assert found.dropped == ()


def test_channels_in_order_of_the_contrasts(data):
    found = cases(data, ("T2w", "T1w"), multichannel=True)
    assert ids(found) == ["sub-01_T2w", "sub-02_T2w"]
    assert names(found.cases[0].images) == ["sub-01_T2w", "sub-01_T1w"]
    assert names(found.cases[0].targets[0]) == ["sub-01_T1w_seg"]
    assert found.cases[0].contrasts == ("T2w", "T1w")


def test_labels_of_channels_fall_back_to_another_channel(data):
    image(data, "sub-01", "T1w", "_seg", "_lesion")
    found = cases(data, suffixes=("_seg", "_lesion"), multichannel=True)
    assert [names(target) for target in found.cases[0].targets] == [["sub-01_T2w_seg"], ["sub-01_T1w_lesion"]]


def test_a_missing_channel_drops_the_subject(data):
    image(data, "sub-03", "T1w", "_seg")
    found = cases(data, multichannel=True)
    assert ids(found) == ["sub-01_T1w", "sub-02_T1w"]
    assert [(item.file, item.reason) for item in found.dropped] == [("sub-03", "has no T2w image")]


def test_channels_come_from_one_data_set(data, tmp_path_factory):
    other = tmp_path_factory.mktemp("other")
    image(other, "sub-03", "T1w", "_seg")
    image(data, "sub-03", "T2w", "_seg")
    params = {"path_data": [str(data), str(other)], "target_suffix": ["_seg"]}
    bids_df = BidsDataframe(params, data, True)
    options = {"target_suffix": ["_seg"], "contrasts": ["T1w", "T2w"], "multichannel": True}
    found = build_cases(bids_df, bids_df.get_subject_fnames(), **options)
    assert ids(found) == ["sub-01_T1w", "sub-02_T1w"]
    assert [item.reason for item in found.dropped] == ["has no T2w image", "has no T1w image"]


def test_sessions_are_separate_cases(tmp_path):
    for session in ("ses-1", "ses-2"):
        for contrast in ("T1w", "T2w"):
            name = f"sub-01_{session}_{contrast}"
            write(tmp_path, f"sub-01/{session}/anat/{name}.nii.gz")
            write(tmp_path, f"{LABELS}/sub-01/{session}/anat/{name}_seg.nii.gz")
    found = cases(tmp_path, multichannel=True)
    assert ids(found) == ["sub-01_ses-1_T1w", "sub-01_ses-2_T1w"]
    assert {case.subject for case in found.cases} == {"sub-01"}


def test_runs_are_paired(tmp_path):
    for run in ("run-1", "run-2"):
        for contrast in ("acq-on_MTS", "acq-off_MTS"):
            entity, suffix = contrast.split("_")
            image(tmp_path, "sub-01", f"{entity}_{run}_{suffix}", "_seg")
    found = cases(tmp_path, ("acq-on_MTS", "acq-off_MTS"), multichannel=True)
    assert [names(case.images) for case in found.cases] == [
        [f"sub-01_acq-on_{run}_MTS", f"sub-01_acq-off_{run}_MTS"] for run in ("run-1", "run-2")
    ]


def test_channels_that_cannot_be_paired_are_dropped(data):
    image(data, "sub-01", "run-2_T1w", "_seg")
    found = cases(data, multichannel=True)
    assert ids(found) == ["sub-02_T1w"]
    assert "sub-01_run-2_T1w.nii.gz" in found.dropped[0].reason
    assert "name one of them by its entities" in found.dropped[0].reason


def test_a_missing_class_is_none(data):
    image(data, "sub-02", "T1w", "_seg", "_lesion")
    found = cases(data, ("T1w",), ("_seg", "_lesion"))
    assert [[names(target) for target in case.targets] for case in found.cases] == [
        [["sub-01_T1w_seg"], None],
        [["sub-02_T1w_seg"], ["sub-02_T1w_lesion"]],
    ]


def test_several_raters(data):
    image(data, "sub-01", "T1w", "_seg", "_seg2")
    found = cases(data, ("T1w",), (["_seg", "_seg2"],))
    assert [names(case.targets[0]) for case in found.cases] == [
        ["sub-01_T1w_seg", "sub-01_T1w_seg2"],
        ["sub-02_T1w_seg"],
    ]


def test_the_roi_is_found_or_the_case_dropped(data):
    image(data, "sub-02", "T1w", "_seg", "_roi")
    found = cases(data, ("T1w",), roi_suffix="_roi")
    assert ids(found) == ["sub-02_T1w"]
    assert names([found.cases[0].roi]) == ["sub-02_T1w_roi"]
    assert [(item.file, item.reason) for item in found.dropped] == [
        ("sub-01_T1w", "no region of interest _roi")
    ]


def test_new_data_need_no_label(tmp_path):
    image(tmp_path, "sub-01", "T1w")
    found = cases(tmp_path, derivatives=False, require_target=False)
    assert ids(found) == ["sub-01_T1w"]
    assert found.cases[0].targets == ()


def test_a_case_without_label_is_dropped(data):
    image(data, "sub-03", "T1w")
    found = cases(data, derivatives=False)
    assert "sub-03_T1w" not in ids(found)
    assert [(item.file, item.reason) for item in found.dropped] == [("sub-03_T1w", "no label _seg")]


def test_balance_keeps_a_seeded_share(tmp_path):
    for i in range(20):
        image(tmp_path, f"sub-{i:02d}", "T1w", "_seg")
        image(tmp_path, f"sub-{i:02d}", "T2w", "_seg")
    found = cases(tmp_path, balance={"T1w": 0.1}, seed=1)
    assert sum(case.contrasts == ("T1w",) for case in found.cases) == 2
    assert sum(case.contrasts == ("T2w",) for case in found.cases) == 20
    assert len(found.dropped) == 18
    assert ids(cases(tmp_path, balance={"T1w": 0.1}, seed=1)) == ids(found)
    assert any(ids(cases(tmp_path, balance={"T1w": 0.1}, seed=seed)) != ids(found) for seed in range(2, 6))


def test_balance_is_checked(data):
    with pytest.raises(ConfigError, match="set multichannel to false"):
        cases(data, multichannel=True, balance={"T1w": 0.5})
    with pytest.raises(ConfigError, match=r"balance\.T1w: expected 0 < share <= 1, got 2"):
        cases(data, balance={"T1w": 2})


def test_an_unknown_image_is_named(data):
    params = {"path_data": str(data), "target_suffix": ["_seg"]}
    with pytest.raises(DataError, match=r"sub-99_T1w\.nii\.gz"):
        build_cases(
            BidsDataframe(params, data, True),
            ["sub-99_T1w.nii.gz"],
            target_suffix=["_seg"],
            contrasts=["T1w"],
            multichannel=False,
        )


def test_classes_of_a_label_map_by_name_value_and_union(data):
    for subject in ("sub-01", "sub-02"):
        write(data, f"{LABELS}/{subject}/anat/{subject}_T1w_dseg.nii.gz")
    write(data, f"{LABELS}/dseg.tsv", text="index\tname\n1\tanterior\n2\tposterior\n")
    suffixes = ("_dseg:anterior", "_dseg:2", "_dseg:anterior+posterior", "_seg")
    found = cases(data, ("T1w",), suffixes, roi_suffix="_dseg:posterior+4", ignore_label="_dseg:255").cases
    path = data / LABELS / "sub-01/anat/sub-01_T1w_dseg.nii.gz"
    values = [raters[0].values for raters in found[0].targets]
    assert values == [(1,), (2,), (1, 2), ()]
    assert {raters[0].path for raters in found[0].targets[:3]} == {path}
    assert (found[0].roi, found[0].ignore) == (LabelFile(path, (2, 4)), LabelFile(path, (255,)))
    with pytest.raises(
        DataError, match=r"names 'lateral', which is not in its table; available: anterior, posterior"
    ):
        cases(data, ("T1w",), ("_dseg:lateral",))


def test_raters_of_label_maps_and_images_without_ignored_voxels(tmp_path):
    image(tmp_path, "sub-01", "T1w", "_rater1_dseg", "_rater2_dseg")
    image(tmp_path, "sub-02", "T1w", "_rater2_dseg", "_ignore")
    found = cases(tmp_path, ("T1w",), [["_rater1_dseg:1", "_rater2_dseg:3"]], ignore_label="_ignore").cases
    assert [[(names([r])[0][-11:], r.values) for r in case.targets[0]] for case in found] == [
        [("rater1_dseg", (1,)), ("rater2_dseg", (3,))],
        [("rater2_dseg", (3,))],
    ]
    assert [names(case.ignore and [case.ignore]) for case in found] == [None, ["sub-02_T1w_ignore"]]
