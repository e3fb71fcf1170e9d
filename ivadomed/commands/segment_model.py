"""``--segment --model``: apply a packaged model to data sets or image files, without the folder of a training."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ivadomed.commands.derivative import Derivative
from ivadomed.commands.records import run_folder
from ivadomed.commands.segment import segment_found, segmenter_of
from ivadomed.config import RunConfig
from ivadomed.errors import ConfigError, some
from ivadomed.inference.image_files import list_subjects, output_suffixes, segment_images
from ivadomed.inference.packaged import PackagedModel
from ivadomed.inference.predictor import Predictor
from ivadomed.jobs.choose import choose_workers
from ivadomed.loader.bids.files import contrast_of
from ivadomed.loader.bids.index import IMAGE_EXTENSIONS
from ivadomed.loader.bids_dataframe import BidsDataframe
from ivadomed.loader.build import cases_of, index_data
from ivadomed.loader.cases.grouping import CaseList
from ivadomed.loader.layouts.index import is_data_set
from ivadomed.runtime.device import define_device
from ivadomed.runtime.failures import shortages_explained
from ivadomed.runtime.terminal import say

_LESS = "use fewer --jobs, smaller images, or a machine with more memory"


@dataclass(frozen=True)
class ModelRun:
    """Arguments of ``ivadomed --segment --model``.

    Args:
        model: Folder of the packaged model.
        data: Data sets, or images and folders of images.
        output: Folder for the results.
        contrasts: Contrasts to segment, in channel order for a multichannel model; empty: those of the training.
        no_patch: Whole slices instead of 2D patches.
        overlap_2d: Overlap of neighboring 2D patches in voxels.
        label_map: Write label maps where classes do not overlap.
        jobs: Processes that predict the images of a data set.
        cluster: Dask cluster to use instead.
        debug: Log details.
        pixel_size: Pixel size of image files outside a data set, along columns and rows.
        pixel_size_units: "mm", "um" or "nm".
    """

    model: Path
    data: Sequence[Path]
    output: Path
    contrasts: Sequence[str] = ()
    no_patch: bool = False
    overlap_2d: Sequence[int] | None = None
    label_map: bool = True
    jobs: int | None = None
    cluster: str | None = None
    debug: bool = False
    pixel_size: Sequence[float] | None = None
    pixel_size_units: str = "mm"

    @property
    def options(self) -> dict[str, Any]:
        """See ``segment_volume``."""
        options: dict[str, Any] = {"no_patch": self.no_patch, "overlap_2D": self.overlap_2d}
        if self.pixel_size:
            options |= {"pixel_size": list(self.pixel_size), "pixel_size_units": self.pixel_size_units}
        return options


def segment_with_model(run: ModelRun) -> list[Path]:
    """Segment data sets into a BIDS derivative data set, or image files into a folder.

    Returns:
        The class files; for image files, also the label maps.

    Raises:
        ConfigError: The data are of both kinds or lack the contrasts of the model, or an option does not apply.
        OutputError: The folder has another purpose.
        DataError: An image cannot be used.
        ModelError: The model cannot be used.
    """
    kinds = {is_data_set(path) for path in run.data}
    if len(kinds) > 1:
        raise ConfigError(
            f"--path-data: {some(map(str, run.data))} are data sets and image files; segment them separately"
        )
    return _segment_data_sets(run) if kinds == {True} else _segment_files(run)


def _segment_files(run: ModelRun) -> list[Path]:
    given = {"--jobs": run.jobs, "--cluster": run.cluster, "--contrasts": run.contrasts}
    for option in (option for option, value in given.items() if value):
        raise ConfigError(f"{option} belongs to data sets, but {run.data[0]} is not one")
    Derivative(run.output).refuse_other_content(())
    predictor = Predictor(run.model)
    suffixes = output_suffixes(predictor.class_names, None, predictor.folder)
    subjects = list_subjects([list(map(os.fspath, run.data))], predictor.in_channel, suffixes)
    say("Images", f"{len(subjects)} to segment")
    say("Model", str(run.model))
    files = segment_images(
        predictor, subjects, run.output, suffixes, options=run.options, label_map=run.label_map
    )
    say("Done", f"segmented {len(subjects)} images into {run.output}")
    return files


def _segment_data_sets(run: ModelRun) -> list[Path]:
    if run.pixel_size:
        raise ConfigError("--pixel-size belongs to image files; data sets specify it in sidecars")
    data_set = Derivative(run.output)
    data_set.refuse_other_content(run.data)
    device = define_device(0)[1]
    model = PackagedModel.open(run.model, device)
    config = _with(model.config, path_data=tuple(map(str, run.data)), extensions=IMAGE_EXTENSIONS).model_copy(
        update={"command": "segment", "path_output": str(run.output)}
    )
    workers = None
    if run.jobs is not None or run.cluster is not None:
        workers = choose_workers(run.jobs, run.cluster, config.gpu_ids)
    with (
        run_folder(config, run.debug, with_records=False) as folder,
        shortages_explained("--segment", _LESS),
    ):
        found, config = _cases(config, model, run, folder)
        segmenter = segmenter_of(model, data_set, run.options, run.label_map)
        return segment_found(found, config, model, model.config, folder, segmenter, workers)


def _with(config: RunConfig, **changes: Any) -> RunConfig:
    """Configuration with changed ``loader_parameters``."""
    loader = config.loader_parameters.model_copy(update=changes)
    return config.model_copy(update={"loader_parameters": loader})


def _with_contrasts(config: RunConfig, contrasts: Sequence[str]) -> RunConfig:
    section = config.loader_parameters.contrast_params
    chosen = {"training_validation": tuple(contrasts), "testing": tuple(contrasts)}
    return _with(config, contrast_params=section.model_copy(update=chosen))


def _cases(
    config: RunConfig, model: PackagedModel, run: ModelRun, folder: Path
) -> tuple[CaseList, RunConfig]:
    """Images of the data sets for this model, and the configuration with their contrasts."""
    known = run.contrasts or config.channel_names
    bids_df = index_data(_with_contrasts(config, run.contrasts), folder)
    config = _with_contrasts(config, _contrasts(bids_df, known, model, run))
    found = cases_of(config, bids_df, sorted(bids_df.images), "testing")
    return CaseList(found.cases, (*bids_df.dropped, *found.dropped)), config


def _contrasts(
    bids_df: BidsDataframe, known: Sequence[str], model: PackagedModel, run: ModelRun
) -> Sequence[str]:
    """Contrasts to segment: the known ones, or the only one available."""
    channels = model.config.in_channel
    if run.contrasts and channels > 1 and len(run.contrasts) != channels:
        raise ConfigError(
            f"--contrasts: {len(run.contrasts)} given, but {run.model} has {channels} channels; give one for each"
        )
    images = bids_df.images.values()
    there = sorted({image.suffix for image in images})
    absent = [name for name in known if not any(contrast_of(image, [name]) for image in images)]
    if len(absent) < len(known) if channels == 1 or model.config.network.missing_contrasts else not absent:
        return known
    if channels == 1 and len(there) == 1 and not run.contrasts:
        trained = f", although the model was trained on {some(known)}: no other is available" if known else ""
        say("Contrasts", f"{there[0]}{trained}")
        return there
    wanted = f"expects {some(known)}" if known else "does not specify its contrasts"
    example = f" {there[0]}" if there and channels == 1 else ""
    raise ConfigError(
        f"{run.model}: {wanted}, but {some(map(str, run.data))} has {some(there) or 'no image'}; choose with "
        f"--contrasts{example}"
    )
