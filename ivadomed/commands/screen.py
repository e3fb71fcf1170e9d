"""Screen lines about the input of a run: data, samples, network."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd
import torch

from ivadomed.config import RunConfig
from ivadomed.config.schema.run import Architecture
from ivadomed.errors import some
from ivadomed.evaluation.dataset import worst_first
from ivadomed.evaluation.pictures import OVERLAY_FOLDER
from ivadomed.evaluation.summary import in_words, split_column
from ivadomed.images.label_suffix import class_labels
from ivadomed.loader.bids.faults import summary
from ivadomed.loader.bids.files import Dropped
from ivadomed.loader.bids_dataframe import BidsDataframe
from ivadomed.loader.cases.case import Case
from ivadomed.loader.samples import SampleDataset
from ivadomed.models.registry import footprint
from ivadomed.models.specs import OWN
from ivadomed.report.page import REPORT_FILE
from ivadomed.runtime.terminal import say, shell_word

_GB = 1e9


def show_data(config: RunConfig, bids_df: BidsDataframe) -> None:
    """Show images, subjects and contrasts of the data set."""
    images = bids_df.images.values()
    subjects = len({(image.root, image.folders[0]) for image in images})
    contrasts = Counter(bids_df.df["suffix"].dropna())
    counts = ", ".join(f"{number} {name}" for name, number in sorted(contrasts.items()))
    folders = ", ".join(config.loader_parameters.path_data)
    say("Data", f"{_number(subjects, 'subject')}, {_number(len(images), 'image')} ({counts}) in {folders}")


def show_left_out(dropped: Sequence[Dropped], log_file: Path) -> None:
    """Show one line about images that are left out although the configuration does not exclude them."""
    surprising = [item for item in dropped if not item.chosen]
    if surprising:
        say("Left out", f"{len(surprising)}: {summary(surprising)}. {log_file} lists all")


def show_split(config: RunConfig, sides: Mapping[str, Sequence[Case]]) -> None:
    """Show cases and subjects of each set."""
    parts = []
    for name, cases in sides.items():
        subjects = len({case.subject for case in cases})
        parts.append(f"{name} {len(cases)} ({_number(subjects, 'subject')})")
    say("Split", f"{', '.join(parts)}, by {config.split_dataset.split_method}")


def show_cases(cases: Sequence[Case], title: str, path: Path) -> None:
    """Show the cases to predict or evaluate; under ``title`` the model, or the folder of the predictions."""
    contrasts = Counter(contrast for case in cases for contrast in case.contrasts)
    counts = ", ".join(f"{number} {name}" for name, number in sorted(contrasts.items()))
    subjects = len({case.subject for case in cases})
    say("Images", f"{_number(len(cases), 'image')} of {_number(subjects, 'subject')} ({counts})")
    say(title, str(path))


def show_next(folder: Path, model_folder: Path, class_names: Sequence[str], table: pd.DataFrame) -> None:
    """Show the steps after a test: read the report, view the worst case, segment new images.

    Args:
        folder: Folder of the evaluation.
        model_folder: The packaged model.
        class_names: Name of each class.
        table: See ``evaluate_predictions``.
    """
    steps = []
    if (report := folder / REPORT_FILE).is_file():
        steps.append(f"open {report}")
    if len(table):
        image = worst_first(table)[0]
        picture = folder / OVERLAY_FOLDER / f"{image}.png"
        dice = table.loc[image, [column for column in table if split_column(str(column))[0] == "dice"]]
        values = ", ".join(f"{in_words(str(name), class_names)} {value:.2g}" for name, value in dice.items())
        steps.append(
            f"look at the worst case, {image} ({values}){f': {picture}' if picture.is_file() else ''}"
        )
    if model_folder.is_dir():
        steps.append(
            f"segment new images: ivadomed --segment --model {shell_word(model_folder)} --path-data IMAGES "
            "--path-output OUT"
        )
    for number, step in enumerate(steps):
        say("" if number else "Next", step)


def show_samples(config: RunConfig, training: SampleDataset, validation: SampleDataset) -> None:
    """Show the samples of a training."""
    kind = "patches" if config.length else "slices" if config.is_2d else "volumes"
    voxels = "x".join(map(str, training.sample_size))
    say(
        "Samples",
        f"{len(training)} {kind} of {voxels} to train, {len(validation)} to validate; "
        f"{config.training_parameters.batch_size} a batch",
    )


def show_network(config: RunConfig, model: Architecture, size: tuple[int, ...]) -> None:
    """Show the architecture, its size, and the approximate memory of a training step."""
    text = f"{model.name} ({len(size)}D) for {some(class_labels(config.class_names))}"
    if config.network is not OWN:  # a user's own network may need inputs available only in training
        network = footprint(model.name, model.arguments, len(size))
        memory = network.training_bytes(config.training_parameters.batch_size, size)
        gigabytes = f"about {memory / _GB:.1f}" if memory > _GB / 10 else "less than 0.1"
        text += f"; {network.parameters:,} weights, {gigabytes} GB to train"
    say("Model", text)


def show_training(config: RunConfig, devices: Sequence[torch.device], precision: str, folder: Path) -> None:
    """Show length, device, number format and log of a training."""
    length = config.training_parameters.training_time
    epochs = _number(length.num_epochs, "epoch") if length.num_epochs else "as many epochs as fit"
    if length.max_minutes:
        epochs += f" within {length.max_minutes:g} min"
    where = str(devices[0]) if len(devices) == 1 else f"{len(devices)} x {devices[0].type}"
    say(
        "Training",
        f"{epochs} on {where} in {precision}; everything is in {folder / config.log_file}",
    )


def _number(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"
