"""Data sets of other kinds written as BIDS."""

import json
import os

import nibabel as nib
import numpy as np
import pytest
from bids import BIDSLayout

from ivadomed.errors import ConfigError, DataError, OutputError
from ivadomed.loader.bids_dataframe import BidsDataframe
from ivadomed.loader.layouts.to_bids import to_bids

from .conftest import label_map, volume


def cases(path, label):
    """Per image its voxels, those of its label, and its row of the table."""
    params = {"path_data": [str(path)], "target_suffix": [label]}
    data = BidsDataframe(params, "", derivatives=True)
    found = {}
    for name, image in data.images.items():
        file = data.labels.find(image, label.partition(":")[0])
        voxels = [np.asanyarray(nib.load(path).dataobj) for path in (image.path, file.path)]
        if image.volume is not None:
            voxels[0] = voxels[0][..., image.volume.index]
        found[name] = (voxels, data.label_values(file))
    return found, data.df


@pytest.mark.parametrize("layout", ["nnunet", "decathlon", "table"])
def test_the_copy_is_the_same_data_set(layout, request, tmp_path):
    source, target = request.getfixturevalue(layout), tmp_path / "bids"
    label = "_seg" if layout == "table" else "_dseg:edema"
    written = to_bids(source, target)
    assert written.images == (6 if layout == "table" else 8)
    before, df = cases(source, label)
    after, copied = cases(target, label)
    assert before.keys() == after.keys()
    for name in before:
        np.testing.assert_equal(after[name], before[name])
    assert df["filename"].tolist() == copied["filename"].tolist()
    known = [column for column in df if column not in ("path", "filename")]
    assert df[known].equals(copied[known])


def test_pybids_opens_it(decathlon, tmp_path):
    to_bids(decathlon, tmp_path / "bids", rename={"T2weighted": "T2w"})
    layout = BIDSLayout(tmp_path / "bids", validate=True, derivatives=True)
    assert layout.get_subjects(scope="raw") == ["brain0", "brain1", "brain2", "brain9"]
    raw = layout.get(scope="raw", extension=".nii.gz")
    assert sorted({file.entities["suffix"] for file in raw}) == ["T1w", "T2w"]
    assert len(raw) == 8
    assert len(layout.get(scope="derivatives", suffix="dseg", extension=".nii.gz")) == 6
    assert layout.description["License"] == "CC-BY-SA 4.0"
    np.testing.assert_array_equal(raw[1].get_image().dataobj, volume(1))
    assert raw[1].get_metadata() == {"SourceFile": "imagesTr/brain_0.nii.gz", "SourceVolume": 1}


def test_tables_and_names_of_classes(nnunet, table, tmp_path):
    to_bids(nnunet, tmp_path / "a")
    labels = tmp_path / "a/derivatives/labels/sub-brain1/anat"
    assert sorted(path.name for path in labels.iterdir()) == [
        f"sub-brain1_{contrast}_dseg.{ending}"
        for contrast in ("T1w", "T2weighted")
        for ending in ("nii.gz", "tsv")
    ]
    rows = (labels / "sub-brain1_T1w_dseg.tsv").read_text().splitlines()
    assert rows == ["index\tname", "1\tedema", "1\ttumour", "2\ttumour", "3\tignore"]
    participants = (tmp_path / "a/participants.tsv").read_text().splitlines()
    assert participants[1::3] == ["sub-brain0\tn/a", "sub-brain9\timagesTs"]
    assert (tmp_path / "a/.bidsignore").read_text() == "*_T2weighted.*\n"
    to_bids(table, tmp_path / "b", contrasts=["T1w"], target_suffix=["seg"])
    assert (tmp_path / "b/sub-P1/sub-P1_sessions.tsv").read_text() == "session_id\tT2 weighted\tage\n" + (
        "ses-1\timages/1/c1.nii.gz\t31\n"
    )


@pytest.mark.parametrize("links", ["copy", "hard", "symbolic"])
def test_links(nnunet, tmp_path, links):
    to_bids(nnunet, tmp_path / "bids", links)
    image = tmp_path / "bids/sub-brain0/anat/sub-brain0_T1w.nii.gz"
    source = nnunet / "imagesTr/brain_0_0000.nii.gz"
    assert image.is_symlink() == (links == "symbolic")
    assert os.path.samefile(image, source) == (links != "copy")
    assert image.read_bytes() == source.read_bytes()


def test_scaled_volumes_keep_what_is_read_of_them(decathlon, tmp_path):
    path = decathlon / "imagesTr/brain_0.nii.gz"
    image = nib.load(path)
    stored = np.asanyarray(image.dataobj)
    scaled = nib.Nifti1Image(stored, image.affine)
    scaled.header.set_slope_inter(0.013, -7)
    nib.save(scaled, path)
    to_bids(decathlon, tmp_path / "bids")
    copied = nib.load(tmp_path / "bids/sub-brain0/anat/sub-brain0_T2weighted.nii.gz")
    np.testing.assert_array_equal(
        np.asarray(copied.dataobj, np.float32), np.asarray(nib.load(path).dataobj, np.float32)[..., 1]
    )


def test_nothing_is_left_when_something_is_wrong(nnunet, decathlon, tmp_path):
    target = tmp_path / "bids"
    for error, arguments, message in (
        (
            ConfigError,
            {"rename": {"T3": "T1w"}},
            "--rename T3=T1w: no such contrast; available: T1w, T2weighted",
        ),
        (ConfigError, {"rename": {"T1w": "T2weighted"}}, "two contrasts would be T2weighted"),
        (ConfigError, {"rename": {"T1w": "a b"}}, "expected letters and digits"),
        (DataError, {"contrasts": ["CT"]}, "has no image of CT to write; available: T1w, T2weighted"),
    ):
        with pytest.raises(error, match=message):
            to_bids(nnunet, target, **arguments)
    description = json.loads((decathlon / "dataset.json").read_text())
    description["modality"]["2"] = "FLAIR"
    (decathlon / "dataset.json").write_text(json.dumps(description))
    with pytest.raises(DataError, match=r"has 2 volumes .* declares 3 channels"):
        to_bids(decathlon, target)
    assert not target.exists()
    to_bids(nnunet, target)
    with pytest.raises(DataError, match="is a BIDS data set already"):
        to_bids(target, tmp_path / "other")
    with pytest.raises(OutputError):
        to_bids(nnunet, target)


def test_label_maps_of_the_source_are_those_of_the_copy(nnunet, tmp_path):
    to_bids(nnunet, tmp_path / "bids")
    copied = nib.load(tmp_path / "bids/derivatives/labels/sub-brain2/anat/sub-brain2_T2weighted_dseg.nii.gz")
    np.testing.assert_array_equal(np.asanyarray(copied.dataobj), label_map(2))
