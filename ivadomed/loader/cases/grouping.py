"""From rows of the BIDS table to cases: which files form one training or prediction unit."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ivadomed.errors import ConfigError, DataError
from ivadomed.loader.bids.files import BidsFile, Dropped, contrast_entities, contrast_of
from ivadomed.loader.bids.names import comparable
from ivadomed.loader.cases.case import Case
from ivadomed.loader.cases.labels import CaseLabels, TargetSuffix

if TYPE_CHECKING:
    from ivadomed.loader.bids_dataframe import BidsDataframe


@dataclass(frozen=True)
class CaseList:
    """Cases sorted by id, and the images or subjects that gave none."""

    cases: tuple[Case, ...]
    dropped: tuple[Dropped, ...]


def build_cases(
    bids_df: BidsDataframe,
    filenames: Iterable[str],
    *,
    target_suffix: TargetSuffix,
    contrasts: Sequence[str],
    multichannel: bool,
    roi_suffix: str | None = None,
    require_target: bool = True,
    balance: Mapping[str, float] | None = None,
    seed: int = 0,
    allow_missing: bool = False,
    ignore_label: str | None = None,
) -> CaseList:
    """Group images into cases and find their labels.

    Without ``multichannel``, each image is a case. With it, a case has one image per contrast, of one subject,
    session and sample of one data set; several images of a contrast (runs, acquisitions) are paired by their
    other entities. Labels of channels share one grid: for each class, the label of the last channel that has
    one is used, as in ivadomed 2.9.10. A class without a file counts as empty as long as another class has one.
    No voxels are read.

    Args:
        bids_df: The data set.
        filenames: Images of one side of the split; other contrasts are skipped.
        target_suffix: Suffix per class; a list of suffixes for a class with several raters.
        contrasts: Wanted contrasts; with ``multichannel``, in channel order.
        multichannel: Use contrasts as channels of one input.
        roi_suffix: Suffix of the region of interest, or None.
        require_target: Drop cases without any label; otherwise labels are optional.
        balance: Fraction of the images of a contrast to keep, e.g. {"T1w": 0.1}; drawn with ``seed``.
        seed: Seed of the draw.
        allow_missing: Keep subjects without some of the channels, for networks that allow it.
        ignore_label: Suffix of the label of voxels that losses and metrics ignore, or None.

    Raises:
        ConfigError: ``balance`` is combined with ``multichannel`` or is not a fraction.
        DataError: A file name is not in the data set, a label is not unique, or a class name is in no table.
    """
    images = _images(bids_df, filenames, contrasts)
    dropped: list[Dropped] = []
    if multichannel:
        if balance:
            raise ConfigError(
                "loader_parameters.contrast_params.balance: each multichannel case needs all contrasts; "
                "set multichannel to false or balance to {}"
            )
        groups = _channels(images, contrasts, dropped, allow_missing)
    else:
        images = _balanced(images, balance or {}, seed, dropped)
        groups = [((contrast,), (image,)) for image, contrast in images]
    metadata = _metadata(bids_df, {files[0].name for _, files in groups})
    labels = CaseLabels(bids_df, target_suffix, roi_suffix, ignore_label, require_target)
    cases = []
    for names, files in groups:
        case = Case(
            id=files[0].stem,
            images=tuple(file.image for file in files),
            subject=files[0].participant,
            contrasts=names,
            metadata=metadata[files[0].name],
            channels=_channel_indices(names, contrasts) if multichannel else (),
            **labels.of(files),
        )
        if reason := labels.lacking(case):
            dropped.append(Dropped(case.id, reason))
        else:
            cases.append(case)
    return CaseList(tuple(sorted(cases, key=lambda case: case.id)), tuple(dropped))


def _images(
    bids_df: BidsDataframe, filenames: Iterable[str], contrasts: Sequence[str]
) -> list[tuple[BidsFile, str]]:
    """Images of the requested contrasts with their contrast, sorted by name."""
    images = []
    for name in sorted(set(filenames)):
        image = bids_df.images.get(name)
        if image is None:
            raise DataError(f"{name}: no such image among the {len(bids_df.images)} of the data set")
        contrast = contrast_of(image, contrasts)
        if contrast is not None:
            images.append((image, contrast))
    return images


def _balanced(
    images: list[tuple[BidsFile, str]], balance: Mapping[str, float], seed: int, dropped: list[Dropped]
) -> list[tuple[BidsFile, str]]:
    """Keep a random fraction, at least one image, of the contrasts in ``balance``."""
    rng = np.random.default_rng(seed)
    left_out: set[str] = set()
    for contrast, share in sorted(balance.items()):
        if not 0 < share <= 1:
            raise ConfigError(
                f"loader_parameters.contrast_params.balance.{contrast}: expected 0 < share <= 1, got {share}"
            )
        names = [image.name for image, of in images if of == contrast]
        n_kept = max(1, round(share * len(names)))
        for index in sorted(rng.permutation(len(names))[n_kept:]):
            left_out.add(names[index])
            reason = f"contrast_params.balance keeps {share} of {contrast}"
            dropped.append(Dropped(names[index], reason, chosen=True))
    return [(image, contrast) for image, contrast in images if image.name not in left_out]


def _channels(
    images: list[tuple[BidsFile, str]],
    contrasts: Sequence[str],
    dropped: list[Dropped],
    allow_missing: bool = False,
) -> list[tuple[tuple[str, ...], tuple[BidsFile, ...]]]:
    """One group of files per case, in order of the channels."""
    units: dict[tuple[str, ...], dict[str, list[BidsFile]]] = {}
    # An entity in a contrast, such as the session in "ses-01_T1w", distinguishes channels, not cases.
    named = {entity for contrast in contrasts for entity in contrast_entities(contrast)}
    separating = [entity for entity in ("subject", "session", "sample") if entity not in named]
    for image, contrast in images:
        # Subjects of two data sets may differ even if they share a name.
        key = (str(image.root), *(image.entities.get(entity, "") for entity in separating))
        units.setdefault(key, {}).setdefault(contrast, []).append(image)
    groups = []
    for by_contrast in units.values():
        first = next(iter(by_contrast.values()))[0]
        sample = first.entities.get("sample")
        name = "_".join(filter(None, (*first.folders, f"sample-{sample}" if sample else "")))
        missing = [contrast for contrast in contrasts if contrast not in by_contrast]
        if missing and not allow_missing:
            lacks = f"no {', '.join(missing)} image"
            dropped.append(Dropped(name, f"has {lacks}", lacks))
            continue
        there = [contrast for contrast in contrasts if contrast in by_contrast]
        paired = _paired(by_contrast, there)
        if paired:
            groups += [(tuple(there), files) for files in paired]
        else:
            several = [image.name for files in by_contrast.values() if len(files) > 1 for image in files]
            reason = "several images of one contrast; name one of them by its entities, e.g. run-1_T1w"
            dropped.append(Dropped(name, f"{', '.join(several)}: {reason}", reason))
    return groups


def _paired(
    by_contrast: Mapping[str, list[BidsFile]], contrasts: Sequence[str]
) -> list[tuple[BidsFile, ...]]:
    """Pair single images, or images with equal entities apart from those in contrasts; otherwise empty."""
    if all(len(by_contrast[contrast]) == 1 for contrast in contrasts):
        return [tuple(by_contrast[contrast][0] for contrast in contrasts)]
    keyed = []
    for contrast in contrasts:
        own = contrast_entities(contrast).keys()
        files = by_contrast[contrast]
        keyed.append(
            {frozenset((k, v) for k, v in comparable(f.entities).items() if k not in own): f for f in files}
        )
    same_keys = all(keys.keys() == keyed[0].keys() for keys in keyed)
    unique = all(
        len(keys) == len(by_contrast[contrast]) for keys, contrast in zip(keyed, contrasts, strict=True)
    )
    if not (same_keys and unique):
        return []
    return [tuple(keys[key] for keys in keyed) for key in keyed[0]]


def _channel_indices(there: Sequence[str], contrasts: Sequence[str]) -> tuple[int | None, ...]:
    """Per channel, the index of its image; empty if every image is a channel."""
    if len(there) == len(contrasts):
        return ()
    return tuple(there.index(contrast) if contrast in there else None for contrast in contrasts)


def _metadata(bids_df: BidsDataframe, names: set[str]) -> dict[str, dict[str, Any]]:
    """Per image, the columns of the table that have a value."""
    rows = bids_df.df[bids_df.df["filename"].isin(names)]
    known = rows.notna().to_numpy()
    columns = rows.columns.to_numpy()
    key = rows.columns.get_loc("filename")
    return {
        row[key]: dict(zip(columns[mask], row[mask], strict=True))
        for row, mask in zip(rows.to_numpy(dtype=object), known, strict=True)
    }
