"""Which slices stay."""

import numpy as np
import pytest
import torch

from ivadomed.errors import ConfigError, ModelError
from ivadomed.loader.cases.volumes import read_volume
from ivadomed.loader.slice_filter import SliceFilter
from ivadomed.loader.slices import SliceRule, SliceStatistics
from ivadomed.models import build_model, save_model

FULL = np.arange(16.0).reshape(4, 4)
FLAT = np.full((4, 4), 3.0)
MASK = np.eye(4, dtype=np.uint8)
NONE = np.zeros((4, 4), np.uint8)


@pytest.mark.parametrize(
    ("options", "images", "labels", "stays"),
    [
        ({}, [FULL], [NONE], True),
        ({}, [FULL, FLAT], [MASK], False),
        ({"filter_empty_input": False}, [FLAT], [MASK], True),
        ({"filter_empty_mask": True}, [FULL], [NONE, NONE], False),
        ({"filter_empty_mask": True}, [FULL], [NONE, MASK], True),
        ({"filter_empty_mask": True}, [FULL], None, False),
        ({"filter_empty_mask": True}, [FULL], [[NONE, MASK]], True),
        ({"filter_absent_class": True}, [FULL], [NONE, MASK], False),
        ({"filter_absent_class": True}, [FULL], [MASK, MASK], True),
    ],
)
def test_slice(options, images, labels, stays):
    assert SliceFilter(**options)({"input": images, "gt": labels}) is stays


def test_a_slice_of_a_volume_and_the_slice_alone_give_the_same_facts(make_case):
    volume = read_volume(make_case(shape=(12, 14, 7), classes=2, channels=2), 2)
    volume.image[1, ..., 3] = 2.0
    facts = SliceStatistics.of(volume)
    for z in range(7):
        alone = SliceStatistics.of_sample({"input": volume.image[..., z], "gt": volume.target[..., z]})
        assert alone.input_varies == [facts.input_varies[z]]
        assert alone.labelled == [facts.labelled[z]]


def test_slices_with_fewer_roi_voxels_than_the_threshold_are_left_out():
    facts = SliceStatistics([True] * 4, [[True]] * 4, [0, 4, 5, 6])

    def kept(threshold):
        return [SliceRule(min_roi_voxels=threshold).keeps(facts, z) for z in range(4)]

    assert kept(None) == kept(0) == [True] * 4
    assert kept(1) == [False, True, True, True]
    assert kept(5) == [False, False, True, True]


def test_classifier(tmp_path):
    arguments = {"num_classes": 2}
    model = build_model("resnet18", arguments)
    with torch.no_grad():
        model.fc.weight.zero_()
        model.fc.bias.copy_(torch.tensor([9.0, -9.0]))  # background, foreground
    save_model(tmp_path / "no.pt", model, "resnet18", arguments)
    keeps = SliceFilter(filter_classification=True, classifier_path=tmp_path / "no.pt", device="cpu")
    image = np.random.default_rng(0).random((32, 32))
    assert keeps({"input": [image, image], "gt": [NONE]}) is False
    with torch.no_grad():
        keeps.classifier.fc.bias.neg_()
    assert keeps({"input": [image, image], "gt": [NONE]}) is True
    assert keeps({"input": [FLAT], "gt": [NONE]}) is False


def test_classification_needs_a_classifier(tmp_path):
    with pytest.raises(ConfigError, match="classifier_path"):
        SliceFilter(filter_classification=True)
    with pytest.raises(ModelError):
        SliceFilter(filter_classification=True, classifier_path=tmp_path / "none.pt")
