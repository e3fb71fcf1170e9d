"""From the configuration to cases and samples: index, split, cases, cache, windows."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from ivadomed.config import RunConfig
from ivadomed.errors import ConfigError, DataError, some
from ivadomed.geometry.windows import Window
from ivadomed.images.label_suffix import file_suffix
from ivadomed.jobs import Workers
from ivadomed.loader.bids.faults import labels_there, summary
from ivadomed.loader.bids.files import Dropped, Selection
from ivadomed.loader.bids_dataframe import BidsDataframe
from ivadomed.loader.cases.case import Case
from ivadomed.loader.cases.grouping import CaseList, build_cases
from ivadomed.loader.conditions import Conditioner, Curriculum, FilmEncoder, missing_metadata, unconditioned
from ivadomed.loader.prepared.cache import Entries, Entry, open_cases
from ivadomed.loader.prepared.checks import check_headers, check_sizes
from ivadomed.loader.prepared.prepare import Recipe, list_windows
from ivadomed.loader.recipe import conditioner_of, recipe_of, steps_of
from ivadomed.loader.samples import SampleDataset
from ivadomed.loader.samples.dataset import RandomPatches, per_image
from ivadomed.loader.slices import SliceRule, SliceStatistics
from ivadomed.loader.split.draw import split_files
from ivadomed.loader.split.file import SIDES, saved_file
from ivadomed.registry.types import DatasetType
from ivadomed.runtime.device import define_device
from ivadomed.runtime.memory import available_cores
from ivadomed.runtime.ranks import is_first_process
from ivadomed.runtime.working import working

log = logging.getLogger(__name__)


def index_data(config: RunConfig, folder: Path) -> BidsDataframe:
    """Index the data set; save its table unless the data set is only segmented.

    Raises:
        ConfigError: Labels are needed, but none is configured.
        DataError: See ``BidsDataframe``.
    """
    loader, labelled = config.loader_parameters, config.command != "segment"
    selection = Selection.of_section(loader)
    if labelled and not loader.target_suffix:
        there = BidsDataframe(selection, folder, derivatives=False)
        raise ConfigError(
            'loader_parameters.target_suffix: is empty; expected the suffix of each class, such as ["_seg-manual"]; '
            f"available labels: {labels_there(there.images.values(), there.labels)}"
        )
    split_method = config.split_dataset.split_method if labelled else None
    with working("Indexing the data set"):
        bids_df = BidsDataframe(selection, folder, derivatives=labelled, split_method=split_method)
    if labelled and is_first_process():  # a run's table describes its training and test data
        bids_df.save(folder / "bids_dataframe.csv")
    return bids_df


def draw_split(
    config: RunConfig, bids_df: BidsDataframe, folder: Path, saved: Path | None = None
) -> dict[str, list[str]]:
    """File names of the sides "train", "valid" and "test": newly drawn, or from ``saved`` or ``fname_split``."""
    split = config.split_dataset
    if saved is not None:
        split = split.model_copy(update={"fname_split": str(saved)})
    sides = split_files(split, bids_df.df, folder, config.loader_parameters.subject_selection)
    return dict(zip(SIDES, sides, strict=True))


def saved_split(config: RunConfig, bids_df: BidsDataframe, folder: Path) -> dict[str, list[str]]:
    """Split that the run in ``folder`` was trained with, otherwise a new one.

    Missing images are left out, and so are new ones, because their side is unknown.
    """
    saved = saved_file(folder)
    if config.split_dataset.fname_split or saved is None:
        return draw_split(config, bids_df, folder)
    log.info("Using the split of %s.", saved)
    return draw_split(config, bids_df, folder, saved)


def list_cases(
    config: RunConfig, bids_df: BidsDataframe, names: Sequence[str], dataset_type: DatasetType
) -> CaseList:
    """Cases of one side of the split, and what is excluded."""
    loader = config.loader_parameters
    found = build_cases(
        bids_df,
        names,
        target_suffix=loader.target_suffix,
        contrasts=config.contrasts_for(dataset_type),
        multichannel=loader.multichannel,
        roi_suffix=loader.roi_params.suffix,
        ignore_label=loader.ignore_label,
        require_target=config.command != "segment",
        balance=loader.contrast_params.balance,
        seed=config.split_dataset.random_seed,
        allow_missing=config.network.missing_contrasts,
    )
    if config.metadata_type is None:
        return found
    reasons = {case: missing_metadata(case, config.metadata_type) for case in found.cases}
    lacks = f"no value of {config.metadata_type} for FiLM"
    dropped = [Dropped(case.id, reason, lacks) for case, reason in reasons.items() if reason]
    kept = tuple(case for case, reason in reasons.items() if not reason)
    return CaseList(kept, (*found.dropped, *dropped))


def cases_of(
    config: RunConfig, bids_df: BidsDataframe, names: Sequence[str], dataset_type: DatasetType
) -> CaseList:
    """Cases of one side of the split; what is excluded is logged.

    Raises:
        DataError: The side is empty, or no training case has the label of ignored voxels.
    """
    found = list_cases(config, bids_df, names, dataset_type)
    for dropped in found.dropped:
        log.info("%s is left out: %s.", dropped.file, dropped.reason)
    if not names:
        raise DataError(
            f"the {dataset_type} set is empty: the split assigns no image to it; change split_dataset or add subjects"
        )
    if not found.cases:
        why = summary(found.dropped) or f"no contrast of {some(config.contrasts_for(dataset_type))}"
        before = summary(bids_df.dropped)
        raise DataError(
            f"the {dataset_type} set is empty: its images ({len(names)}) are all left out: {why}; change "
            "split_dataset, the contrasts or the labels"
            + (f"\nLeft out of the whole data set: {before}" if before else "")
        )
    ignored = config.loader_parameters.ignore_label
    if ignored and dataset_type == "training" and all(case.ignore is None for case in found.cases):
        there = labels_there(bids_df.images.values(), bids_df.labels)
        raise DataError(
            f"loader_parameters.ignore_label: no image of the training set has a label {file_suffix(ignored)!r}; "
            f"available labels: {there}. Correct it, or set it to null"
        )
    return found


def fit_conditioner(config: RunConfig, cases: Sequence[Case], folder: Path) -> Conditioner:
    """Additional inputs of the network; the FiLM encoder is fitted on the training cases and saved."""
    if config.metadata_type is not None:
        FilmEncoder.fit(cases, config.metadata_type).save(folder)
    return conditioner_of(config, folder)


def sample_dataset(
    config: RunConfig,
    cases: Sequence[Case],
    dataset_type: DatasetType,
    folder: Path,
    conditioner: Conditioner = unconditioned,
    workers: Workers | None = None,
) -> SampleDataset:
    """Prepare the cases of one side, in threads or by ``workers``, and list their samples.

    Raises:
        DataError: A case is unusable, no sample remains, or samples do not fit a batch or the network.
    """
    display_transforms(config, dataset_type)
    recipe = recipe_of(config, dataset_type, define_device(config.gpu_ids)[1])
    loader = config.loader_parameters
    cache = Path(loader.cache_dir) if loader.cache_dir else folder / "cache"
    check = partial(check_headers, recipe=recipe)
    entries = open_cases(
        cases, recipe, loader.cache, cache, available_cores(), f"{dataset_type} set", check, workers
    )
    windows = _windows(config, cases, entries, dataset_type, recipe)
    _check_samples(config, cases, entries, dataset_type)
    patches = None
    if loader.random_patch_params.applied and dataset_type == "training":
        params = loader.random_patch_params
        patches = RandomPatches.of(windows, len(cases), params.foreground)
        windows = windows if params.per_image is None else per_image(windows, params.per_image)
    probability, growth = config.missing_contrasts
    withheld = probability > 0 and dataset_type == "training"
    whole = f"{loader.slice_axis} slices" if config.is_2d else "volumes"
    what = f"patches of {config.length} voxels" if config.length else whole
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
        conditioner=conditioner,
        curriculum=Curriculum(probability, growth) if withheld else None,
        classify=config.task == "classification",
        augment_on=config.training_parameters.augment_on,
        patches=patches,
    )


def _windows(
    config: RunConfig, cases: Sequence[Case], entries: Entries, dataset_type: DatasetType, recipe: Recipe
) -> list[Window]:
    """Slices and patches of all cases that pass the filters.

    Raises:
        DataError: None remains, or a patch does not fit into a case.
    """
    windows: list[Window] = []
    for index, entry in enumerate(entries):
        try:
            windows += list_windows(index, entry.stored.image_shape, entry.stored.facts, recipe)
        except DataError as error:
            raise DataError(f"{cases[index].id}: {error}") from error
    filters = config.loader_parameters.patch_filter_params
    rule = SliceRule(filters.filter_empty_input, filters.filter_empty_mask, filters.filter_absent_class)
    if config.length and dataset_type != "testing" and rule != SliceRule(empty_input=False):
        windows = [w for w in windows if _keeps(rule, entries[w.case], cases[w.case], w)]
    if not windows:
        raise DataError(
            f"the {dataset_type} set is empty: the filters left no sample of {len(cases)} images; change "
            "slice_filter_params, patch_filter_params or roi_params.slice_filter_roi of loader_parameters"
        )
    return windows


def _check_samples(
    config: RunConfig, cases: Sequence[Case], entries: Entries, dataset_type: DatasetType
) -> None:
    """Refuse samples that do not fit a batch or the network; see ``_check_classes`` for the training set."""
    first = 2 if config.is_2d else 1  # [N, C, h, w] or [C, H, W, D]
    shapes = {case.id: entry.stored.image_shape[first:] for case, entry in zip(cases, entries, strict=True)}
    check_sizes(shapes, config.length, config.architecture, config.training_parameters.batch_size)
    if dataset_type == "training":
        _check_classes(config.class_names, cases, entries)
        ignored = config.loader_parameters.ignore_label
        if ignored and not any(entry.stored.facts.ignores for entry in entries):
            log.warning(
                "loader_parameters.ignore_label: no voxel of %s in the %d images of the training set, so all "
                "voxels count; correct its name or value, or set it to null",
                ignored,
                len(cases),
            )


def _check_classes(names: Sequence[str], cases: Sequence[Case], entries: Entries) -> None:
    """Refuse a training set without labelled voxels, and warn about each class without any."""
    empty = set(range(len(names)))
    for case, entry in zip(cases, entries, strict=True):
        if not empty:
            return
        labelled = np.reshape(entry.stored.facts.labelled, (-1, len(case.rater_files)))  # by slice and rater
        empty = {k for k in empty if not np.any(labelled[:, list(case.raters[k])])}
    if len(empty) == len(names):
        raise DataError(
            f"the training set has no labelled voxel: the labels {some(names)} of all {len(cases)} images are empty; "
            "ivadomed_check_data -c CONFIG lists their values"
        )
    for k in sorted(empty):
        log.warning(
            "loader_parameters.target_suffix: no voxel of %s in the %d images of the training set, so the network "
            "learns never to predict it; correct its name or value, or leave it out",
            names[k],
            len(cases),
        )


def _keeps(rule: SliceRule, entry: Entry, case: Case, window: Window) -> bool:
    image, target = entry.read(window)
    labels = [[target[rater] for rater in raters] for raters in case.raters]
    return rule.keeps(SliceStatistics.of_sample({"input": image[list(case.present)], "gt": labels}), 0)


def test_cases(config: RunConfig, folder: Path) -> CaseList:
    """The test set of the run's split, and what is excluded from it and from the data set."""
    bids_df = index_data(config, folder)
    found = cases_of(config, bids_df, saved_split(config, bids_df, folder)["test"], "testing")
    return replace(found, dropped=(*bids_df.dropped, *found.dropped))


def segment_cases(config: RunConfig, folder: Path) -> CaseList:
    """All images of the data set with a requested contrast, and what is excluded."""
    bids_df = index_data(config, folder)
    found = cases_of(config, bids_df, sorted(bids_df.images), "testing")
    return replace(found, dropped=(*bids_df.dropped, *found.dropped))


def display_transforms(config: RunConfig, dataset_type: DatasetType) -> None:
    """Log the transforms of one set."""
    log.info("\nSelected transformations for the ['%s'] dataset:", dataset_type)
    for name, arguments in config.transforms_for(dataset_type).items():
        log.info("%s: %s", name, arguments)


def worker_count(config: RunConfig, processes: int = 1) -> int:
    """DataLoader workers: as configured, otherwise one fewer than cores, from one to eight.

    Args:
        config: Configuration of the run.
        processes: Training processes that share the cores of this machine.
    """
    wanted = config.training_parameters.num_workers
    return wanted if wanted is not None else min(max(1, available_cores() // processes - 1), 8)
