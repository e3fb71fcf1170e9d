"""A training of the package that has not begun, to look into its steps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from setting import Setting

from ivadomed.commands.steps import labelled_cases
from ivadomed.config import load_config
from ivadomed.loader.build import draw_split, index_data, sample_dataset
from ivadomed.metrics import get_metric_fns
from ivadomed.training.loop import Trainer
from ivadomed.training.resolve import resolve_parameters


def make_trainer(setting: Setting, configuration: dict[str, Any]) -> Trainer:
    """The training that a configuration describes, on the device."""
    config = load_config(configuration)
    folder = Path(config.path_output)
    folder.mkdir()
    bids_df = index_data(config, folder)
    split = draw_split(config, bids_df, folder)
    sides = labelled_cases(config, bids_df, split, folder, setting.device)
    training, validation = (
        sample_dataset(config, side.cases, name, folder)
        for side, name in zip(sides, ("training", "validation"), strict=True)
    )
    params, size = config.training_parameters, training.sample_size
    return Trainer(
        config.architecture,
        training,
        validation,
        resolve_parameters(params, setting.device, config.architecture, size),
        folder,
        setting.device,
        get_metric_fns(config.task),
    )
