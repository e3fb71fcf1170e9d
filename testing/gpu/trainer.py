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
from ivadomed.training.memory_format import resolve_channels_last
from ivadomed.training.number_format import resolve_precision


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
    precision = resolve_precision(
        params.precision, setting.device, config.architecture, size, params.batch_size
    )
    last = resolve_channels_last(params.channels_last, setting.device, len(size), precision)
    return Trainer(
        config.architecture,
        training,
        validation,
        params.model_copy(update={"precision": precision, "channels_last": last}),
        folder,
        setting.device,
        get_metric_fns(config.task),
    )
