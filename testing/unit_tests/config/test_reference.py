"""The keys of the schema in words."""

import json

import pytest
from configuration_keys import Key, parts

KEYS = {key.path: key for part in parts() if part.variant is None for key in part.keys}
PARTS = {(part.path, part.variant): part for part in parts()}


@pytest.mark.parametrize(
    ("path", "kind", "bounds", "default"),
    [
        ("training_parameters.batch_size", "integer", "> 0", "18"),
        ("training_parameters.ema_decay", "number or null", "> 0 and < 1", "null"),
        ("loader_parameters.target_suffix", "list of strings or list of list of strings", "", "[]"),
        ("loader_parameters.contrast_params.balance", "object of numbers", "≥ 0 and ≤ 1", "{}"),
        ("object_detection_params.safety_factor", "list of 3 numbers", "> 0", "[1.0, 1.0, 1.0]"),
        ("loader_parameters.slice_axis", '"sagittal" or "coronal" or "axial"', "", '"axial"'),
        ("transformation.Resample.hspace", "number", "> 0", "required"),
    ],
)
def test_type_range_and_default(path, kind, bounds, default):
    key = KEYS[path]
    assert (key.type, key.range, key.default) == (kind, bounds, default)


def test_variants_are_parts_of_their_own():
    assert [key.name for key in PARTS["training_parameters.loss", "FocalLoss"].keys] == [
        "name",
        "gamma",
        "alpha",
        "eps",
    ]
    assert ("training_parameters.loss", None) not in PARTS


def test_every_key_is_described_with_an_example_that_differs_from_its_default():
    # A name that is fixed has nothing to choose; a key for wandb belongs in no file.
    fixed = {"name", "wandb_api_key"}
    for key in (key for part in parts() for key in part.keys):
        assert key.description.endswith("."), key.path
        assert key.name in fixed or json.loads(key.example) != _default(key), key.path


def _default(key: Key):
    return object() if key.default == "required" else json.loads(key.default)
