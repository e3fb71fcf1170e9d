"""A configuration as 2.x knew it, and a run of it on the tiny study."""

import json
from pathlib import Path

import pytest

from ivadomed.config_manager import ConfigurationManager


@pytest.fixture
def context(study, tmp_path):
    """What ``ConfigurationManager.get_config`` gave for a small configuration; free to be changed."""
    file = tmp_path / "config.json"
    content = {
        "command": "train",
        "gpu_ids": [0],
        "path_output": str(tmp_path / "run"),
        "model_name": "seg",
        "loader_parameters": {
            "path_data": [str(study)],
            "target_suffix": ["_seg-manual"],
            "extensions": [".nii.gz"],
            "contrast_params": {"training_validation": ["T1w", "T2w"], "testing": ["T2w"]},
            "slice_axis": "axial",
        },
        "split_dataset": {"random_seed": 1, "train_fraction": 0.5, "test_fraction": 0.25},
        "training_parameters": {"batch_size": 8, "training_time": {"num_epochs": 1}, "num_workers": 0},
        "default_model": {"name": "Unet", "depth": 2, "n_filters": 2},
        "transformation": {
            "Resample": {"hspace": 1, "wspace": 1, "dspace": 1},
            "CenterCrop": {"size": [32, 32]},
        },
    }
    file.write_text(json.dumps(content))
    return ConfigurationManager(str(file)).get_config()


@pytest.fixture
def folder(context) -> Path:
    """The folder of its run, made."""
    path = Path(context["path_output"])
    path.mkdir()
    return path
