"""Raw data sets of nnU-Net."""

import json
import shutil

import pytest

from ivadomed.errors import DataError
from ivadomed.loader.bids.labels import Labels
from ivadomed.loader.bids_dataframe import BidsDataframe

from .conftest import label_map, save, volume


def change(root, **keys):
    path = root / "dataset.json"
    content = json.loads(path.read_text()) | keys
    path.write_text(json.dumps({key: value for key, value in content.items() if value is not None}))


def images(index):
    return [file for file in index if not file.is_derivative]


def test_channels_are_contrasts_and_labels_belong_to_each(nnunet, opened):
    index = opened(nnunet)
    assert [file.relative for file in images(index)] == [
        f"sub-brain{number}/anat/sub-brain{number}_{contrast}.nii.gz"
        for number in (0, 1, 2, 9)
        for contrast in ("T1w", "T2weighted")
    ]
    second = images(index)[1]
    assert second.path == nnunet / "imagesTr/brain_0_0001.nii.gz"
    assert second.image == second.path
    label = Labels(index).find(second, "_dseg")
    assert label.path == nnunet / "labelsTr/brain_0.nii.gz"
    assert index.label_values(label) == {"edema": (1,), "tumour": (1, 2), "ignore": (3,)}
    assert not index.skipped


def test_images_without_a_label_are_those_kept_apart(nnunet, opened):
    assert (
        list(map(opened(nnunet).metadata, images(opened(nnunet))))
        == [{}] * 6 + [{"held_out": "imagesTs"}] * 2
    )
    params = {"path_data": [str(nnunet)], "target_suffix": ["_dseg:edema"]}
    data = BidsDataframe(params, nnunet.parent, derivatives=True)
    assert len(data.images) == 6
    assert [(item.chosen, item.lacks) for item in data.dropped] == [(True, "no label _dseg")] * 2
    assert "in labelsTr" in data.dropped[0].reason
    assert data.without_sidecar == []
    assert data.remarks == []


def test_what_the_folders_hold_besides_is_left_out_with_its_reason(nnunet, opened):
    save(nnunet / "imagesTr/brain_0_0002.nii.gz", volume(0))
    save(nnunet / "imagesTr/brain.nii.gz", volume(0))
    save(nnunet / "labelsTr/brain_5.nii.gz", label_map(0))
    (nnunet / "imagesTr/._brain_0_0000.nii.gz").write_bytes(b"Mac OS X")
    (nnunet / "imagesTr/brain_7_0000.nii.gz").symlink_to("away")
    reasons = {item.file.rpartition("/")[2]: item.reason for item in opened(nnunet).skipped}
    assert "names 2 channels" in reasons.pop("brain_0_0002.nii.gz")
    assert "a channel number" in reasons.pop("brain.nii.gz")
    assert "no image brain_5_0000.nii.gz" in reasons.pop("brain_5.nii.gz")
    assert "a link without content" in reasons.pop("brain_7_0000.nii.gz")
    assert not reasons


def test_a_data_set_to_be_segmented_needs_no_names_of_labels(nnunet, opened):
    shutil.rmtree(nnunet / "labelsTr")
    change(nnunet, labels=None)
    assert len(opened(nnunet)) == 8


def test_missing_cases_and_a_split_are_remarked(nnunet, opened):
    change(nnunet, numTraining=4)
    (nnunet / "splits_final.json").write_text("[]")
    number, split = opened(nnunet).remarks
    assert number.endswith("numTraining is 4, but there are 3 training cases")
    assert "splits_final.json: split_dataset.fname_split can select it" in split


def test_version_1_is_read_too(nnunet, opened):
    change(
        nnunet,
        channel_names=None,
        file_ending=None,
        modality={"0": "T1w", "1": "T2"},
        labels={"0": "background", "1": "edema", "2": "core"},
        training=[{"image": "./imagesTr/brain_0.nii.gz", "label": "./labelsTr/brain_0.nii.gz"}],
    )
    index = opened(nnunet)
    assert {file.suffix for file in images(index)} == {"T1w", "T2"}
    assert index.label_values(index[0]) == {"edema": (1,), "core": (2,)}


def test_files_of_cases_may_be_listed(nnunet, opened):
    listed = {
        "A 1": {"images": ["imagesTr/brain_0_0000.nii.gz", "../x.nii.gz"], "label": "labelsTr/brain_0.nii.gz"}
    }
    change(nnunet, dataset=listed)
    index = opened(nnunet)
    assert [file.relative for file in index] == [
        "derivatives/labels/sub-A1/anat/sub-A1_T1w_dseg.nii.gz",
        "sub-A1/anat/sub-A1_T1w.nii.gz",
    ]
    assert [item.reason for item in index.skipped] == ["dataset.json lists it, but it does not exist"]
    change(nnunet, dataset={"A": {"images": ["one"], "label": "x"}})
    with pytest.raises(DataError, match=r"dataset\.json: dataset: expected"):
        opened(nnunet)


def test_coloured_pictures_are_one_contrast(tmp_path, opened):
    root = tmp_path / "roads"
    for name in ("imagesTr/a_0000.png", "imagesTr/b_0000.png", "labelsTr/a.png", "labelsTr/b.png"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    description = {
        "channel_names": {"0": "R", "1": "G", "2": "B"},
        "labels": {"road": 1},
        "file_ending": ".png",
    }
    (root / "dataset.json").write_text(json.dumps(description))
    index = opened(root, extensions=[".png"])
    assert [file.name for file in images(index)] == ["sub-a_RGB.png", "sub-b_RGB.png"]
    assert index[0].datatype == "micr"


def test_the_json_beside_a_tiff_tells_the_size_of_its_pixels(tmp_path, opened):
    root = tmp_path / "cells"
    for name in ("imagesTr/a_0000.tif", "labelsTr/a.tif"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    (root / "imagesTr/a.json").write_text('{"spacing": [1.0, 0.3, 0.2]}')
    (root / "dataset.json").write_text(
        json.dumps({"channel_names": {"0": "EM"}, "labels": {"cell": 1}, "file_ending": ".tif"})
    )
    [image] = images(index := opened(root, extensions=[".tif"]))
    assert index.metadata(image) == {"PixelSize": [0.2, 0.3], "PixelSizeUnits": "mm"}


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"labels": None}, "labels should be"),
        ({"labels": {"edema": "one"}}, "expected an integer"),
        ({"channel_names": {"1": "T1w"}}, "number the channels 0, 1"),
        ({"channel_names": ["T1w"]}, "channel_names should be"),
        ({"file_ending": ".mha"}, r'file_ending is "\.mha"; expected one of'),
    ],
)
def test_a_wrong_description_is_refused(nnunet, opened, keys, message):
    change(nnunet, **keys)
    with pytest.raises(DataError, match=rf"dataset\.json.*{message}"):
        opened(nnunet)
