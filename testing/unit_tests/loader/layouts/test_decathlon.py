"""Tasks of the Medical Segmentation Decathlon, and lists of MONAI."""

import json
from pathlib import Path

import numpy as np
import pytest

from ivadomed.errors import DataError
from ivadomed.images.io import read_image
from ivadomed.images.volume_of import VolumeOf
from ivadomed.loader.bids.labels import Labels

from .conftest import save, volume


def change(root, **keys):
    path = root / "dataset.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | keys))


def images(index):
    return [file for file in index if not file.is_derivative]


def test_volumes_of_a_file_are_contrasts(decathlon, opened):
    index = opened(decathlon)
    assert [file.name for file in images(index)] == [
        f"sub-brain{number}_{contrast}.nii.gz"
        for number in (0, 1, 2, 9)
        for contrast in ("T1w", "T2weighted")
    ]
    second = images(index)[3]
    assert second.image == VolumeOf(decathlon / "imagesTr/brain_1.nii.gz", 1, 2)
    np.testing.assert_array_equal(read_image(second.image).data, volume(11))
    label = Labels(index).find(second, "_dseg")
    assert label.path == decathlon / "labelsTr/brain_1.nii.gz"
    assert index.label_values(label) == {"edema": (1,), "core": (2,)}
    assert [index.metadata(file) for file in images(index)[5:7]] == [{}, {"held_out": "test"}]
    assert not index.skipped


def test_a_single_channel_is_the_whole_file(decathlon, opened):
    change(decathlon, modality={"0": "MRI"})
    image = images(opened(decathlon))[0]
    assert (image.name, image.image) == ("sub-brain0_MRI.nii.gz", decathlon / "imagesTr/brain_0.nii.gz")


def test_a_file_per_channel_as_in_lists_of_monai(decathlon, opened):
    files = [f"imagesTr/b{channel}.nii.gz" for channel in range(2)]
    for channel, name in enumerate(files):
        save(decathlon / name, volume(channel))
    change(decathlon, training=[{"image": files}], validation=[{"image": "imagesTr/brain_1.nii.gz"}], test=[])
    found = {file.name: file.image for file in images(opened(decathlon))}
    assert found == {
        "sub-b0_T1w.nii.gz": decathlon / files[0],
        "sub-b0_T2weighted.nii.gz": decathlon / files[1],
        "sub-brain1_T1w.nii.gz": VolumeOf(decathlon / "imagesTr/brain_1.nii.gz", 0, 2),
        "sub-brain1_T2weighted.nii.gz": VolumeOf(decathlon / "imagesTr/brain_1.nii.gz", 1, 2),
    }


def test_files_that_are_listed_and_not_there_are_named(decathlon, opened):
    Path(decathlon / "imagesTr/brain_0.nii.gz").unlink()
    Path(decathlon / "labelsTr/brain_1.nii.gz").unlink()
    index = opened(decathlon)
    assert [item.file.rpartition("/")[2] for item in index.skipped] == ["brain_0.nii.gz", "brain_1.nii.gz"]
    assert [file.participant for file in images(index)[::2]] == ["sub-brain1", "sub-brain2", "sub-brain9"]


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"training": {"image": "x"}}, "training should be"),
        ({"training": [{"label": "x"}]}, "training should be"),
        ({"test": [3]}, "test should be"),
        ({"training": [{"image": ["a", "b", "c"]}]}, "a is one of 3 files; modality has 2 channels"),
    ],
)
def test_a_wrong_description_is_refused(decathlon, opened, keys, message):
    change(decathlon, **keys)
    with pytest.raises(DataError, match=rf"dataset\.json: .*{message}"):
        opened(decathlon)
