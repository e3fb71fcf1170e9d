"""Boxes from their file to cases, and to the items of the documented data sets."""

import json
from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest

from ivadomed.compat.boxes import adjust_undo_transforms
from ivadomed.compat.pairs import case_of, filename_pair_of
from ivadomed.detection.cascade import saved_boxes, with_boxes
from ivadomed.errors import ConfigError, DataError
from ivadomed.loader.mri2d_segmentation_dataset import MRI2DSegmentationDataset
from ivadomed.loader.mri3d_subvolume_segmentation_dataset import MRI3DSubVolumeSegmentationDataset
from ivadomed.transforms import prepare_transforms

BOX = (2, 9, 4, 10, 1, 3)


def test_a_case_gets_the_box_of_its_first_image_that_has_one(make_case):
    case = make_case(channels=2)
    other = make_case("sub-02_T1w")
    boxes = {str(case.images[1]): [list(BOX), [0, 1, 0, 1, 0, 1]], str(other.images[0]): [[0, 3, 0, 3, 0, 3]]}
    assert [c.box for c in with_boxes([case, other], boxes)] == [BOX, (0, 3, 0, 3, 0, 3)]
    assert case.box is None
    del boxes[str(other.images[0])]
    with pytest.raises(DataError, match=r"sub-02_T1w_0.nii.gz: has no box in bounding_boxes.json"):
        with_boxes([case, other], boxes)


def test_the_file_of_boxes(tmp_path):
    assert saved_boxes(None) is None
    assert saved_boxes({"object_detection_path": None, "path_output": tmp_path}) is None
    params = {"object_detection_path": "model", "path_output": tmp_path}
    with pytest.raises(
        ConfigError, match=r"object_detection_path: names a model, but .*bounding_boxes.json does"
    ):
        saved_boxes(params)
    (tmp_path / "bounding_boxes.json").write_text(json.dumps({"a.nii.gz": list(BOX)}))
    assert saved_boxes(params) == {"a.nii.gz": [list(BOX)]}


def test_the_box_goes_with_the_file_names(make_case):
    case = replace(make_case(), box=BOX)
    pair = filename_pair_of(case)
    assert pair[3][0]["bounding_box"] == list(BOX)
    assert case_of(pair).box == BOX
    assert case_of(filename_pair_of(make_case())).box is None


@pytest.mark.parametrize("is_2d", [True, False])
def test_documented_data_sets_crop_and_their_items_can_be_undone(make_case, is_2d):
    case = replace(make_case(zooms=(1.0, 1.0, 2.0)), box=BOX)
    pairs = [filename_pair_of(case)]
    transforms, undo = prepare_transforms({"Resample": {"hspace": 1, "wspace": 1, "dspace": 2}})
    if is_2d:
        samples = MRI2DSegmentationDataset(pairs, transform=transforms, soft_gt=True)
        assert [window.start[2] for window in samples.indexes] == [1, 2, 3]
        item = samples[1]
        assert item["input"].shape == (1, 8, 7)
    else:
        samples = MRI3DSubVolumeSegmentationDataset(
            pairs, transform=transforms, length=(8, 7, 3), slice_axis=2, soft_gt=True
        )
        [item] = samples
    undo = adjust_undo_transforms(undo, {"input_metadata": [item["input_metadata"]]})
    [restored], _ = undo(item["gt"], item["gt_metadata"])
    label = nib.load(case.targets[0][0].path).get_fdata()
    expected = np.zeros_like(label)
    inside = tuple(slice(a, b + 1) for a, b in zip(BOX[::2], BOX[1::2], strict=True))
    expected[inside] = label[inside]
    np.testing.assert_allclose(restored, expected[..., 2] if is_2d else expected)
