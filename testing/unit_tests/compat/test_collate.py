"""Batches of dictionaries, and the other small functions around samples."""

import numpy as np
import pytest
import torch

from ivadomed.errors import DataError
from ivadomed.loader.sample_meta_data import SampleMetadata
from ivadomed.loader.utils import (
    create_temp_directory,
    dropout_input,
    filter_roi,
    get_obj_size,
    imed_collate,
    update_metadata,
)


def test_collate_stacks_voxels_and_lists_metadata():
    items = [
        {
            "input": torch.full((2, 3, 3), float(i)),
            "gt": np.full((1, 3, 3), i, np.uint8),
            "roi": None,
            "input_metadata": [SampleMetadata({"slice_index": i})],
            "name": f"sub-{i}",
            "index": i,
            "score": i / 2,
        }
        for i in range(3)
    ]
    batch = imed_collate(items)
    assert batch["input"].shape == (3, 2, 3, 3)
    assert batch["gt"].dtype == torch.uint8
    assert batch["gt"][:, 0, 0, 0].tolist() == [0, 1, 2]
    assert batch["roi"] == [None, None, None]
    assert [records[0]["slice_index"] for records in batch["input_metadata"]] == [0, 1, 2]
    assert batch["name"] == ["sub-0", "sub-1", "sub-2"]
    assert batch["index"].tolist() == [0, 1, 2]
    assert batch["score"].tolist() == [0.0, 0.5, 1.0]


def test_collate_says_which_shapes_do_not_fit():
    with pytest.raises(DataError, match=r"\(1, 2, 2\), \(1, 2, 3\).*CenterCrop"):
        imed_collate([torch.zeros(1, 2, 2), torch.zeros(1, 2, 3)])


@pytest.mark.parametrize("n_channels", [2, 3, 5])
def test_dropout_leaves_a_channel_and_says_what_it_blanked(n_channels):
    image = torch.rand(n_channels, 4, 4)
    sample = {"input": image, "input_metadata": [SampleMetadata() for _ in range(n_channels)]}
    counts = set()
    for _ in range(200):
        out = dropout_input(sample)
        blank = [i for i, channel in enumerate(out["input"]) if not channel.any()]
        assert blank == out["input_metadata"][0]["dropped_channels"]
        kept = [i for i in range(n_channels) if i not in blank]
        assert torch.equal(out["input"][kept], image[kept])
        counts.add(len(blank))
    assert counts == set(range(n_channels))
    assert image.all()  # the argument stays as it is
    assert "dropped_channels" not in sample["input_metadata"][0]


def test_dropout_counts_channels_that_are_empty_already():
    image = torch.rand(3, 4, 4)
    image[1] = 0
    blank = {sum(not c.any() for c in dropout_input({"input": image})["input"]) for _ in range(100)}
    assert blank == {1, 2}
    only = torch.rand(3, 4, 4) * torch.tensor([1.0, 0, 0])[:, None, None]
    assert all(dropout_input({"input": only})["input"][0].any() for _ in range(20))


def test_dropout_of_a_single_channel_does_nothing_but_warn():
    sample = {"input": torch.rand(1, 4, 4)}
    with pytest.warns(UserWarning, match="several channels"):
        assert torch.equal(dropout_input(sample)["input"], sample["input"])


@pytest.mark.parametrize(
    ("voxels", "threshold", "dropped"), [(0, None, True), (1, None, False), (5, 5, True), (6, 5, False)]
)
def test_filter_roi(voxels, threshold, dropped):
    roi = np.zeros((4, 4))
    roi.flat[:voxels] = 1
    assert filter_roi(roi, threshold) is dropped


def test_update_metadata_hands_on_what_was_drawn():
    source = [SampleMetadata({"rotation": [3, [0, 1]], "zooms": (1, 1)})]
    given = [SampleMetadata({"zooms": (2, 2)}), [SampleMetadata(), SampleMetadata({"rotation": [7, [0, 1]]})]]
    out = update_metadata(source, given)
    assert out[0]["rotation"] == [3, [0, 1]]
    assert out[0]["zooms"] == (2, 2)
    assert out[1][0]["rotation"] == [3, [0, 1]]
    assert out[1][1]["rotation"] == [7, [0, 1]]
    assert "rotation" not in given[0]
    assert update_metadata([], given) is given


def test_object_size_counts_voxels_once():
    voxels = np.zeros((100, 100), np.float32)
    small = get_obj_size({"a": 1})
    assert 40_000 <= get_obj_size([voxels, voxels]) < 41_000
    assert 80_000 <= get_obj_size({"a": voxels, "b": SampleMetadata({"x": torch.zeros(10_000)})}) < 82_000
    assert small < 1000


def test_temp_directories_are_new_and_empty(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    first, second = create_temp_directory(), create_temp_directory()
    assert first != second
    assert sorted(map(str, tmp_path.iterdir())) == sorted([first, second])
