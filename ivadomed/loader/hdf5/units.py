"""Which images of a BIDS data set go into an HDF5 file, and into which of its groups."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence

from ivadomed.errors import DataError
from ivadomed.loader.bids_dataframe import BidsDataframe
from ivadomed.loader.cases.case import Case
from ivadomed.loader.cases.grouping import TargetSuffix, build_cases

log = logging.getLogger(__name__)

_UNIT = ("ses-", "sample-")  # entities that name a group, besides the subject


def index_data_set(
    root: str | os.PathLike[str] | BidsDataframe,
    contrasts: Sequence[str],
    target_suffix: TargetSuffix,
    roi_suffix: str | None,
) -> BidsDataframe:
    """The data set, with labels or without."""
    if isinstance(root, BidsDataframe):
        return root
    params = {
        "path_data": [os.fspath(root)],
        "target_suffix": target_suffix,
        "contrast_params": {"contrast_lst": list(contrasts)},
        "roi_params": {"suffix": roi_suffix},
    }
    return BidsDataframe(params, "", derivatives=False)  # labels may lie beside one contrast only


def filenames_of(bids_df: BidsDataframe, subjects: Sequence[str]) -> list[str]:
    """Images of subjects ("sub-01"), or with one of the names."""
    wanted = set(subjects)
    return [name for name, file in bids_df.images.items() if name in wanted or file.participant in wanted]


def cases_of(
    bids_df: BidsDataframe,
    names: Sequence[str],
    target_suffix: TargetSuffix,
    contrasts: Sequence[str],
    roi_suffix: str | None,
    balance: Mapping[str, float] | None,
) -> list[Case]:
    """Every image as a case, with its labels where it has some."""
    every = build_cases(
        bids_df,
        names,
        target_suffix=(),
        contrasts=contrasts,
        multichannel=False,
        require_target=False,
        balance=balance,
    ).cases
    names = [case.images[0].name for case in every]
    labelled = build_cases(
        bids_df,
        names,
        target_suffix=target_suffix,
        contrasts=contrasts,
        multichannel=False,
        roi_suffix=roi_suffix,
    ).cases
    by_id = {case.id: case for case in labelled}
    return [by_id.get(case.id, case) for case in every]


def units_of(cases: Sequence[Case]) -> dict[str, dict[str, Case]]:
    """Per subject (session, sample) the image of each contrast; those without any label are left out."""
    units: dict[str, dict[str, Case]] = {}
    for case in cases:
        parts = (part for part in case.id.split("_") if part.startswith(_UNIT))
        name = "_".join((case.subject, *parts))
        unit = units.setdefault(name, {})
        if case.contrasts[0] in unit:
            log.warning(
                "%s is left out: %s is the %s image of %s.",
                case.id,
                unit[case.contrasts[0]].id,
                case.contrasts[0],
                name,
            )
        else:
            unit[case.contrasts[0]] = case
    for name in [name for name, unit in units.items() if not any(case.targets for case in unit.values())]:
        log.warning("%s is left out: none of its images has a label.", name)
        del units[name]
    if not units:
        raise DataError(
            "no subject has an image of the contrasts and a label; check contrasts and target_suffix"
        )
    return units
