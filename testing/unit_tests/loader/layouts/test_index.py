"""Which layout a path is, and several of them together."""

import json

import pytest

from ivadomed.errors import DataError
from ivadomed.loader.bids_dataframe import BidsDataframe
from ivadomed.loader.layouts.index import identity

from .conftest import label_map, save, volume


def test_data_sets_of_all_kinds_are_one(nnunet, decathlon, table, tmp_path):
    bids = tmp_path / "bids"
    save(bids / "sub-01/anat/sub-01_T1w.nii.gz", volume(0))
    save(bids / "derivatives/labels/sub-01/anat/sub-01_T1w_dseg.nii.gz", label_map(0))
    (bids / "derivatives/labels/sub-01/anat/sub-01_T1w_dseg.tsv").write_text("index\tname\n1\tedema\n")
    for path in (decathlon / "dataset.json", table):
        path.write_text(path.read_text().replace("brain_", "glioma_").replace("\tseg\t", "\tdseg\t"))
    for path in [*decathlon.glob("*/brain_*"), *decathlon.glob("*/._brain_*")]:
        path.rename(path.with_name(path.name.replace("brain", "glioma")))
    params = {
        "path_data": [str(path) for path in (nnunet, decathlon, bids, table)],
        "target_suffix": ["_dseg:1"],
        "contrast_params": {"training_validation": ["T1w"]},
    }
    data = BidsDataframe(params, tmp_path, derivatives=True)
    subjects = [f"{name}{number}" for name in ("brain", "glioma") for number in range(3)]
    assert sorted(image.participant for image in data.images.values()) == sorted(
        [*(f"sub-{name}" for name in subjects), "sub-01", "sub-P0", "sub-P1"]
    )
    labels = {image.participant: data.labels.find(image, "_dseg") for image in data.images.values()}
    values = {subject: data.label_values(label).get("edema") for subject, label in labels.items()}
    assert {subject for subject, value in values.items() if value == (1,)} == {
        subject for subject in labels if not subject.startswith("sub-P")
    }


@pytest.mark.parametrize(
    ("files", "found"),
    [
        (["a.nii.gz", "b/c.nii.gz"], r"is not a data set of a known kind: it has a\.nii\.gz, b/"),
        ([], "nothing in it"),
        (
            ["one/dataset.json", "two/x"],
            r"contains data sets but is not one itself \(one\); name one of them",
        ),
        (["dataset.json"], r"its dataset\.json has neither channel_names nor modality and training"),
        (["imagesTr/a_0000.nii.gz"], r"has imagesTr, but no dataset\.json"),
        (["patients.csv"], r"has patients\.csv: name the table itself"),
    ],
)
def test_a_folder_of_no_kind_is_told_from_the_four(tmp_path, opened, files, found):
    root = tmp_path / "data"
    root.mkdir()
    for name in files:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("{}")
    with pytest.raises(DataError, match=found) as error:
        opened(root)
    lines = [line.split()[0] for line in str(error.value).splitlines()[1:]]
    assert lines == ["BIDS", "nnU-Net", "Decathlon", "a"]


def test_a_path_must_be_there_once_and_be_a_table_if_it_is_a_file(nnunet, opened, tmp_path):
    with pytest.raises(DataError, match=r"absent: no such folder or table; loader_parameters\.path_data"):
        opened(tmp_path / "absent")
    with pytest.raises(DataError, match="named twice"):
        opened(nnunet, f"{nnunet}/../{nnunet.name}")
    with pytest.raises(
        DataError, match=r"is a file, but not a table \(its folder .*Dataset001_Brain may be meant\)"
    ):
        opened(nnunet / "dataset.json")


def test_a_list_of_files_beside_subjects_is_that_of_another_program(decathlon, opened):
    save(decathlon / "sub-01/anat/sub-01_T1w.nii.gz", volume(0))
    assert [file.name for file in opened(decathlon)] == ["sub-01_T1w.nii.gz"]


def test_identity(nnunet, decathlon, table, tmp_path):
    assert identity(nnunet) == {"layout": "nnU-Net"}
    assert identity(decathlon) == {"layout": "Decathlon", "name": "Brain"}
    assert identity(table) == {"layout": "table"}
    (tmp_path / "dataset_description.json").write_text(
        json.dumps({"Name": "B", "BIDSVersion": "1.8.0", "x": 1})
    )
    assert identity(tmp_path) == {"Name": "B", "BIDSVersion": "1.8.0"}
