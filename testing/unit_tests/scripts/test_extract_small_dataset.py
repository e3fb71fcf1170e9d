"""``ivadomed_extract_small_dataset`` on the phantom."""

import shutil

import pandas as pd
import pytest

from ivadomed.errors import DataError
from ivadomed.loader.bids_dataframe import BidsDataframe
from ivadomed.scripts.extract_small_dataset import (
    extract_small_dataset,
    is_good_contrast,
    main,
    remove_some_contrasts,
)


def files(folder):
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("sub-01_T2w.nii.gz", True),
        ("sub-01_acq-ax_T2w.json", True),
        ("sub-01_T2w_seg-manual.nii.gz", True),
        ("sub-01_T2star.nii.gz", True),
        ("sub-01_T1w.nii.gz", False),
        ("sub-T2w_T1w.nii.gz", False),
        ("sub-01_PDT2w.nii.gz", False),
    ],
)
def test_contrast_of_a_file(name, expected):
    assert is_good_contrast(name, ["T2w", "T2star"]) == expected


def test_command_line(study, tmp_path, capsys):
    out = tmp_path / "new" / "small"
    arguments = ["-i", str(study), "-o", str(out), "-n", "3", "-c", "T1w,T2w", "-s", "1234"]
    assert main(arguments) == 0
    assert f"3 subjects in {out}" in capsys.readouterr().out
    small, large = files(out), files(study)
    subjects = sorted(p.name for p in out.glob("sub-*"))
    expected = {
        name
        for name in large
        if "sub-" not in name or (any(f"{s}/" in name for s in subjects) and "T2star" not in name)
    }
    assert set(small) == expected
    assert all(small[name] == large[name] for name in expected - {"participants.tsv"})
    table = pd.read_csv(out / "participants.tsv", sep="\t")
    assert list(table["participant_id"]) == subjects
    assert list(table) == list(pd.read_csv(study / "participants.tsv", sep="\t"))


def test_the_small_one_is_a_data_set(study, tmp_path):
    extract_small_dataset(study, tmp_path / "small", 2, ["T2w"], seed=0)
    loader = {
        "path_data": [str(tmp_path / "small")],
        "target_suffix": ["_seg-manual"],
        "contrast_params": {"contrast_lst": ["T2w"]},
        "extensions": [".nii.gz"],
    }
    table = BidsDataframe(loader, str(tmp_path), derivatives=True).df
    assert sorted(name.partition("_")[2] for name in table["filename"]) == [
        *["T2w.nii.gz"] * 2,
        *["T2w_seg-manual.nii.gz"] * 2,
    ]


def test_labels_of_all_derivatives_come_along(tmp_path, capsys):
    data, out = tmp_path / "data", tmp_path / "out"
    copied = [
        "derivatives/dataset_description.json",
        "derivatives/group/manual/dataset_description.json",
        "derivatives/group/manual/dseg.tsv",
        "derivatives/group/manual/sub-01/anat/sub-01_space-T1w_dseg.nii.gz",
        "derivatives/group/manual/sub-01/anat/sub-01_space-T1w_dseg.json",
        "derivatives/group/manual/sub-01/sub-01_dseg.tsv",
        "derivatives/rater2/sub-01/anat/sub-01_T1w_lesion.nii.gz",
        "derivatives/rater2/sub-01/anat/sub-01_T1w_lesion.json",
        "sub-01/anat/sub-01_T1w.nii.gz",
    ]
    other = [
        "derivatives/freesurfer/sub-01/surf/lh.pial",
        "derivatives/qc/dataset_description.json",
        "derivatives/qc/sub-01/anat/sub-01_report.json",
        "derivatives/group/manual/sub-01/anat/sub-01_space-T2w_dseg.nii.gz",
        "derivatives/group/manual/sub-02/anat/sub-02_T1w_lesion.nii.gz",
        "derivatives/rater2/sub-01/anat/._sub-01_T1w_lesion.nii.gz",
        "sub-01/anat/sub-01_T2w.nii.gz",
        "sub-01/anat/._sub-01_T1w.nii.gz",
        "sub-02/anat/sub-02_T2w.nii.gz",
        "sub-02/anat/._sub-02_T1w.nii.gz",
    ]
    for name in (*copied, *other):
        (data / name).parent.mkdir(parents=True, exist_ok=True)
        (data / name).write_text(name)
    (data / "sub-01" / "anat" / "again").symlink_to("..")
    assert main(["-i", str(data), "-o", str(out), "-c", "T1w"]) == 0
    assert set(files(out)) == set(copied)
    assert "1 image and 2 labels copied" in capsys.readouterr().out
    assert main(["-i", str(data), "-o", str(tmp_path / "none"), "-c", "T1w", "-d", "0"]) == 0
    assert set(files(tmp_path / "none")) == {"sub-01/anat/sub-01_T1w.nii.gz"}
    assert main(["-i", str(data), "-o", str(tmp_path / "T2w"), "-n", "1", "-s", "1", "-c", "SEM"]) == 1


def test_it_says_when_no_label_is_there(study, tmp_path, capsys):
    data = shutil.copytree(study, tmp_path / "data")
    shutil.rmtree(data / "derivatives")
    assert main(["-i", str(data), "-o", str(tmp_path / "out"), "-n", "1"]) == 0
    assert "No file below" in capsys.readouterr().out


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "latin-1"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_tables_keep_their_encoding(study, tmp_path, encoding, end):
    data = shutil.copytree(study, tmp_path / "data")
    rows = ["participant_id\tcity", *(f"sub-00{i}\tZ\xfcrich\x85" for i in range(1, 7))]
    (data / "participants.tsv").write_bytes(end.join([*rows, ""]).encode(encoding))
    subjects = extract_small_dataset(data, tmp_path / "out", 2, seed=3)
    expected = [rows[0], *(f"{name}\tZ\xfcrich\x85" for name in subjects), ""]
    assert (tmp_path / "out" / "participants.tsv").read_bytes() == end.join(expected).encode(encoding)


def test_a_pointer_is_no_image(study, tmp_path, capsys):
    data = shutil.copytree(study, tmp_path / "data")
    image = data / "sub-002" / "anat" / "sub-002_T2w.nii.gz"
    for content in (
        "/annex/objects/MD5E-s4--00.nii.gz\n",
        "version https://git-lfs.github.com/spec/v1\nsize 4\n",
    ):
        image.write_text(content)
        assert main(["-i", str(data), "-o", str(tmp_path / "out")]) == 1
        assert "sub-002_T2w.nii.gz: its content is missing; fetch it first" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_seeds(study, tmp_path):
    drawn = [extract_small_dataset(study, tmp_path / str(k), n, seed=7) for k, n in enumerate((2, 2, 4))]
    assert drawn[0] == drawn[1]
    assert set(drawn[0]) < set(drawn[2])
    other = [extract_small_dataset(study, tmp_path / f"r{k}", 3, include_derivatives=False) for k in range(8)]
    assert len(set(map(tuple, other))) > 1  # the chance that eight draws agree is below one in a billion
    assert not (tmp_path / "r0" / "derivatives").exists()


def test_subjects_without_the_contrast_are_not_drawn(study, tmp_path):
    data = shutil.copytree(study, tmp_path / "data")
    remove_some_contrasts(data, ["sub-001", "sub-002"], ["T1w"])
    assert not list((data / "sub-001").rglob("*T2w*"))
    assert list((data / "sub-001").rglob("*T1w.nii.gz"))
    assert list((data / "sub-003").rglob("*T2w*"))
    assert "sub-001" not in extract_small_dataset(data, tmp_path / "out", 4, ["T2w"])
    with pytest.raises(DataError, match=r"has no subjects \(sub-\*\) with PD or T3w"):
        extract_small_dataset(data, tmp_path / "none", 5, ["PD", "T3w"])


@pytest.mark.parametrize("contrasts", [None, ["T2w"]])
def test_all_subjects_are_taken_where_there_are_fewer(study, tmp_path, contrasts, caplog, capsys):
    data = shutil.copytree(study, tmp_path / "data")
    for name in ("sub-001", "sub-004", "sub-005"):
        remove_some_contrasts(data, [name], ["T1w"]) if contrasts else shutil.rmtree(data / name)
    left = ["sub-002", "sub-003", "sub-006"]
    chosen = ["-c", ",".join(contrasts)] if contrasts else []
    assert main(["-i", str(data), "-o", str(tmp_path / "small"), "-n", "10", *chosen]) == 0
    assert sorted(path.name for path in (tmp_path / "small").glob("sub-*")) == left
    what = " with T2w" if contrasts else ""
    assert f"has 3 subjects{what}, not 10; all are copied" in caplog.text
    assert f"3 subjects in {tmp_path / 'small'}: {', '.join(left)}" in capsys.readouterr().out


def test_errors_are_one_line_and_leave_nothing(study, tmp_path, capsys):
    data = shutil.copytree(study, tmp_path / "data")
    image = data / "sub-001" / "anat" / "sub-001_T2w.nii.gz"
    image.unlink()
    image.symlink_to("annex-object-that-was-not-fetched")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "file").touch()
    for arguments, message in (
        (["-i", str(data), "-o", "o", "-n", "6"], "sub-001_T2w.nii.gz: cannot be copied"),
        (["-i", str(tmp_path / "mine"), "-o", "o"], "mine: has no subjects (sub-*); check -i and -c"),
        (["-i", str(tmp_path / "nowhere"), "-o", "o"], "nowhere: no such folder; -i names a BIDS folder"),
        (["-i", str(data), "-o", "o", "-n", "0"], "expected at least 1"),
        (["-i", str(data), "-o", "mine", "-n", "1", "-c", "T1w"], "the folder is not empty"),
    ):
        arguments[3] = str(tmp_path / arguments[3])
        assert main(arguments) == 1
        [line] = capsys.readouterr().err.strip().splitlines()
        assert message in line
    assert sorted(p.name for p in tmp_path.iterdir()) == ["data", "mine"]
