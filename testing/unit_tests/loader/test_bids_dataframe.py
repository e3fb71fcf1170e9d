"""The table of a data set: rows, columns, exact label matching, reasons for what is left out."""

from __future__ import annotations

import csv
import json
import logging
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ivadomed.config.schema.loader import SplitDataset, SubjectSelection
from ivadomed.errors import DataError
from ivadomed.loader.bids.tables import read_tsv
from ivadomed.loader.bids_dataframe import BidsDataframe
from ivadomed.loader.cases.grouping import build_cases
from ivadomed.loader.conditions import missing_metadata
from ivadomed.loader.split.draw import draw, select_subjects

LABELS = "derivatives/labels"


def write(root: Path, *names: str, text: str = "") -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def params(root, contrasts=("T1w", "T2w"), suffixes=("_seg-manual",), **others):
    return {
        "path_data": [str(root)],
        "target_suffix": list(suffixes),
        "extensions": [".nii.gz"],
        "roi_params": {"suffix": None, "slice_filter_roi": None},
        "contrast_params": {"training_validation": list(contrasts), "testing": [], "balance": {}},
        **others,
    }


def files(root: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in root.rglob("*") if path.is_file()}


@pytest.fixture
def data(tmp_path):
    root = tmp_path / "data"
    for subject in ("sub-01", "sub-02"):
        for contrast in ("T1w", "T2w", "acq-sup_T2star"):
            write(root, f"{subject}/anat/{subject}_{contrast}.nii.gz")
            write(root, f"{LABELS}/{subject}/anat/{subject}_{contrast}_seg-manual.nii.gz")
    write(root, "participants.tsv", text="participant_id\tsex\tage\nsub-02\tF\tn/a\nsub-01\tM\t34\n")
    write(root, "sub-01/anat/sub-01_T1w.json", text='{"EchoTime": 0.5, "Count": 3, "Nothing": null}')
    return root


def test_rows_and_columns(data, tmp_path):
    df = BidsDataframe(params(data), tmp_path, derivatives=True).df
    assert list(df.columns) == [
        *("path", "filename", "Count", "EchoTime", "datatype", "extension", "subject", "suffix"),
        *("participant_id", "age", "sex"),
    ]
    assert list(df["filename"]) == sorted(
        f"{subject}_{contrast}{suffix}.nii.gz"
        for subject in ("sub-01", "sub-02")
        for contrast in ("T1w", "T2w")
        for suffix in ("", "_seg-manual")
    )
    image, label = df.iloc[0], df.iloc[1]
    assert (image["Count"], image["EchoTime"], image["age"], image["sex"]) == (3, 0.5, "34", "M")
    assert image["path"] == str(data / "sub-01/anat/sub-01_T1w.nii.gz")
    assert label.drop(["path", "filename"]).isna().all()
    assert df.loc[df["participant_id"] == "sub-02", "age"].isna().all()


def test_nothing_is_written_into_the_data_set(data, tmp_path):
    before = files(data)
    bids_df = BidsDataframe(params(data), tmp_path, derivatives=True)
    with pytest.warns(DeprecationWarning, match="not needed"):
        bids_df.write_derivatives_dataset_description(data)
    assert files(data) == before


def test_save_writes_csv(data, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    bids_df = BidsDataframe(params(data), tmp_path, derivatives=True)
    bids_df.save(tmp_path / "bids_dataframe.csv")
    with (tmp_path / "bids_dataframe.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["filename"] for row in rows] == list(bids_df.df["filename"])
    assert "Dataframe has been saved in" in caplog.text


def test_contrast_with_entities(data, tmp_path):
    write(data, "sub-01/anat/sub-01_T2star.nii.gz", f"{LABELS}/sub-01/anat/sub-01_T2star_seg-manual.nii.gz")
    names = BidsDataframe(params(data, ["acq-sup_T2star"]), tmp_path, derivatives=True).get_subject_fnames()
    assert names == ["sub-01_acq-sup_T2star.nii.gz", "sub-02_acq-sup_T2star.nii.gz"]


def test_labels_match_by_exact_name_only(data, tmp_path):
    write(data, "sub-010/anat/sub-010_T1w.nii.gz", "sub-01/anat/sub-01_run-1_T1w.nii.gz")
    write(data, f"{LABELS}/sub-010/anat/sub-010_T1w_seg-manual2.nii.gz")
    bids_df = BidsDataframe(params(data, ["T1w"]), tmp_path, derivatives=True)
    assert bids_df.get_subject_fnames() == ["sub-01_T1w.nii.gz", "sub-02_T1w.nii.gz"]
    labels = bids_df.get_deriv_fnames()
    assert bids_df.get_derivatives("sub-01_T1w.nii.gz", labels) == ["sub-01_T1w_seg-manual.nii.gz"]
    assert bids_df.get_subjects_with_derivatives() == (bids_df.get_subject_fnames(), labels)


def test_labels_in_the_folder_of_another_subject_are_not_taken(data, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    own = data / LABELS / "sub-01/anat/sub-01_T1w_seg-manual.nii.gz"
    write(data, f"{LABELS}/sub-02/anat/{own.name}")
    both = BidsDataframe(params(data, ["T1w"]), tmp_path, derivatives=True).df
    assert both.loc[both["filename"] == own.name, "path"].tolist() == [str(own)]
    own.unlink()
    bids_df = BidsDataframe(params(data, ["T1w"]), tmp_path, derivatives=True)
    assert bids_df.get_subject_fnames() == ["sub-02_T1w.nii.gz"]
    (dropped,) = bids_df.dropped
    assert dropped.file.endswith("sub-01_T1w.nii.gz")
    assert "wrong folder: derivatives/labels/sub-02" in dropped.reason
    assert "kept 1 of 2 images" in caplog.text
    assert dropped.reason in caplog.text


def test_a_label_in_two_places_is_an_error(data, tmp_path):
    write(data, "derivatives/other/sub-01/anat/sub-01_T1w_seg-manual.nii.gz")
    with pytest.raises(DataError, match=r"derivatives/labels/.*and.*derivatives/other/"):
        BidsDataframe(params(data), tmp_path, derivatives=True)


def test_sessions_have_their_own_labels(tmp_path):
    root = tmp_path / "data"
    for session in ("ses-1", "ses-2"):
        write(root, f"sub-01/{session}/anat/sub-01_{session}_T1w.nii.gz")
    write(root, f"{LABELS}/sub-01/ses-1/anat/sub-01_ses-1_T1w_seg-manual.nii.gz")
    write(root, f"{LABELS}/sub-01/ses-1/anat/sub-01_ses-2_T1w_seg-manual.nii.gz")
    bids_df = BidsDataframe(params(root), tmp_path, derivatives=True)
    assert bids_df.get_subject_fnames() == ["sub-01_ses-1_T1w.nii.gz"]
    only = BidsDataframe(params(root, target_sessions=["ses-2"]), tmp_path, derivatives=False)
    assert only.get_subject_fnames() == ["sub-01_ses-2_T1w.nii.gz"]


def test_the_roi_must_be_there(data, tmp_path):
    write(data, f"{LABELS}/sub-02/anat/sub-02_T1w_roi.nii.gz")
    wanted = params(data, ["T1w"], roi_params={"suffix": "_roi"})
    bids_df = BidsDataframe(wanted, tmp_path, derivatives=True)
    assert bids_df.get_subject_fnames() == ["sub-02_T1w.nii.gz"]
    assert bids_df.get_deriv_fnames() == ["sub-02_T1w_roi.nii.gz", "sub-02_T1w_seg-manual.nii.gz"]


def test_several_raters_in_lists(data, tmp_path):
    write(data, f"{LABELS}/sub-01/anat/sub-01_T1w_seg-rater2.nii.gz")
    wanted = params(data, ["T1w"], [["_seg-manual", "_seg-rater2"]])
    names = BidsDataframe(wanted, tmp_path, derivatives=True).get_deriv_fnames()
    assert names == [
        f"sub-{s}_T1w_seg-{r}.nii.gz" for s, r in (("01", "manual"), ("01", "rater2"), ("02", "manual"))
    ]


def test_without_derivatives_all_images_stay(tmp_path):
    write(tmp_path, "sub-1/anat/sub-1_T1w.nii.gz")
    bids_df = BidsDataframe(params(tmp_path), tmp_path, derivatives=False)
    assert bids_df.df["filename"].tolist() == ["sub-1_T1w.nii.gz"]


def test_a_missing_participants_table_is_a_warning(tmp_path, caplog):
    write(tmp_path, "sub-1/anat/sub-1_T1w.nii.gz")
    df = BidsDataframe(params(tmp_path), tmp_path, derivatives=False).df
    assert df["participant_id"].tolist() == ["sub-1"]
    assert "participants.tsv is missing" in caplog.text


def test_samples_sessions_and_scans_are_merged(tmp_path):
    root, folder = tmp_path / "data", "sub-1/ses-1/micr"
    names = [f"sub-1_ses-1_sample-a_run-{run}_SEM.png" for run in (1, 2)]
    write(root, *(f"{folder}/{name}" for name in names))
    write(root, "participants.tsv", text="participant_id\tspecies\nsub-1\trat\n")
    write(root, "samples.tsv", text="sample_id\tparticipant_id\tsample_type\nsample-a\tsub-1\ttissue\n")
    write(root, "sub-1/sub-1_sessions.tsv", text="session_id\tacq_time\nses-1\tmonday\n")
    write(root, "sub-1/ses-1/sub-1_ses-1_scans.tsv", text=f"filename\tacq_time\nmicr/{names[1]}\ttuesday\n")
    df = BidsDataframe(params(root, ["SEM"], extensions=[".png"]), tmp_path, derivatives=False).df
    assert list(df.columns)[-6:] == [
        "participant_id",
        "species",
        "sample_id",
        "sample_type",
        "acq_time_x",
        "acq_time",
    ]
    assert df["acq_time_x"].tolist() == ["monday", "monday"]
    assert df["run"].tolist() == ["1", "2"]
    assert df["acq_time"].isna().tolist() == [True, False]
    assert df["sample_type"].tolist() == ["tissue", "tissue"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name\nsub-01\n", "participant_id"),
        ("participant_id\nsub-01\nsub-01\n", "sub-01 is listed twice"),
        ("participant_id\nsub-01\tM\n", "row 2 has 2 cells"),
    ],
)
def test_damaged_tables_are_named(data, tmp_path, text, message):
    (data / "participants.tsv").write_text(text)
    with pytest.raises(DataError, match=rf"participants\.tsv.*{message}"):
        BidsDataframe(params(data), tmp_path, derivatives=True)


def test_the_same_name_in_two_data_sets_is_an_error(data, tmp_path):
    write(tmp_path, "second/sub-01/anat/sub-01_T1w.nii.gz")
    wanted = params(data) | {"path_data": [str(data), str(tmp_path / "second")]}
    with pytest.raises(DataError, match=r"sub-01_T1w occurs 2 times \(.*second/sub-01"):
        BidsDataframe(wanted, tmp_path, derivatives=False)


def test_two_data_sets_are_joined(data, tmp_path):
    write(tmp_path, "second/sub-77/anat/sub-77_T1w.nii.gz")
    write(tmp_path, "second/participants.tsv", text="participant_id\tsite\nsub-77\tA\n")
    wanted = params(data, ["T1w"]) | {"path_data": [str(data), str(tmp_path / "second")]}
    df = BidsDataframe(wanted, tmp_path, derivatives=False).df
    assert df["participant_id"].tolist() == ["sub-01", "sub-02", "sub-77"]
    assert df["site"].isna().tolist() == [True, True, False]


def test_nothing_found_says_what_was_searched_for(data, tmp_path):
    with pytest.raises(DataError, match=r"T9w.*_seg-manual.*T1w") as caught:
        BidsDataframe(params(data, ["T9w"]), tmp_path, derivatives=True)
    assert str(data) in str(caught.value)


def test_nothing_found_names_what_is_there_instead(data, tmp_path):
    for wanted, there in (
        (params(data, ["T1w"], ["_lesion"]), "available labels: _seg-manual"),
        (params(data, extensions=[".png"]), r"available images: T1w\.nii\.gz, T2star\.nii\.gz"),
    ):
        with pytest.raises(DataError, match=there) as caught:
            BidsDataframe(wanted, tmp_path, derivatives=True)
        assert str(caught.value).count("\n") <= 1


def test_one_name_in_two_formats_is_an_error(data, tmp_path):
    write(data, "sub-01/anat/sub-01_T1w.nii")
    wanted = params(data, extensions=[".nii", ".nii.gz"])
    with pytest.raises(DataError, match=r"sub-01_T1w occurs 2 times \(.*T1w\.nii, .*T1w\.nii\.gz\)"):
        BidsDataframe(wanted, tmp_path, derivatives=False)


def test_a_data_set_that_is_named_twice_is_an_error(data, tmp_path):
    (tmp_path / "link").symlink_to(data)
    for again in (data, tmp_path / "link"):
        with pytest.raises(DataError, match=r"path_data: .* is named twice"):
            BidsDataframe(params(data) | {"path_data": [str(data), str(again)]}, tmp_path, derivatives=False)


def test_remarks_on_what_may_surprise(data, tmp_path):
    def remarks(wanted):
        found = BidsDataframe(wanted, tmp_path, derivatives=False).remarks
        return [remark for remark in found if "has no dataset_description.json" not in remark]

    assert remarks(params(data)) == []
    write(tmp_path, "second/sub-01/anat/sub-01_acq-x_T1w.nii.gz", "second/sub-77/anat/sub-77_T1w.nii.gz")
    wanted = params(data, ["T1w", "T9w"]) | {"path_data": [str(data), str(tmp_path / "second")]}
    contrast, subject = remarks(wanted)
    assert "no usable image has the contrast T9w; available: T1w" in contrast
    assert f"({data} and {tmp_path / 'second'}): sub-01; each counts as one subject" in subject


def test_subjects_without_a_wanted_contrast_are_left_out_once(data, tmp_path):
    write(
        data,
        "sub-88/anat/sub-88_PDw.nii.gz",
        "sub-88/anat/sub-88_bold.nii.gz",
        "sub-89/anat/sub-89_a_T1w.nii.gz",
    )
    dropped = BidsDataframe(params(data, ["T1w"]), tmp_path, derivatives=False).dropped
    assert [item.file for item in dropped if "sub-88" in item.file] == ["sub-88"]
    assert [item.lacks for item in dropped if item.file == "sub-88"] == ["no image of the contrast T1w"]
    assert [Path(item.file).name for item in dropped if "sub-89" in item.file] == ["sub-89_a_T1w.nii.gz"]


def test_images_without_a_sidecar_are_listed(data, tmp_path):
    bids_df = BidsDataframe(params(data, ["T1w"]), tmp_path, derivatives=True)
    assert bids_df.without_sidecar == [data / "sub-02/anat/sub-02_T1w.nii.gz"]
    write(data, "T1w.json", text='{"Manufacturer": "x"}')  # one for all of them
    assert BidsDataframe(params(data, ["T1w"]), tmp_path, derivatives=True).without_sidecar == []


def test_images_without_a_value_to_split_by_are_dropped(data, tmp_path):
    bids_df = BidsDataframe(params(data, ["T1w"]), tmp_path, derivatives=True, split_method="age")
    assert bids_df.df["filename"].tolist() == ["sub-01_T1w.nii.gz", "sub-01_T1w_seg-manual.nii.gz"]
    assert "age" in bids_df.dropped[0].reason
    with pytest.raises(DataError, match="site"):
        BidsDataframe(params(data), tmp_path, derivatives=True, split_method="site")


def reference(real_data, tmp_path, folders, contrasts, suffixes, extensions, csv):
    """Our table of the data sets and the reference, both as text."""
    paths = [str(real_data / "data_testing" / folder) for folder in folders]
    wanted = params(paths, contrasts, suffixes, extensions=extensions) | {"path_data": paths}
    BidsDataframe(wanted, tmp_path, derivatives=True).save(tmp_path / "df.csv")
    found = pd.read_csv(tmp_path / "df.csv", dtype=str).drop(columns="path")
    return found, pd.read_csv(real_data / "data_testing" / csv, dtype=str)


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("folder", "contrasts", "suffixes", "extension"),
    [
        ("", ["T1w", "T2w"], ["_seg-manual", "_lesion-manual"], ".nii.gz"),
        ("microscopy_png", ["SEM"], ["_seg-axon-manual", "_seg-myelin-manual"], ".png"),
        ("ct_scan", ["ct"], ["_seg-manual"], ".nii.gz"),
    ],
)
def test_reference_tables(real_data, tmp_path, folder, contrasts, suffixes, extension):
    found, expected = reference(
        real_data, tmp_path, [folder], contrasts, suffixes, [extension], Path(folder, "df_ref.csv")
    )
    pd.testing.assert_frame_equal(found, expected)


@pytest.mark.real_data
def test_reference_table_of_two_data_sets(real_data, tmp_path):
    folders, suffixes = ["", "microscopy_png"], ["_seg-manual", "_seg-axon-manual"]
    found, expected = reference(
        real_data, tmp_path, folders, ["T1w", "T2w", "SEM"], suffixes, [".nii.gz", ".png"], "df_ref_multi.csv"
    )
    # The second data set lies within the first, whose table pybids gave the columns of its scans.tsv as well: they
    # are the same, in another place.
    pd.testing.assert_frame_equal(found, expected, check_like=True)


def test_sidecar_values_keep_their_types(tmp_path):
    values = {"Text": "a", "Flag": True, "List": [1, 2.5], "Whole": 7}
    write(tmp_path, "sub-1/anat/sub-1_T1w.nii.gz", "sub-2/anat/sub-2_T1w.nii.gz")
    write(tmp_path, "sub-1/anat/sub-1_T1w.json", text=json.dumps(values))
    row = BidsDataframe(params(tmp_path), tmp_path, derivatives=False).df.iloc[0]
    assert {key: row[key] for key in values} == values
    assert type(row["Whole"]) is int


@pytest.mark.parametrize("value", [["a", "b"], {"a": [1]}, [], [[1, None], "x"], True, "", 10**400])
def test_sidecar_values_of_any_type_split_and_select_as_text(tmp_path, value):
    root = tmp_path / "data"
    for number in range(4):
        write(root, f"sub-{number}/anat/sub-{number}_T1w.nii.gz")
        text = json.dumps({"Site": value if number % 2 else "other", "session": value, "path": value})
        write(root, f"sub-{number}/anat/sub-{number}_T1w.json", text=text)
        write(root, f"sub-{number}/sub-{number}_sessions.tsv", text="session_id\tage\nses-1\t3\n")
    bids_df = BidsDataframe(params(root), tmp_path, derivatives=False, split_method="Site")
    assert bids_df.df["path"].tolist() == [str(path) for path in sorted(root.glob("sub-*/anat/*.nii.gz"))]
    assert "session" not in bids_df.df
    bids_df.save(tmp_path / "table.csv")
    selection = SubjectSelection(n=(1,), metadata=("Site",), value=("other",))
    split = SplitDataset(train_fraction=0.5, test_fraction=0.25, balance="Site")
    chosen = select_subjects(bids_df.df, selection, 0)
    assert chosen["participant_id"].tolist() in (["sub-0"], ["sub-2"])
    assert sum(map(len, draw(bids_df.df, split))) == 4
    cases = build_cases(
        bids_df, bids_df.images, target_suffix=[], contrasts=["T1w"], multichannel=False, require_target=False
    ).cases
    usable = isinstance(value, (bool, int))
    assert [missing_metadata(case, "Site") is None for case in cases] == [True, usable, True, usable]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "latin-1", "cp1252"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_tables_of_spreadsheets_are_read(tmp_path, encoding, end, caplog):
    path = tmp_path / "participants.tsv"
    path.write_bytes(end.join(["participant_id\tcity", "sub-01\tZürich", ""]).encode(encoding))
    if encoding == "utf-16-le":  # without a byte order mark
        with pytest.raises(DataError, match=r"participants.tsv: cannot be read as UTF-8 text; save it"):
            read_tsv(path, "participant_id")
        return
    assert read_tsv(path, "participant_id") == [{"participant_id": "sub-01", "city": "Zürich"}]
    assert ("read as Latin-1" in caplog.text) == (encoding in ("latin-1", "cp1252"))


@pytest.mark.parametrize("name", ["participants.tsv", "sub-01/anat/sub-01_T1w.json"])
@pytest.mark.parametrize(
    "text", ["/annex/objects/MD5E-s4--00\n", "version https://git-lfs.github.com/spec/v1\n"]
)
def test_tables_and_sidecars_that_were_not_fetched_say_so(data, tmp_path, name, text):
    (data / name).write_text(text)
    with pytest.raises(DataError, match=rf"{name}: its content is missing; fetch it first \(git annex get"):
        BidsDataframe(params(data), tmp_path, derivatives=True)


def test_images_whose_indices_differ_by_zeros_only_are_one_too_many(tmp_path):
    write(tmp_path, "sub-1/anat/sub-1_run-1_T1w.nii.gz", "sub-1/anat/sub-1_run-01_T1w.nii.gz")
    message = r"sub-1_run-1_T1w occurs 2 times \(.*sub-1_run-01_T1w.nii.gz, .*sub-1_run-1_T1w.nii.gz\)"
    with pytest.raises(DataError, match=message):
        BidsDataframe(params(tmp_path), tmp_path, derivatives=False)


@given(st.randoms(use_true_random=False))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_runs_of_two_contrasts_pair_whatever_zeros_they_have(tmp_path_factory, rng):
    root = tmp_path_factory.mktemp("runs")
    written = {"T1w": ["1", "2"], "T2w": ["1", "2"]}
    for contrast, numbers in written.items():
        for i, number in enumerate(numbers):
            numbers[i] = "0" * rng.randrange(3) + number
            write(root, f"sub-1/anat/sub-1_run-{numbers[i]}_{contrast}.nii.gz")
    bids_df = BidsDataframe(params(root), root, derivatives=False)
    cases = build_cases(
        bids_df,
        bids_df.images,
        target_suffix=[],
        contrasts=["T1w", "T2w"],
        multichannel=True,
        require_target=False,
    ).cases
    found = {tuple(path.name for path in case.images) for case in cases}
    pairs = zip(written["T1w"], written["T2w"], strict=True)
    assert found == {(f"sub-1_run-{a}_T1w.nii.gz", f"sub-1_run-{b}_T2w.nii.gz") for a, b in pairs}
