"""Classes that label files offer."""

import imageio.v3 as iio
import nibabel as nib
import numpy as np
import pytest

from ivadomed.errors import ConfigError
from ivadomed.images.labels import LabelFile
from ivadomed.loader.bids.files import BidsFile
from ivadomed.suggest.classes import offer_classes

TABLE = {"background": (0,), "anterior": (1,), "posterior": (2,), "both": (1, 2), "Ignore": (255,)}


@pytest.fixture
def label(tmp_path):
    def write(values, suffix="_dseg", subject="sub-01"):
        data = np.array(values).reshape(1, 1, -1)
        path = tmp_path / f"{subject}_T1w{suffix}.nii.gz"
        nib.save(
            nib.Nifti1Image(data.astype(np.float32 if data.dtype.kind == "f" else np.int16), np.eye(4)), path
        )
        return BidsFile(path, tmp_path, path.name, (subject, ""), {}, "", ".nii.gz", "", True)

    return write


def offer(labels, table=None, wanted=()):
    return offer_classes(labels, lambda file: table or {}, wanted)


def test_a_map_offers_its_values_over_all_images(label):
    labels = [{"_dseg": label([0, 1, 1])}, {"_dseg": label([0, 3, 0], subject="sub-02")}]
    assert [*offer(labels).classes] == ["_dseg:1", "_dseg:3"]


def test_names_of_a_table_stand_for_what_occurs(label):
    file = label([0, 1, 2, 7, 255])
    found = offer([{"_dseg": file}], TABLE)
    assert [*found.classes] == ["_dseg:anterior", "_dseg:posterior", "_dseg:both", "_dseg:7"]
    assert found.ignore == "_dseg:Ignore"
    assert found.files({"_dseg": file}, lambda file: TABLE)["_dseg:both"] == LabelFile(file.path, (1, 2))
    assert [*offer([{"_dseg": label([0, 2, 7])}], TABLE).classes] == [
        "_dseg:posterior",
        "_dseg:both",
        "_dseg:7",
    ]


def test_names_that_differ_between_images_are_values(label):
    first, second = label([0, 1, 2]), label([0, 1, 2], subject="sub-02")
    tables = {first.path: {"a": (1,), "b": (2,)}, second.path: {"a": (1,), "b": (3,)}}
    labels = [{"_dseg": first}, {"_dseg": second}]
    assert [*offer_classes(labels, lambda file: tables[file.path]).classes] == ["_dseg:a", "_dseg:2"]


@pytest.mark.parametrize("values", [[0, 1], [0, 5], [0.0, 0.5, 1.0], [0, 0], [*range(400)]])
def test_other_files_are_one_class(label, values):
    assert [*offer([{"_dseg": label(values)}]).classes] == ["_dseg"]


def test_what_is_asked_for_of_a_map(label):
    labels = [{"_dseg": label([0, 1, 2]), "_seg": label([0, 1], "_seg")}]
    assert offer(labels, wanted=["_dseg"]).wanted == ("_dseg:1", "_dseg:2")
    assert offer(labels, TABLE, ["_dseg"]).wanted == ("_dseg:anterior", "_dseg:posterior", "_dseg:both")
    found = offer(labels, wanted=["_dseg:1+2", "_seg"])
    assert found.wanted == ("_dseg:1+2", "_seg")
    assert found.classes["_dseg:1+2"].values({}, "") == (1, 2)
    with pytest.raises(ConfigError, match="--target-suffix: '_dseg:'"):
        offer(labels, wanted=["_dseg:"])


def test_grey_values_of_a_picture(tmp_path):
    path = tmp_path / "sub-01_SEM_seg.png"
    iio.imwrite(path, np.array([[0, 127], [255, 0]], np.uint8))
    file = BidsFile(path, tmp_path, path.name, ("sub-01", ""), {}, "", ".png", "", True)
    assert [*offer([{"_seg": file}]).classes] == ["_seg:127", "_seg:255"]
