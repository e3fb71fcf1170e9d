"""The example files: valid, free of old keys, and what they say they are."""

import json
import re

import pytest

from ivadomed.config import CONFIG_DIR, RunConfig, load_config

RUNS = sorted(path.name for path in CONFIG_DIR.glob("config*.json") if path.name != "config_bids.json")


def test_all_documented_examples_exist():
    names = ["", "_small", "_classification", "_sctTesting", "_spineGeHemis", "_tumorSeg"]
    names += ["_vertebral_labeling", "_microscopy", "_hippocampus", "_default"]
    assert sorted(f"config{name}.json" for name in names) == RUNS


@pytest.mark.parametrize("name", RUNS)
def test_example_is_valid_and_up_to_date(name, caplog):
    config = load_config(CONFIG_DIR / name)
    assert config.architecture.name
    assert not caplog.records


def test_default_file_equals_the_schema():
    assert json.loads((CONFIG_DIR / "config_default.json").read_text()) == RunConfig().to_json()


def test_tutorial_file_is_as_documented():
    config = load_config(CONFIG_DIR / "config.json")
    assert config.training_parameters.batch_size == 18
    assert list(config.postprocessing.steps) == [
        "remove_noise",
        "keep_largest",
        "binarize_prediction",
        "uncertainty",
        "fill_holes",
        "remove_small",
    ]
    assert list(config.transforms_for("validation")) == ["Resample", "CenterCrop", "NormalizeInstance"]


@pytest.mark.parametrize(
    ("name", "architecture", "out_channel"),
    [
        ("config_classification.json", "resnet18", 1),
        ("config_sctTesting.json", "Unet", 1),
        ("config_spineGeHemis.json", "HeMISUnet", 1),
        ("config_tumorSeg.json", "Modified3DUNet", 4),
        ("config_vertebral_labeling.json", "Countception", 1),
        ("config_microscopy.json", "Unet", 3),
    ],
)
def test_purpose(name, architecture, out_channel):
    config = load_config(CONFIG_DIR / name)
    assert config.architecture.name == architecture
    assert config.out_channel == out_channel


def test_contrast_ids_are_distinct():
    ids = json.loads((CONFIG_DIR / "contrast_dct.json").read_text())
    assert sorted(ids.values()) == list(range(len(ids)))
    assert {"T1w", "T2w", "T2star", "dwi"} <= set(ids)


@pytest.mark.parametrize(
    ("path", "entities"),
    [
        (
            "/data/sub-rat3/ses-02/micr/sub-rat3_ses-02_sample-data11_run-1_SEM.png",
            {
                "subject": "rat3",
                "session": "02",
                "sample": "data11",
                "run": "1",
                "suffix": "SEM",
                "extension": ".png",
            },
        ),
        (
            "/data/sub-rat2/micr/sub-rat2_sample-data5_acq-roi2_TEM.ome.tif",
            {
                "subject": "rat2",
                "sample": "data5",
                "acquisition": "roi2",
                "suffix": "TEM",
                "extension": ".ome.tif",
            },
        ),
    ],
)
def test_bids_layout_finds_the_entities_of_microscopy(path, entities):
    layout = json.loads((CONFIG_DIR / "config_bids.json").read_text())
    found = {entity["name"]: re.search(entity["pattern"], path) for entity in layout["entities"]}
    values = {name: match.group(1) for name, match in found.items() if match}
    assert values == {**entities, "datatype": "micr"}
