"""Metadata of a sample."""

import copy

import pytest

from ivadomed.loader.sample_meta_data import SampleMetadata


def test_behaves_like_a_dictionary():
    metadata = SampleMetadata({"zooms": [1, 2], "empty": []})
    metadata["crop_params"] = {}
    assert metadata["zooms"] == [1, 2]
    assert "crop_params" in metadata
    assert "nothing" not in metadata
    assert metadata.get("nothing", 3) == 3
    assert dict(metadata.items()) == {"zooms": [1, 2], "empty": [], "crop_params": {}}
    assert set(metadata.keys()) == {"zooms", "empty", "crop_params"}
    with pytest.raises(KeyError):
        metadata["nothing"]
    assert not SampleMetadata().keys()


def test_copy_is_independent():
    content = {"a": 1}
    metadata = SampleMetadata(content)
    other = copy.copy(metadata)
    other["a"] = 2
    assert metadata["a"] == content["a"] == 1


def test_update_fills_what_is_missing_or_empty():
    metadata = SampleMetadata({"crop_params": {}, "zooms": [1]})
    reference = SampleMetadata(
        {"crop_params": {"CenterCrop": (1, 2)}, "zooms": [9], "rotation": [0.1, [0, 1]]}
    )
    metadata._update(reference, ["crop_params", "zooms", "rotation", "absent"])
    assert metadata.metadata == {
        "crop_params": {"CenterCrop": (1, 2)},
        "zooms": [1],
        "rotation": [0.1, [0, 1]],
    }
