"""JSON files that are no configuration are called by their name, in one line."""

import json

import pytest

from ivadomed.config import CONFIG_DIR, json_schema, load_config
from ivadomed.config.foreign import meaning
from ivadomed.errors import ConfigError

OTHERS = {
    "contrast table": ({"T1w": 0, "T2w": 1, "T2star": 2}, "a table of contrasts"),
    "nnU-Net": ({"channel_names": {"0": "T1"}, "labels": {"a": 1}, "file_ending": ".nii"}, "dataset.json of"),
    "Decathlon": (
        {"name": "x", "modality": {"0": "CT"}, "labels": {"1": "a"}, "training": []},
        "dataset.json of",
    ),
    "data set": ({"Name": "x", "BIDSVersion": "1.8.0", "Authors": ["a"]}, "dataset_description.json"),
    "layout": ({"name": "bids", "entities": [{"name": "subject", "pattern": "x"}]}, "bids_config"),
    "sidecar": ({"EchoTime": 0.1, "FlipAngle": 9, "Manufacturer": "Siemens"}, "sidecar of an image"),
    "micrograph": ({"PixelSize": [0.1, 0.1], "PixelSizeUnits": "um"}, "sidecar of an image"),
    "label": ({"Author": "a rater", "Label": "lesion"}, "sidecar of a label"),
    "participants": (
        {"sex": {"Description": "x", "Levels": {"F": "f"}}, "age": {"Units": "y"}},
        "participants",
    ),
    "split": ({"train": ["a"], "valid": [], "test": ["b"]}, "fname_split"),
    "manifest": ({"ivadomed": "3", "libraries": {}, "config": {"command": "train"}}, "config_file.json"),
    "boxes": ({"sub-01_T1w": [0, 5, 0, 5, 0, 5]}, "bounding boxes"),
    "metrics": ({"dice_score": 0.8, "recall_score": 0.7}, "metrics"),
    "metrics by class": ({"class0": {"dice": 0.8}, "class1": {"dice": 0.7}}, "metrics"),
    "notebook": ({"cells": [], "nbformat": 4, "metadata": {}}, "notebook"),
    "schema": (json_schema(), "JSON Schema"),
    "anything": ({"a": 1, "b": "x", "c": None, "d": []}, "none of its keys"),
    "two of another program": ({"imports": ["$os"], "network_def": {"_target_": "UNet"}}, "none of its keys"),
    "with a key of a section": (
        {"name": "x", "version": "1", "dependencies": {}},
        "but 'version', 'dependencies'",
    ),
    "hyperparameters": (
        {"training_parameters": {"batch_size": [2, 4]}, "default_model": {"depth": [2, 3]}},
        "ivadomed_automate_training",
    ),
}


@pytest.mark.parametrize(("content", "words"), OTHERS.values(), ids=OTHERS)
def test_is_called_by_its_name(content, words, tmp_path):
    path = tmp_path / "some.json"
    path.write_text(json.dumps(content))
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert words in message
    assert "\n" not in message


@pytest.mark.parametrize("name", ["contrast_dct.json", "config_bids.json"])
def test_files_that_lie_beside_the_examples(name):
    with pytest.raises(ConfigError, match="is not a configuration but"):
        load_config(CONFIG_DIR / name)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"batch_size": 3, "depth": 4}, "did you mean 'training_parameters.batch_size'"),
        ({"loss": {"name": "DiceLoss"}}, "did you mean 'training_parameters.loss'"),
        ({"comand": "train"}, "did you mean 'command'"),
        ({"contrasts": {}, "slice_axis": "axial"}, "did you mean 'loader_parameters.contrast_params'"),
        ({"notes": "ours"}, "notes: unknown key; expected one of command"),
        ({"training_parameters": {"batch_size": [2]}, "command": "train"}, "expected an integer"),
    ],
)
def test_a_configuration_with_mistakes_is_told_its_mistakes(content, words):
    with pytest.raises(ConfigError, match="problem") as caught:
        load_config(content)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("RandomFlip", ["RandomMirror", "RandomReverse"]),
        ("RandFlipd", ["RandomMirror", "RandomReverse"]),
        ("HorizontalFlip", ["RandomMirror"]),
        ("Rotate", ["RandomAffine"]),
        ("ElasticDeformation", ["ElasticTransform"]),
        ("BrightnessTransform", ["RandomBrightness"]),
        ("ZScoreNormalization", ["NormalizeInstance"]),
    ],
)
def test_a_transform_of_another_library_is_told_by_what_it_does(name, meant):
    with pytest.raises(ConfigError) as caught:
        load_config({"transformation": {name: {}}})
    assert all(word in str(caught.value) for word in meant)
    assert "expected one of" not in str(caught.value)


@pytest.mark.parametrize("name", ["GammaTransform", "RandomGamma", "Rand", "d", "transform", ""])
def test_a_name_has_no_more_than_one_meaning(name):
    assert meaning(name) is None or "RandomGamma" in meaning(name)
