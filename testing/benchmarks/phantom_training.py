"""Trainings on a phantom study that the benchmarks of the training loop share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from ivadomed.commands.steps import labelled_cases
from ivadomed.config import CONFIG_DIR, load_config
from ivadomed.loader.build import draw_split, index_data, sample_dataset
from ivadomed.metrics import get_metric_fns
from ivadomed.scripts.create_phantom import create_phantom
from ivadomed.training.loop import Trainer
from ivadomed.training.resolve import resolve_parameters

# Light networks: what is not the network weighs most beside them.
KINDS: dict[str, dict[str, Any]] = {
    "2d": {"default_model.depth": 2, "default_model.n_filters": 4, "training_parameters.batch_size": 8},
    "tutorial": {
        "default_model.depth": 3,
        "default_model.n_filters": 64,
        "training_parameters.batch_size": 8,
    },
    "3d": {
        "Modified3DUNet": {
            "applied": True,
            "length_3D": [48, 64, 48],
            "stride_3D": [24, 64, 48],
            "n_filters": 8,
        },
        "transformation": {
            "Resample": {"hspace": 1, "wspace": 1, "dspace": 1},
            "CenterCrop": {"size": [96, 64, 48]},
            "RandomAffine": {
                "degrees": 5,
                "scale": [0.1, 0.1, 0.1],
                "translate": [0.03, 0.03, 0.03],
                "applied_to": ["im", "gt"],
                "dataset_type": ["training"],
            },
            "NormalizeInstance": {"applied_to": ["im"]},
        },
        "training_parameters.batch_size": 4,
    },
}


def make_trainer(folder: Path, kind: str, subjects: int, **training_parameters: Any) -> Trainer:
    """A training with the tutorial's transforms, in 3D with affine ones.

    Args:
        folder: For data and results.
        kind: Of ``KINDS``.
        subjects: Of the phantom study.
        training_parameters: Keys of that section.
    """
    overrides = {
        "loader_parameters.path_data": [str(create_phantom(folder / "data", n=subjects, seed=0))],
        "path_output": str(folder / "run"),
        "gpu_ids": [],
        **KINDS[kind],
        **{f"training_parameters.{key}": value for key, value in training_parameters.items()},
    }
    if kind == "3d":
        # The tutorial's transforms of slices have no place here.
        overrides["transformation"] = {"ElasticTransform": None, **overrides["transformation"]}
    config = load_config(CONFIG_DIR / "config.json", overrides)
    run = Path(config.path_output)
    run.mkdir()
    bids_df = index_data(config, run)
    split = draw_split(config, bids_df, run)
    sides = labelled_cases(config, bids_df, split, run, torch.device("cpu"))
    training, device = sample_dataset(config, sides[0].cases, "training", run), torch.device("cpu")
    return Trainer(
        config.architecture,
        training,
        sample_dataset(config, sides[1].cases, "validation", run),
        resolve_parameters(config.training_parameters, device, config.architecture, training.sample_size),
        run,
        device,
        get_metric_fns(config.task),
    )
