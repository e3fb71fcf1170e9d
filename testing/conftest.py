"""Data that many tests share: a tiny phantom study, made once per session."""

import os
from pathlib import Path

import pytest

from ivadomed.scripts.create_phantom import create_phantom


@pytest.fixture(scope="session")
def study(tmp_path_factory) -> Path:
    """Six tiny subjects with three contrasts; tests must not write into it."""
    return create_phantom(tmp_path_factory.mktemp("study") / "data set é", n=6, seed=1, size="tiny")


@pytest.fixture
def real_data() -> Path:
    """Folder of the real images; the test is skipped without it."""
    if "IVADOMED_TEST_DATA" not in os.environ:
        pytest.skip("IVADOMED_TEST_DATA is not set")
    return Path(os.environ["IVADOMED_TEST_DATA"])


@pytest.fixture
def config(study, tmp_path) -> dict:
    """A configuration that trains a small U-Net on the study within seconds."""
    return {
        "command": "train",
        "gpu_ids": [],
        "path_output": str(tmp_path / "out put"),
        "model_name": "seg_sc",
        "loader_parameters": {
            "path_data": [str(study)],
            "target_suffix": ["_seg-manual"],
            "contrast_params": {
                "training_validation": ["T1w", "T2w"],
                "testing": ["T1w", "T2w"],
                "balance": {},
            },
        },
        "split_dataset": {"random_seed": 6, "train_fraction": 0.5, "test_fraction": 0.25},
        "training_parameters": {
            "batch_size": 8,
            "num_workers": 0,
            "training_time": {
                "num_epochs": 2,
                "early_stopping_patience": 50,
                "early_stopping_epsilon": 0.001,
            },
            "scheduler": {"initial_lr": 0.01, "lr_scheduler": {"name": "CosineAnnealingLR"}},
        },
        "default_model": {"name": "Unet", "depth": 2, "n_filters": 4, "dropout_rate": 0.2},
        "postprocessing": {"binarize_prediction": {"thr": 0.5}, "keep_largest": {}},
        "transformation": {
            "Resample": {"hspace": 1.5, "wspace": 1.5, "dspace": 3},
            "CenterCrop": {"size": [32, 32]},
            "RandomAffine": {
                "degrees": 5,
                "scale": [0.1, 0.1],
                "applied_to": ["im", "gt"],
                "dataset_type": ["training"],
            },
            "NormalizeInstance": {"applied_to": ["im"]},
        },
    }
