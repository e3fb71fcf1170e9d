"""Export of a configuration's data as a raw nnU-Net data set, with the split of the run."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from ivadomed.commands.steps import with_contrasts
from ivadomed.config import RunConfig
from ivadomed.errors import ConfigError
from ivadomed.images.label_suffix import class_labels
from ivadomed.loader.bids.files import Dropped
from ivadomed.loader.bids_dataframe import BidsDataframe
from ivadomed.loader.build import cases_of, index_data, list_cases, saved_split
from ivadomed.loader.cases.case import Case
from ivadomed.loader.folds import draw_folds
from ivadomed.loader.layouts.to_nnunet import CaseSet, write_nnunet
from ivadomed.loader.split.file import SPLITS, count_splits, read_split, saved_file
from ivadomed.registry.types import DatasetType

_NAME = re.compile(r"[A-Za-z0-9]+")
_NUMBERS = range(1, 1000)


@dataclass(frozen=True)
class Exported:
    """Result of an export.

    Args:
        folder: The data set.
        training: Number of training and validation cases.
        testing: Number of test cases.
        folds: Number of splits.
        left_out: Images without a case, each with the reason.
    """

    folder: Path
    training: int
    testing: int
    folds: int
    left_out: tuple[str, ...]


def export_nnunet(
    config: RunConfig, output: str | os.PathLike[str], number: int = 1, name: str | None = None
) -> Exported:
    """Write ``DatasetXXX_NAME`` with the data of a configuration.

    The split is that of the run in ``path_output``, or else drawn as ``--train`` would. Nothing is written to
    ``path_output``.

    Args:
        config: Configuration of the run.
        output: Parent folder, such as the value of the variable nnUNet_raw.
        number: XXX, from 1 to 999.
        name: NAME, letters and digits; None: from the folder of the data.

    Raises:
        ConfigError: The number or the name is invalid, or the task is not segmentation.
        DataError: See ``write_nnunet``, and the steps of ``--train`` before training.
        OutputError: The folder holds files or cannot be written.
    """
    path_data = config.loader_parameters.path_data
    if not path_data:
        raise ConfigError("loader_parameters.path_data: no data set given; add it or pass --path-data FOLDER")
    if config.task == "classification":
        raise ConfigError(
            "--config: classifies slices, but nnU-Net segments; give a configuration for segmentation"
        )
    chosen = name or re.sub(r"[^A-Za-z0-9]+", "", Path(path_data[0]).resolve().name.partition(".")[0])
    if not _NAME.fullmatch(chosen):
        raise ConfigError(f"--name: {chosen!r}; expected letters and digits")
    if number not in _NUMBERS:
        raise ConfigError(f"--number: {number}; expected 1 to 999")
    with TemporaryDirectory() as temporary:
        config = with_contrasts(config, Path(temporary))
        cases, left_out = _cases(config, Path(temporary))
    folder = Path(output).expanduser() / f"Dataset{number:03d}_{chosen}"
    write_nnunet(cases, folder, chosen)
    reasons = tuple(f"{each.file}: {each.reason}" for each in left_out)
    return Exported(folder, len(cases.training), len(cases.testing), len(cases.splits), reasons)


def _cases(config: RunConfig, temporary: Path) -> tuple[CaseSet, list[Dropped]]:
    """Cases of all sets, and the images left out."""
    bids_df = index_data(config, temporary)
    splits = _splits(config, bids_df, temporary)
    dropped = {item.file: item for item in bids_df.dropped if not item.chosen}

    def found(names: Sequence[str], side: DatasetType) -> list[Case]:
        listed = list_cases if side == "testing" else cases_of  # a test set may be empty
        found = listed(config, bids_df, names, side)
        dropped.update({item.file: item for item in found.dropped})
        whole = [case for case in found.cases if all(case.present)]
        lacks = "lacks a channel, and nnU-Net needs all"
        dropped.update({case.id: Dropped(case.id, lacks) for case in found.cases if not all(case.present)})
        return whole

    sides = [(found(split["train"], "training"), found(split["valid"], "validation")) for split in splits]
    testing = found(splits[0]["test"], "testing")
    training = {case.id: case for side in sides for cases in side for case in cases}
    names = _names(config, [*training.values(), *testing])
    exported = CaseSet(
        {names[id]: case for id, case in sorted(training.items())},
        {names[case.id]: case for case in testing},
        [([names[case.id] for case in train], [names[case.id] for case in valid]) for train, valid in sides],
        class_labels(config.class_names),
        _channels(config),
    )
    return exported, list(dropped.values())


def _splits(config: RunConfig, bids_df: BidsDataframe, temporary: Path) -> list[dict[str, list[str]]]:
    """Split of the run; for a cross-validation, the splits of all folds."""
    folder = Path(config.path_output)
    if not config.split_dataset.is_cross_validation:
        known = folder if saved_file(folder) else temporary
        return [saved_split(config, bids_df, known)]
    if (path := folder / SPLITS).is_file():
        return [read_split(path, fold) for fold in range(count_splits(path))]
    return draw_folds(config, bids_df)


def _channels(config: RunConfig) -> Sequence[str]:
    contrasts = config.contrasts_for("training")
    return contrasts if config.loader_parameters.multichannel else ["".join(contrasts)]


def _names(config: RunConfig, cases: Iterable[Case]) -> dict[str, str]:
    """Name of each case in the new data set, by its id: without the contrast if names remain unique."""
    short = {case.id: case.id.removesuffix(f"_{case.contrasts[0]}") for case in cases}
    return short if len(set(short.values())) == len(short) else {id: id for id in short}
