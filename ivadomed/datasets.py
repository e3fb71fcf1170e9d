"""From the configuration to cases and samples: index, split, cases, cache, windows."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from ivadomed.config import RunConfig
from ivadomed.config.schema.base import DatasetType
from ivadomed.device import available_cores
from ivadomed.errors import DataError
from ivadomed.loader.bids_dataframe import BidsDataframe
from ivadomed.loader.cache import Entry, open_cases
from ivadomed.loader.case import Case
from ivadomed.loader.cases import build_cases
from ivadomed.loader.patch_filter import PatchFilter
from ivadomed.loader.prepare import list_windows
from ivadomed.loader.recipe import recipe_of, steps_of
from ivadomed.loader.samples import SampleDataset
from ivadomed.loader.split import get_subdatasets_subject_files_list
from ivadomed.loader.split_file import SIDES, read_split
from ivadomed.ranks import is_first_process
from ivadomed.windows import Window

log = logging.getLogger(__name__)


def index_data(config: RunConfig, folder: Path) -> BidsDataframe:
    """Index the data set; save its table unless it is only segmented."""
    params = config.loader_parameters.model_dump(mode="json")
    labelled = config.command != "segment"
    split_method = config.split_dataset.split_method if labelled else None
    bids_df = BidsDataframe(params, str(folder), derivatives=labelled, split_method=split_method)
    if labelled and is_first_process():  # the table of a run is that of the data it was trained and tested on
        bids_df.save(folder / "bids_dataframe.csv")
    return bids_df


def draw_split(config: RunConfig, bids_df: BidsDataframe, folder: Path) -> dict[str, list[str]]:
    """File names of the sides "train", "valid" and "test", drawn anew or read from ``fname_split``."""
    selection = config.loader_parameters.subject_selection.model_dump(mode="json")
    split = config.split_dataset.model_dump(mode="json")
    sides = get_subdatasets_subject_files_list(split, bids_df.df, str(folder), selection)
    return dict(zip(SIDES, sides, strict=True))


def saved_split(config: RunConfig, bids_df: BidsDataframe, folder: Path) -> dict[str, list[str]]:
    """The split that the run in ``folder`` was trained with, else a new one.

    Images that are gone are left out; new ones stay out, for nobody knows which side they would be on.
    """
    saved = folder / "split_datasets.json"
    if config.split_dataset.fname_split or not saved.is_file():
        return draw_split(config, bids_df, folder)
    log.info("The split is that of %s.", saved)
    return {
        side: [name for name in names if name in bids_df.images] for side, names in read_split(saved).items()
    }


def cases_of(
    config: RunConfig, bids_df: BidsDataframe, names: Sequence[str], dataset_type: DatasetType
) -> tuple[Case, ...]:
    """Cases of one side of the split.

    Raises:
        DataError: There is none.
    """
    loader = config.loader_parameters
    found = build_cases(
        bids_df,
        names,
        target_suffix=loader.target_suffix,
        contrasts=config.contrasts_for(dataset_type),
        multichannel=loader.multichannel,
        roi_suffix=loader.roi_params.suffix,
        require_target=config.command != "segment",
        balance=loader.contrast_params.balance,
        seed=config.split_dataset.random_seed,
    )
    for dropped in found.dropped:
        log.info("%s is left out: %s.", dropped.file, dropped.reason)
    if not found.cases:
        raise DataError(
            f"the {dataset_type} set is empty: none of its {len(names)} images has {', '.join(config.class_names)} "
            f"and a contrast of {', '.join(config.contrasts_for(dataset_type))}; change split_dataset or the contrasts"
        )
    return found.cases


def sample_dataset(
    config: RunConfig, bids_df: BidsDataframe, names: Sequence[str], dataset_type: DatasetType, folder: Path
) -> SampleDataset:
    """Prepare the cases of one side and list their samples."""
    display_transforms(config, dataset_type)
    cases = cases_of(config, bids_df, names, dataset_type)
    recipe = recipe_of(config, dataset_type)
    loader = config.loader_parameters
    cache = Path(loader.cache_dir) if loader.cache_dir else folder / "cache"
    entries = open_cases(cases, recipe, loader.cache, cache, available_cores(), f"{dataset_type} set")
    windows = []
    for index, entry in enumerate(entries):
        try:
            windows += list_windows(index, entry.stored.image_shape, entry.stored.facts, recipe)
        except DataError as error:
            raise DataError(f"{cases[index].id}: {error}") from error
    patch_filter = PatchFilter(**loader.patch_filter_params.model_dump(), is_train=True)
    if config.length and patch_filter.active:
        windows = [w for w in windows if _keeps(patch_filter, entries[w.case], cases[w.case], w)]
    if not windows:
        raise DataError(
            f"the {dataset_type} set is empty: the filters left no sample of {len(cases)} images; change "
            "loader_parameters.slice_filter_params or loader_parameters.patch_filter_params"
        )
    what = f"patches of {config.length} voxels" if config.length else f"{loader.slice_axis} slices"
    log.info("Loaded %d %s for the %s set.", len(windows), what, dataset_type)
    return SampleDataset(
        cases,
        entries,
        windows,
        steps_of(config, dataset_type),
        is_2d=config.is_2d,
        soft_gt=loader.soft_gt,
        seed=config.training_parameters.seed,
        input_dropout=loader.is_input_dropout and dataset_type == "training",
    )


def _keeps(patch_filter: PatchFilter, entry: Entry, case: Case, window: Window) -> bool:
    image, target = entry.read(window)
    return patch_filter(
        {"input": image, "gt": [[target[rater] for rater in raters] for raters in case.raters]}
    )


def test_cases(config: RunConfig, folder: Path) -> tuple[Case, ...]:
    """The test set of the run's split."""
    bids_df = index_data(config, folder)
    return cases_of(config, bids_df, saved_split(config, bids_df, folder)["test"], "testing")


def segment_cases(config: RunConfig, folder: Path) -> tuple[Case, ...]:
    """Every image of the data set that has a wanted contrast."""
    bids_df = index_data(config, folder)
    return cases_of(config, bids_df, sorted(bids_df.images), "testing")


def display_transforms(config: RunConfig, dataset_type: DatasetType) -> None:
    """List the transforms of one set in the log."""
    log.info("\nSelected transformations for the ['%s'] dataset:", dataset_type)
    for name, arguments in config.transforms_for(dataset_type).items():
        log.info("%s: %s", name, arguments)


def worker_count(config: RunConfig, processes: int = 1) -> int:
    """DataLoader workers: as configured, else one fewer than cores, at least one and at most eight.

    Args:
        config: Of the run.
        processes: That train on this machine and share its cores.
    """
    wanted = config.training_parameters.num_workers
    return wanted if wanted is not None else min(max(1, available_cores() // processes - 1), 8)
