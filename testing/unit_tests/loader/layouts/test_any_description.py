"""Whatever a description or a table holds, it is read or refused in words."""

import json

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from ivadomed.errors import DataError

from .conftest import label_map, save, volume

KEYS = [
    "channel_names",
    "modality",
    "labels",
    "file_ending",
    "training",
    "test",
    "validation",
    "dataset",
    "numTraining",
]
PATHS = st.sampled_from(
    ["imagesTr/a_0000.nii.gz", "labelsTr/a.nii.gz", "imagesTr", "", "/", "gone.nii.gz", "a\0b"]
)
LEAVES = st.none() | st.booleans() | st.integers(-3, 4) | st.floats() | st.text(max_size=4) | PATHS
VALUES = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["0", "1", "image", "label", "images", "x", "é"]), inner, max_size=3
        )
    ),
    max_leaves=8,
)
CELLS = st.sampled_from(
    ["a", "b", "n/a", "", "imagesTr/a_0000.nii.gz", "labelsTr/a.nii.gz", "x.nii", '"', "é\0", "7"]
)


@pytest.fixture
def root(tmp_path):
    root = tmp_path / "data"
    save(root / "imagesTr/a_0000.nii.gz", volume(0))
    save(root / "labelsTr/a.nii.gz", label_map(0))
    return root


def is_read_or_refused(opened, path):
    """Fail on any error but one that names the data set."""
    message = ""
    try:
        index = opened(path)
        for file in index:
            index.metadata(file)
            index.label_values(file)
    except DataError as error:
        message = str(error)
    assert not message or str(path) in message


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200)
@given(st.dictionaries(st.sampled_from(KEYS), VALUES))
@example(
    {"modality": {"0": "T1w"}, "training": [{"image": "imagesTr/a_0000.nii.gz", "label": ""}], "labels": {}}
)
@example({"channel_names": {"0": "T1w"}, "labels": {"a": float("inf")}})
@example({"channel_names": {"0": "T1w"}, "labels": {}, "dataset": {"a": {"images": ["\0"], "label": "x"}}})
def test_descriptions(root, opened, description):
    (root / "dataset.json").write_text(json.dumps(description))
    is_read_or_refused(opened, root)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200)
@given(st.lists(st.lists(CELLS, min_size=4, max_size=5), max_size=4), st.sampled_from([".csv", ".tsv"]))
def test_tables(root, opened, rows, ending):
    path = root / f"table{ending}"
    separator = "\t" if ending == ".tsv" else ","
    lines = [["participant_id", "session_id", "T1w", "seg"], *rows]
    path.write_text("\n".join(map(separator.join, lines)), encoding="utf-8")
    is_read_or_refused(opened, path)
