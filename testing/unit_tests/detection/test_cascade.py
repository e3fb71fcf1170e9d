"""Boxes for the cases of a command: read, detected, kept."""

import json
import logging

import nibabel as nib
import numpy as np
import pytest
import torch

from ivadomed.config.schema.loader import ObjectDetection
from ivadomed.detection.cascade import add_boxes, read_boxes
from ivadomed.errors import ModelError
from ivadomed.inference.detection import Detector
from ivadomed.loader.cases.case import Case

CPU = torch.device("cpu")


@pytest.fixture
def cases(tmp_path):
    """Three images; the bright object of each begins one voxel further along H."""
    made = []
    for start in range(3):
        data = np.zeros((12, 10, 6), np.float32)
        data[2 + start : 6 + start, 3:5, 1:4] = 2
        path = tmp_path / f"sub-0{start}_T1w.nii.gz"
        nib.save(nib.Nifti1Image(data, np.eye(4)), path)
        made.append(Case(f"sub-0{start}_T1w", (path,), contrasts=("T1w",)))
    return made


@pytest.fixture
def opened(monkeypatch):
    """Detection models that were loaded."""
    loaded, load = [], Detector.open
    monkeypatch.setattr(
        Detector, "open", lambda folder, device: loaded.append(folder) or load(folder, device)
    )
    return loaded


def params(model, safety_factor=(1, 1, 1)):
    return ObjectDetection(object_detection_path=str(model), safety_factor=safety_factor)


def test_without_a_detection_model_cases_stay_as_they_are(cases, tmp_path):
    assert add_boxes(cases, ObjectDetection(), tmp_path / "out", 2, CPU) == tuple(cases)


def test_boxes_are_detected_once_and_kept(cases, tmp_path, threshold_model, opened, caplog):
    model = threshold_model()
    with caplog.at_level(logging.INFO):
        found = add_boxes(cases[:2], params(model), tmp_path, 2, CPU)
    assert [case.box for case in found] == [(2, 5, 3, 4, 1, 3), (3, 6, 3, 4, 1, 3)]
    assert "Bounding boxes of 2 images found by" in caplog.text
    assert "on average 4 x 2 x 3 voxels" in caplog.text
    with caplog.at_level(logging.INFO):
        more = add_boxes(cases, params(model), tmp_path, 2, CPU)
    assert [case.box for case in more[:2]] == [case.box for case in found]
    assert more[2].box == (4, 7, 3, 4, 1, 3)
    assert "delete it to detect again" in caplog.text
    assert len(opened) == 2
    assert [case.box for case in add_boxes(cases, params("gone"), tmp_path, 2, CPU)] == [c.box for c in more]
    assert read_boxes(tmp_path / "bounding_boxes.json") == {
        str(case.images[0]): [list(case.box)] for case in more
    }


def test_a_file_made_by_hand_is_used(cases, tmp_path, opened):
    boxes = {str(case.images[0]): [0, 3, 0, 3, 0, 3] for case in cases}
    (tmp_path / "bounding_boxes.json").write_text(json.dumps(boxes))
    assert {case.box for case in add_boxes(cases, params("gone"), tmp_path, 2, CPU)} == {(0, 3, 0, 3, 0, 3)}
    assert opened == []


def test_the_safety_factor_enlarges_what_is_detected(cases, tmp_path, threshold_model):
    [case] = add_boxes(cases[:1], params(threshold_model(), (2, 1, 1)), tmp_path, 2, CPU)
    assert case.box == (1, 7, 3, 4, 1, 3)


def test_of_several_channels_the_one_looked_at_is_in_the_file(cases, tmp_path, threshold_model):
    both = Case("sub-00", (cases[0].images[0], cases[1].images[0]), contrasts=("T2w", "T1w"))
    model = threshold_model(contrasts=["T1w"])
    [found] = add_boxes([both], params(model), tmp_path, 2, CPU)
    assert found.box == (3, 6, 3, 4, 1, 3)
    assert list(read_boxes(tmp_path / "bounding_boxes.json")) == [str(cases[1].images[0])]
    assert add_boxes([both], params("gone"), tmp_path, 2, CPU)[0].box == found.box


def test_a_missing_model_names_the_key_and_writes_nothing(cases, tmp_path):
    with pytest.raises(ModelError, match=r"object_detection_path: .*nowhere: no such model folder"):
        add_boxes(cases, params(tmp_path / "nowhere"), tmp_path, 2, CPU)
    assert not (tmp_path / "bounding_boxes.json").exists()
