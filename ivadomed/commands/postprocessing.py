"""Choice of the postprocessing for a trained model on images it was not trained on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ivadomed.commands.cross_validation import HeldOut, choose_postprocessing, held_out, side_cases
from ivadomed.commands.first_look import refuse_without_data
from ivadomed.commands.folds import trained_folds
from ivadomed.commands.records import run_folder
from ivadomed.commands.steps import with_contrasts
from ivadomed.commands.worker import with_absolute_paths
from ivadomed.config import RunConfig
from ivadomed.config.run_files import CONFIG
from ivadomed.config.tree import read_json
from ivadomed.errors import ConfigError, DataError, ModelError
from ivadomed.evaluation.cross_validation import FOLDER
from ivadomed.evaluation.postprocessing_choice import PostprocessingChoice
from ivadomed.images.files import write_json
from ivadomed.jobs.choose import choose_workers
from ivadomed.loader.build import index_data, saved_split
from ivadomed.runtime.terminal import say


@dataclass(frozen=True, eq=False)
class Chosen:
    """Postprocessing chosen for a model.

    Args:
        choice: Steps and evidence.
        written: Files updated with the steps.
    """

    choice: PostprocessingChoice
    written: tuple[Path, ...] = ()


def postprocessing_command(
    config: RunConfig, write: bool = False, jobs: int | None = None, debug: bool = False
) -> Chosen:
    """Choose the postprocessing of a trained run, and write all trials.

    A cross-validation is evaluated on all subjects, each predicted by the model not trained on it; any other run on
    its validation set.

    Args:
        config: Configuration of the run.
        write: Write the chosen steps to the packaged model, where `--segment` and others read them; for a run of one
            model also to its ``config_file.json``, where `--test` reads them.
        jobs: Processes that predict, each one fold at a time; None: one per GPU, one on a CPU.
        debug: Log details.

    Raises:
        ConfigError: The model does not predict masks.
        DataError: There are no images to evaluate.
        ModelError: There is no trained model.
    """
    if config.task != "segmentation":
        raise ConfigError(
            f"{config.architecture_name}: its predictions are not masks; postprocessing is chosen for segmentations"
        )
    refuse_without_data(config)
    of_folds = config.split_dataset.is_cross_validation
    if not (config.model_folder / f"{config.model_folder.name}.json").is_file():
        raise ModelError(f"{config.model_folder}: no packaged model here; run --train first")
    config = with_absolute_paths(config) if of_folds else config
    with run_folder(config, debug) as folder:
        config = with_contrasts(config, folder)
        parts = _parts_of_folds(config, folder) if of_folds else [_validation_set(config, folder)]
        workers = choose_workers(jobs, None, config.gpu_ids)
        choice = choose_postprocessing(parts, workers, folder / FOLDER if of_folds else folder)
        written = _write(config, folder, choice.steps, of_folds) if write else ()
        return Chosen(choice, written)


def _parts_of_folds(config: RunConfig, folder: Path) -> list[HeldOut]:
    return held_out(config, folder, trained_folds(config, folder), index_data(config, folder))


def _validation_set(config: RunConfig, folder: Path) -> HeldOut:
    bids_df = index_data(config, folder)
    names = saved_split(config, bids_df, folder)["valid"]
    cases = side_cases(config, bids_df, names, "validation", folder).cases
    if not cases:
        raise DataError(f"{folder}: no image of the validation set is in the data set; give its --path-data")
    return HeldOut(config, cases)


def _write(config: RunConfig, folder: Path, steps: dict[str, Any], of_folds: bool) -> tuple[Path, ...]:
    """Write steps to the files where they are read."""
    packaged = config.model_folder / f"{config.model_folder.name}.json"
    files = [packaged] if of_folds else [packaged, folder / CONFIG]
    for file in files:
        write_json(file, read_json(file, strict=False) | {"postprocessing": steps})
        say("Written", f"postprocessing of {file}")
    return tuple(files)
