"""User-facing messages about faults and unexpected properties of a whole data set."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice
from pathlib import Path

from ivadomed.errors import DataError, some
from ivadomed.loader.bids.files import BidsFile, Dropped, Selection, contrast_of, matches
from ivadomed.loader.bids.label_names import SEGMENTATIONS
from ivadomed.loader.bids.labels import Labels
from ivadomed.loader.bids.names import without_padding

_DESCRIPTION = "dataset_description.json"
_LOOKED_AT = 20
_SUFFIXES = 10
_KINDS = 3
_NAMES = 3


def nothing_found(
    selection: Selection,
    index: Iterable[BidsFile],
    wanted: Sequence[BidsFile],
    dropped: Sequence[Dropped],
    labelled: bool,
    everything: Callable[[], Iterable[BidsFile]],
) -> str:
    """Message for a data set without a usable image: what was searched, and what is available instead.

    Args:
        selection: Requested files.
        index: Index of the data sets.
        wanted: Images of the requested contrasts and sessions.
        dropped: Excluded files.
        labelled: Labels were requested.
        everything: Lists the files of all extensions.
    """
    labels = f" with labels {list(selection.label_suffixes)}" if labelled else ""
    searched = f"No usable image: searched for {selection.describe()}{labels}"
    if wanted:
        there = f"available labels: {labels_there(wanted, Labels(index))}"
    else:
        # Wrong extensions are the most common reason.
        kinds = sorted({file.suffix + file.extension for file in everything() if not file.is_derivative})
        there = f"available images: {some(kinds, 10) or 'none'}"
    if not dropped:
        return f"{searched}; {there}"
    return f"{searched}; {there}\n{len(dropped)} left out, such as {dropped[0].file}: {dropped[0].reason}"


def summary(dropped: Sequence[Dropped]) -> str:
    """Number of excluded files and subjects per reason, with the first names of each."""
    kinds: dict[str, list[str]] = defaultdict(list)
    for item in dropped:
        kinds[item.lacks or item.reason].append(Path(item.file).name)
    common = sorted(kinds.items(), key=lambda kind: -len(kind[1]))
    shown = "; ".join(f"{lacks} ({some(sorted(names), _NAMES)})" for lacks, names in common[:_KINDS])
    others = sum(len(names) for _, names in common[_KINDS:])
    return f"{shown}; {others} for other reasons" if others else shown


def labels_there(images: Iterable[BidsFile], found: Labels) -> str:
    """Suffixes of the labels of the first images, or "none"."""
    suffixes = {suffix for image in islice(images, _LOOKED_AT) for suffix in found.suffixes(image)}
    return some(sorted(suffixes), _SUFFIXES) or "none"


def without_description(roots: Iterable[str]) -> list[str]:
    """One line per data set without ``dataset_description.json``."""
    return [
        f"{root}: has no {_DESCRIPTION}, which BIDS requires; add one that names the data set, for example "
        '{"Name": "...", "BIDSVersion": "1.9.0"}, so that manifest.json can identify it'
        for root in roots
        if not (Path(root).expanduser() / _DESCRIPTION).is_file()
    ]


def refuse_duplicates(images: Iterable[BidsFile]) -> None:
    """Refuse images whose names differ only in extension or zero padding, because results are named after them.

    Raises:
        DataError: Names the files.
    """
    by_name: dict[str, list[Path]] = defaultdict(list)
    for image in images:
        by_name[without_padding(image.stem)].append(image.path)
    for name, paths in by_name.items():
        if len(paths) > 1:
            raise DataError(
                f"The image name {name} occurs {len(paths)} times ({some(map(str, paths))}); names must differ, also "
                "between data sets: rename or remove all but one, or remove one data set from path_data"
            )


def missing_contrasts(contrasts: Iterable[str], images: Sequence[BidsFile]) -> list[str]:
    """One line per requested contrast that no image has."""
    there = some(sorted({image.suffix for image in images}))
    return [
        f"loader_parameters.contrast_params: no usable image has the contrast {contrast}; available: {there}"
        for contrast in contrasts
        if not any(matches(image, contrast) for image in images)
    ]


def shared_labels(labelled: Iterable[tuple[BidsFile, Mapping[str, BidsFile]]]) -> list[str]:
    """One line about labels used for images of several contrasts because their names contain none.

    Args:
        labelled: Images in use, each with its labels by suffix.
    """
    contrasts: dict[tuple[Path, str], set[str]] = defaultdict(set)
    for image, labels in labelled:
        for label in labels.values():
            contrasts[label.root, label.relative].add(image.suffix)
    shared = {label: names for label, names in contrasts.items() if len(names) > 1}
    if not shared:
        return []
    (_, first), names = next(iter(shared.items()))
    return [
        f"{len(shared)} label file(s) have no contrast in their names and are used for several, such as {first} for "
        f"{some(sorted(names), separator=' and ')}: they must be correct for each; space-{min(names)} in a file name "
        "restricts it to that contrast"
    ]


def shared_subjects(images: Iterable[BidsFile]) -> list[str]:
    """One line about subjects that occur in more than one data set."""
    roots: dict[str, set[str]] = defaultdict(set)
    for image in images:
        roots[image.folders[0]].add(str(image.root))
    shared = sorted(subject for subject, found in roots.items() if len(found) > 1)
    if not shared:
        return []
    folders = sorted(roots[shared[0]])
    return [
        f"subjects of more than one data set ({' and '.join(folders)}): {some(shared)}; each counts as one subject "
        "and stays on one side of the split: rename them if they are different subjects"
    ]


def near_misses(
    index: Iterable[BidsFile], wanted: Sequence[BidsFile], contrasts: Sequence[str]
) -> list[Dropped]:
    """Images whose name ends with a requested contrast but has more in front of it, such as "sub-01_a_T2w"."""
    taken = {file.path for file in wanted}
    return [
        Dropped(
            str(file.path),
            f'its contrast is "{file.suffix}" (everything after the entities), not "{contrast}"; add it to '
            "contrast_params, or set bids_validate to false",
            f"a contrast that is more than {contrast}",
        )
        for file in index
        if not file.is_derivative and not file.loose and file.path not in taken
        for contrast in contrasts
        if file.suffix.endswith(f"_{contrast}")
    ]


def without_contrast(
    index: Iterable[BidsFile], dropped: Sequence[Dropped], contrasts: Sequence[str]
) -> list[Dropped]:
    """Subjects without an image of a requested contrast, unless their file names explain why."""
    named = {item.file for item in dropped}
    images = [
        file for file in index if contrasts and not file.is_derivative and file.suffix not in SEGMENTATIONS
    ]
    subjects = {(file.root, file.folders[0]) for file in images}
    for file in images:
        if contrast_of(file, contrasts) is not None or str(file.path) in named:
            subjects.discard((file.root, file.folders[0]))
    reason = f"no image of the contrast {some(contrasts, separator=' or ')}"
    return [Dropped(subject, f"has {reason}", reason) for _, subject in sorted(subjects)]
