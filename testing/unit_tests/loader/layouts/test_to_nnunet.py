"""Cases as a raw data set of nnU-Net: values of the label maps, regions, ignored voxels, files."""

import json

import nibabel as nib
import numpy as np
import pytest
from PIL import Image as Picture

from ivadomed.errors import DataError, OutputError
from ivadomed.images.labels import LabelFile
from ivadomed.loader.cases.case import Case
from ivadomed.loader.layouts.to_nnunet import CaseSet, Combinations, write_nnunet

AFFINE = np.array([[0, 0, 2.0, 5], [-1.0, 0, 0, 6], [0, 1.5, 0, 7], [0, 0, 0, 1]])
IMAGE = np.arange(24, dtype=np.int16).reshape(2, 3, 4)


@pytest.fixture
def save(tmp_path):
    def save(name, data, affine=AFFINE):
        path = tmp_path / "source" / name
        path.parent.mkdir(exist_ok=True)
        nib.save(nib.Nifti1Image(data, affine), path)
        return path

    return save


def label(values, shape=(2, 3, 4)):
    """A label map whose first voxels have these values."""
    data = np.zeros(shape, np.uint8)
    data.flat[: len(values)] = values
    return data


def written(tmp_path, training, classes, channels=("T1w",), testing=()):
    def named(cases):
        return {f"case{number}": case for number, case in enumerate(cases)}

    write_nnunet(
        CaseSet(named(training), named(testing), [(["case0"], [])], classes, channels), tmp_path / "out", "x"
    )
    return json.loads((tmp_path / "out/dataset.json").read_text())


def values_of(path, count=6):
    return np.asanyarray(nib.load(path).dataobj).ravel()[:count].tolist()


def test_classes_apart_have_the_values_from_one_on(tmp_path, save):
    targets = save("a.nii.gz", label([7, 9, 9, 7])), save("b.nii.gz", label([0, 0, 0, 0, 1]))
    case = Case(
        "c", (save("i.nii.gz", IMAGE),), ((LabelFile(targets[0], (9,)),), None, (LabelFile(targets[1]),))
    )
    description = written(tmp_path, [case], ["nine", "absent", "own"])
    assert description["labels"] == {"background": 0, "nine": 1, "absent": 2, "own": 3}
    assert "regions_class_order" not in description
    assert description["channel_names"] == {"0": "T1w"}
    assert values_of(tmp_path / "out/labelsTr/case0.nii.gz") == [0, 1, 1, 0, 3, 0]
    image = (tmp_path / "out/imagesTr/case0_0000.nii.gz").read_bytes()
    assert image == (tmp_path / "source/i.nii.gz").read_bytes()
    assert np.array_equal(nib.load(tmp_path / "out/labelsTr/case0.nii.gz").affine, AFFINE)


def test_classes_that_overlap_are_regions_and_what_is_ignored_is_last(tmp_path, save):
    core, whole, spot = ([0, 1, 1, 0, 0], [1, 1, 1, 1, 0], [0, 0, 1, 0, 0])
    files = [save(f"{i}.nii.gz", label(values)) for i, values in enumerate((core, whole, spot))]
    ignore = LabelFile(save("ignore.nii.gz", label([0, 0, 0, 1, 0, 1])))
    case = Case("c", (save("i.nii.gz", IMAGE),), tuple((LabelFile(f),) for f in files), ignore=ignore)
    description = written(tmp_path, [case], ["core", "whole", "spot"])
    # In the order in which nnU-Net paints them; whole alone is 1, with core 2, with core and spot 3.
    assert list(description["labels"].items()) == [
        ("background", 0),
        ("whole", [1, 2, 3]),
        ("core", [2, 3]),
        ("spot", [3]),
        ("ignore", 4),
    ]
    assert description["regions_class_order"] == [1, 2, 3]
    assert values_of(tmp_path / "out/labelsTr/case0.nii.gz") == [1, 2, 3, 4, 0, 4]


def test_raters_vote(tmp_path, save):
    raters = [save(f"r{i}.nii.gz", label(v)) for i, v in enumerate(([1, 1, 0], [1, 0, 0], [0, 1, 0]))]
    case = Case("c", (save("i.nii.gz", IMAGE),), (tuple(map(LabelFile, raters)),))
    written(tmp_path, [case], ["lesion"])
    assert values_of(tmp_path / "out/labelsTr/case0.nii.gz", 3) == [1, 1, 0]


def test_channels_that_are_stored_otherwise_lie_on_the_grid_of_the_first(tmp_path, save):
    turned = AFFINE.copy()
    turned[:, 0], turned[:3, 3] = -AFFINE[:, 0], AFFINE[:3, 3] + AFFINE[:3, 0]
    images = save("i.nii.gz", IMAGE), save("plain.nii", IMAGE), save("t.nii.gz", IMAGE[::-1], turned)
    case = Case("c", images, ((LabelFile(save("l.nii.gz", label([1]))),),))
    written(tmp_path, [case], ["l"], "abc")
    for number in range(3):
        image = nib.load(tmp_path / f"out/imagesTr/case0_{number:04d}.nii.gz")
        assert np.array_equal(np.asanyarray(image.dataobj), IMAGE)
        assert np.allclose(image.affine, AFFINE)


def test_a_picture_becomes_a_file_of_one_slice(tmp_path):
    pixels = np.arange(12, dtype=np.uint8).reshape(3, 4)
    Picture.fromarray(pixels).save(tmp_path / "p.png")
    Picture.fromarray((pixels > 5).astype(np.uint8) * 255).save(tmp_path / "l.png")
    metadata = {"PixelSize": [0.2, 0.1], "PixelSizeUnits": "mm"}
    case = Case("c", (tmp_path / "p.png",), ((LabelFile(tmp_path / "l.png"),),), metadata=metadata)
    written(tmp_path, [], ["axon"], testing=[case])
    image = nib.load(tmp_path / "out/imagesTs/case0_0000.nii.gz")
    assert image.get_data_dtype() == np.uint8
    assert np.array_equal(np.asanyarray(image.dataobj), pixels[..., None])
    assert image.header.get_zooms() == pytest.approx((0.1, 0.2, 1.0))
    labels = np.asanyarray(nib.load(tmp_path / "out/labelsTs/case0.nii.gz").dataobj)
    assert np.array_equal(labels[..., 0], pixels > 5)


def test_what_is_there_stays_and_a_fault_leaves_nothing(tmp_path, save):
    image, elsewhere = save("i.nii.gz", IMAGE), save("l.nii.gz", label([1]), np.eye(4))
    with pytest.raises(DataError, match="lies on another grid"):
        written(tmp_path, [Case("c", (image,), ((LabelFile(elsewhere),),))], ["l"])
    assert [path.name for path in tmp_path.iterdir()] == ["source"]
    (tmp_path / "out").mkdir()
    (tmp_path / "out/mine").touch()
    with pytest.raises(OutputError, match="out"):
        written(tmp_path, [Case("c", (image,), (None,))], ["l"])


def test_too_many_overlaps_are_refused():
    combinations = Combinations()
    combinations.counts.update({(k, k + 1): 1 for k in range(300)})
    with pytest.raises(DataError, match="overlap in 300 ways"):
        combinations.values(301)
