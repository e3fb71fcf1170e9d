"""Which labels can be trained on."""

import nibabel as nib
import numpy as np
import pytest

from ivadomed.errors import DataError
from ivadomed.geometry.grid import Grid
from ivadomed.images.labels import LabelFile
from ivadomed.suggest.labels import choose_targets, table_of_labels

SHAPE = (12, 10, 8)
GRID = Grid(SHAPE, np.eye(4))


def box(*bounds, value=1.0):
    data = np.zeros(SHAPE, np.float32)
    data[tuple(slice(low, high) for low, high in bounds)] = value
    return data


LEFT = box((0, 6), (2, 8), (2, 6))
RIGHT = box((6, 12), (2, 8), (2, 6))
SOFT = LEFT * np.linspace(0.2, 1, 12 * 10 * 8, dtype=np.float32).reshape(SHAPE)


@pytest.fixture
def choose(tmp_path):
    """Choose among labels by suffix; an array, or an array and the number of images that have it."""

    def choose(labels, wanted=()):
        files, counts = {}, {}
        for suffix, given in labels.items():
            data, counts[suffix] = given if isinstance(given, tuple) else (given, 5)
            files[suffix] = tmp_path / f"sub-01_T1w{suffix}.nii.gz"
            nib.save(nib.Nifti1Image(data, np.eye(4)), files[suffix])
            files[suffix] = LabelFile(files[suffix])
        return choose_targets([files], counts, [GRID], wanted)

    return choose


def test_classes_apart_and_what_is_seen_of_them(choose):
    targets = choose({"_left": LEFT, "_right": RIGHT})
    assert targets.suffixes == ("_left", "_right")
    assert targets.apart
    assert targets.left_out == {}
    left = targets.kinds[0]
    assert (left.single, left.soft, left.largest) == (True, False, 6 * 6 * 4)
    assert left.slices == [(6 / 12, 6 / 10, 4 / 8)]


def test_nested_classes_overlap(choose):
    assert not choose({"_cord": LEFT, "_grey": box((2, 4), (4, 6), (2, 6))}).apart


def test_the_union_of_others_is_no_class_of_its_own(choose):
    targets = choose({"_all": LEFT + RIGHT, "_left": LEFT, "_right": RIGHT})
    assert targets.suffixes == ("_left", "_right")
    assert targets.left_out == {"_all": "is the union of _left and _right"}


@pytest.mark.parametrize(
    ("label", "reason"),
    [
        (
            LEFT + 2 * RIGHT,
            "has the values 0 (672 voxels), 1 (144 voxels), 2 (144 voxels); expected 0 and one other value. Name each "
            'class in loader_parameters.target_suffix: ["_other:1", "_other:2"] ("_other:1+2" joins two)',
        ),
        (LEFT + 0.5 * RIGHT, "is soft, others are binary"),
        (LEFT * np.nan, "has NaN or infinite voxels; fix the file or leave the subject out"),
        (
            RIGHT - 1,
            "has the values -1 (816 voxels), 0 (144 voxels); expected 0 and one other value. Save -1 as 1",
        ),
        (SOFT, "is soft, others are binary"),
        ((RIGHT, 1), "exists for 1 images, others for 5; --target-suffix _other trains on these"),
        (box((0, 1), (0, 1), (0, 1)), "marks only single-voxel points"),
        (0 * LEFT, "is empty in all images that were read"),
    ],
)
def test_labels_that_are_left_out(choose, label, reason):
    targets = choose({"_good": LEFT, "_other": label})
    assert targets.suffixes == ("_good",)
    assert targets.left_out == {"_other": reason}


def test_a_few_grey_voxels_do_no_harm(choose):
    label = LEFT.copy()
    label[0, 2, 2] = 0.6
    assert choose({"_seg": label}).suffixes == ("_seg",)


def test_soft_labels_alone(choose):
    [kind] = choose({"_soft": SOFT}).kinds
    assert kind.soft


def test_raters_beside_their_consensus(choose):
    targets = choose({"_seg": LEFT, "_seg-rater1": LEFT, "_seg-rater2": RIGHT})
    assert targets.suffixes == ("_seg",)
    assert targets.left_out["_seg-rater2"] == "is a single rater's label; _seg is the consensus"


def test_wanted_labels_whatever_the_others_are(choose):
    labels = {"_left": LEFT, "_rare": (RIGHT, 1), "_several": LEFT + 2 * RIGHT}
    assert choose(labels, ["_rare", "_left"]).suffixes == ("_rare", "_left")
    with pytest.raises(DataError, match=r"--target-suffix: _several has the values 0 \(672 voxels\), 1"):
        choose(labels, ["_several"])
    with pytest.raises(DataError, match="--target-suffix: no image has a label _no; there are _left, _rare"):
        choose(labels, ["_no"])


def test_no_label_that_can_be_used(choose):
    with pytest.raises(DataError, match="no label can be trained on: _several has the values 0"):
        choose({"_several": LEFT + 2 * RIGHT})


def test_a_label_on_another_grid_is_left_out(choose):
    [reason] = choose({"_good": LEFT, "_other": LEFT[:6]}).left_out.values()
    assert reason.startswith("is not on the grid of its image: ")


def test_a_label_stored_in_another_order_is_looked_at_like_its_image(tmp_path, stored_as):
    files = {suffix: tmp_path / f"sub-01_T1w{suffix}.nii.gz" for suffix in ("_left", "_right", "_all")}
    for file, data in zip(files.values(), (LEFT, RIGHT, LEFT + RIGHT), strict=True):
        nib.save(nib.Nifti1Image(data, np.eye(4)), file)
    stored_as(files["_right"])
    labels = {suffix: LabelFile(file) for suffix, file in files.items()}
    targets = choose_targets([labels], dict.fromkeys(files, 5), [GRID], ())
    assert targets.suffixes == ("_left", "_right")
    assert targets.left_out == {"_all": "is the union of _left and _right"}


def test_a_class_that_some_images_lack_stays(choose):
    assert choose({"_good": LEFT, "_other": (RIGHT, 2)}).suffixes == ("_good", "_other")


@pytest.mark.parametrize(
    "name", ["_lesion-manual", "_tumor", "_WMH", "_seg-les", "_dseg:necrosis", "_label-plaque_mask"]
)
def test_structures_come_before_lesions(choose, name):
    targets = choose({"_seg": LEFT, name: box((1, 3), (4, 6), (2, 6))})
    assert targets.suffixes == ("_seg",)
    assert targets.left_out[name].startswith("marks lesions; structures come first")
    [alone] = choose({name: LEFT}).kinds
    assert alone.lesions


@pytest.mark.parametrize("name", ["_seg-manual", "_lesser-omentum", "_angles", "_dseg:1"])
def test_names_that_are_no_lesions(choose, name):
    [kind] = choose({name: LEFT}).kinds
    assert not kind.lesions


def test_what_is_scattered_within_a_structure_and_sometimes_absent_is_like_lesions(tmp_path):
    # Two pieces in one image, none in the other, both within the structure.
    spots = box((1, 2), (3, 7), (2, 6)) + box((4, 5), (3, 7), (2, 6))
    files = []
    for number, data in enumerate((spots, 0 * spots)):
        files.append({})
        for suffix, voxels in (("_seg", LEFT), ("_x", data)):
            path = tmp_path / f"sub-{number}_T1w{suffix}.nii.gz"
            nib.save(nib.Nifti1Image(voxels, np.eye(4)), path)
            files[-1][suffix] = LabelFile(path)
    targets = choose_targets(files, {"_seg": 2, "_x": 2}, [GRID, GRID])
    assert targets.suffixes == ("_seg",)
    assert not targets.seen[1].single  # it may be absent


def test_two_versions_of_one_structure_are_for_the_user_to_choose(choose):
    almost = LEFT.copy()
    almost[0, 2, 2] = 0
    with pytest.raises(DataError) as caught:
        choose({"_seg-auto": LEFT, "_seg-manual": almost, "_other": RIGHT})
    first, *table = str(caught.value).splitlines()
    assert first.startswith("_seg-auto and _seg-manual mark the same structure (Dice 1.00 in 1 images)")
    assert [line.split()[:3] for line in table] == [
        ["label", "images", "kind"],
        ["_seg-auto", "5", "structure"],
        ["_seg-manual", "5", "structure"],
        ["_other", "5", "structure"],
    ]
    assert "15 %" in table[1]  # 6 x 6 x 4 of 12 x 10 x 8 voxels
    assert choose({"_seg-auto": LEFT, "_seg-manual": almost}, ["_seg-manual"]).suffixes == ("_seg-manual",)


def test_predictions_are_no_labels(choose):
    targets = choose({"_seg": LEFT, "_class-0_pred": RIGHT})
    assert targets.suffixes == ("_seg",)
    assert targets.left_out == {"_class-0_pred": "is a prediction"}


def test_classes_of_a_map_that_are_left_out_alike_are_one_row(choose):
    targets = choose(
        {"_dseg:1": LEFT, "_discs:3": box((0, 1), (0, 1), (0, 1)), "_discs:4": box((1, 2), (0, 1), (0, 1))}
    )
    use = {"_dseg:1": "class 1", "_discs:3": "left out: a point", "_discs:4": "left out: a point"}
    rows = [line.split(maxsplit=2)[0] for line in table_of_labels(targets.seen, use)]
    assert rows == ["label", "_dseg:1", "_discs"]
    assert "_discs (2 classes)" in table_of_labels(targets.seen, use)[2]


def test_a_map_that_repeats_files_is_left_out(tmp_path):
    path = tmp_path / "sub-1_T1w_dseg.nii.gz"
    nib.save(nib.Nifti1Image((LEFT + 2 * RIGHT).astype(np.uint8), np.eye(4)), path)
    labels = {"_dseg:1": LabelFile(path, (1,)), "_dseg:2": LabelFile(path, (2,))}
    assert choose_targets([labels], dict.fromkeys(labels, 5), [GRID]).suffixes == ("_dseg:1", "_dseg:2")
    for suffix, data in (("_left", LEFT), ("_right", RIGHT)):
        file = tmp_path / f"sub-1_T1w{suffix}.nii.gz"
        nib.save(nib.Nifti1Image(data, np.eye(4)), file)
        labels[suffix] = LabelFile(file)
    targets = choose_targets([labels], dict.fromkeys(labels, 5), [GRID])
    assert targets.suffixes == ("_left", "_right")
    assert targets.left_out["_dseg:2"] == "repeats _left and _right"
