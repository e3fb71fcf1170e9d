"""Tables of subjects: which columns are images, labels and metadata."""

import numpy as np
import pytest

from ivadomed.errors import DataError
from ivadomed.loader.bids.labels import Labels
from ivadomed.loader.bids_dataframe import BidsDataframe

from .conftest import save


def images(index):
    return [file for file in index if not file.is_derivative]


def names(index):
    return [file.name for file in images(index)]


@pytest.mark.parametrize("labels", [["_seg"], ["seg"], ["_seg:1"], []])
@pytest.mark.parametrize("contrasts", [["T1w", "T2weighted"], []])
def test_columns_are_what_the_configuration_calls_them_else_what_they_look_like(
    table, opened, labels, contrasts
):
    index = opened(table, contrasts=contrasts, labels=labels)
    assert names(index) == [
        f"sub-P{number}_ses-1_{contrast}.nii.gz" for number in range(3) for contrast in ("T1w", "T2weighted")
    ]
    image = images(index)[1]
    assert image.path == table.parent / "images/0/c1.nii.gz"
    assert (image.folders, image.suffix) == (("sub-P0", "ses-1"), "T2weighted")
    assert image.entities == {"subject": "P0", "session": "1"}
    label = Labels(index).find(image, (labels or ["_seg"])[0].partition(":")[0])
    assert label.path == table.parent / "images/0/lesion.nii.gz"
    assert Labels(index).suffixes(images(index)[4]) == set()  # its cell is n/a
    assert index.metadata(image) == {"age": "30"}


def test_only_the_wanted_contrasts_are_images(table, opened):
    index = opened(table, contrasts=["T1w"], labels=["_seg"])
    assert names(index) == [f"sub-P{number}_ses-1_T1w.nii.gz" for number in range(3)]


@pytest.mark.parametrize(
    ("contrasts", "labels", "there"),
    [
        (["T3w"], ["_seg"], r"available images: T1w\.nii\.gz, T2weighted\.nii\.gz"),
        (["T1w"], ["_cord"], "available labels: _seg"),
    ],
)
def test_a_name_that_no_column_has_is_answered_with_those_there_are(table, contrasts, labels, there):
    params = {
        "path_data": [str(table)],
        "target_suffix": labels,
        "contrast_params": {"training_validation": contrasts},
    }
    with pytest.raises(DataError, match=there):
        BidsDataframe(params, table.parent, derivatives=True)


def test_columns_are_columns_of_the_data_frame(table):
    params = {
        "path_data": [str(table)],
        "target_suffix": ["_seg"],
        "contrast_params": {"training_validation": ["T1w"]},
    }
    df = BidsDataframe(params, table.parent, derivatives=True).df
    rows = df[df["participant_id"].notna()]
    assert rows[["participant_id", "session", "age"]].to_numpy().tolist() == [
        ["sub-P0", "1", "30"],
        ["sub-P1", "1", "31"],
    ]


def write(table, text):
    table.write_text(text)
    return table


def test_a_label_may_be_that_of_one_contrast(table, opened):
    row = "a\timages/0/c0.nii.gz\timages/0/c1.nii.gz\timages/0/lesion.nii.gz\timages/1/lesion.nii.gz\n"
    write(table, f"participant_id\tT1w\tT2w\tseg\tT2w_cord\n{row}")
    for labels in (["_seg", "_cord"], []):
        index = opened(table, labels=labels)
        found = {image.suffix: Labels(index).suffixes(image) for image in images(index)}
        assert found == {"T1w": {"_seg"}, "T2w": {"_seg", "_cord"}}


def test_commas_semicolons_and_quotes(table, opened):
    for separator in (",", ";"):
        path = table.with_name("subjects.csv")
        row = separator.join(["p1", "images/0/c0.nii.gz", '"a, ""b"""', "images/0/lesion.nii.gz"])
        path.write_text(f"{separator.join(['participant_id', 'T1w', 'remark', 'seg'])}\n{row}\n")
        index = opened(path)
        assert names(index) == ["sub-p1_T1w.nii.gz"]
        assert index.metadata(images(index)[0]) == {"remark": 'a, "b"'}


def test_a_column_with_few_whole_numbers_is_a_label(table, opened):
    two = np.zeros((6, 7, 4), np.float32)
    save(table.parent / "a.nii.gz", two)
    save(table.parent / "b.nii.gz", two + np.linspace(0, 1, 4, dtype=np.float32))
    write(table, "participant_id\tT1w\tspleen\tprior\np\timages/0/c0.nii.gz\ta.nii.gz\tb.nii.gz\n")
    index = opened(table)
    assert names(index) == ["sub-p_T1w.nii.gz", "sub-p_prior.nii.gz"]
    assert Labels(index).suffixes(images(index)[0]) == {"_spleen"}


def test_names_of_classes_lie_beside_the_table_or_the_map(table, opened):
    index = opened(table, labels=["_seg"])
    label = Labels(index).find(images(index)[0], "_seg")
    assert index.label_values(label) == {}
    label.path.with_name("lesion.tsv").write_text("index\tname\n1\tcore\n2\tedge\n")
    assert opened(table, labels=["_seg"]).label_values(label) == {"core": (1,), "edge": (2,)}
    table.with_name("seg.tsv").write_text("index\tname\n1\tone\n")
    assert opened(table, labels=["_seg"]).label_values(label) == {"one": (1,)}


def test_files_that_are_not_there_are_named_with_their_cell(table, opened):
    write(table, "participant_id\tT1w\tseg\np\timages/7.nii.gz\timages/0/lesion.nii.gz\n")
    index = opened(table)
    assert [(item.file, item.reason) for item in index.skipped] == [
        (
            str(table.parent / "images/7.nii.gz"),
            "subjects.tsv (p, column T1w) lists it, but it does not exist",
        )
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("participant_id\tage\nsub-1\t34\n", "no column has paths of images"),
        ("subject\tT1w\nsub-1\tx.nii\n", 'has no column "participant_id"'),
        ("participant_id\tT1w\na\tx.nii\na\ty.nii\n", '"a" occurs twice'),
        ("participant_id\tT1w\na-1\tx.nii\na1\ty.nii\n", '"a-1" and "a1" would both be the subject sub-a1'),
    ],
)
def test_a_wrong_table_is_refused(table, opened, text, message):
    with pytest.raises(DataError, match=rf"subjects\.tsv: .*{message}"):
        opened(write(table, text))
