"""BIDS names for the cases, channels and labels of other data sets."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ivadomed.errors import DataError
from ivadomed.images.io import is_picture
from ivadomed.images.pointers import FETCH
from ivadomed.images.volume_of import ImagePath, VolumeOf
from ivadomed.loader.bids.files import BidsFile, Dropped
from ivadomed.loader.bids.index import IMAGE_EXTENSIONS
from ivadomed.loader.bids.names import NameRules

LABEL_MAP = "_dseg"
"""Suffix of the label map of a case: BIDS term for a discrete segmentation."""

_NOT_ALLOWED = re.compile(r"[^A-Za-z0-9]+")
_IN_BIDS = re.compile(r"(sub-[A-Za-z0-9]+)(?:_(ses-[A-Za-z0-9]+))?")
_RULES = NameRules(strict=False)


def alphanumeric(text: str) -> str:
    """Letters and digits of a text, the only characters that BIDS allows in values of entities and suffixes."""
    return _NOT_ALLOWED.sub("", text)


def subject_of(case: str) -> tuple[str, str]:
    """Subject and session ("" if none) of a case: "hippocampus_001" -> "sub-hippocampus001".

    BIDS names, "sub-01" or "sub-01_ses-02", are kept as they are.
    """
    if named := _IN_BIDS.fullmatch(case):
        return named[1], named[2] or ""
    return f"sub-{alphanumeric(case.removeprefix('sub-'))}", ""


def contrast_names(channels: Sequence[str]) -> tuple[str, ...]:
    """Contrasts of channels as valid BIDS names; duplicates get the number of their channel appended.

    ["T1-weighted", "MRI", "MRI"] -> ["T1weighted", "MRI1", "MRI2"]; without letters or digits: "channel0".
    """
    safe = [alphanumeric(name) or "channel" for name in channels]
    often = Counter(safe)
    numbered = (f"{name}{i}" if often[name] > 1 or name == "channel" else name for i, name in enumerate(safe))
    return tuple(numbered)


def extension_of(name: str) -> str | None:
    """Image extension of a file name, the longest match; None if it has none."""
    fitting = (ending for ending in IMAGE_EXTENSIONS if name.lower().endswith(ending))
    longest = max(fitting, key=len, default=None)
    return None if longest is None else name[-len(longest) :]


def datatype_of(contrast: str, extension: str) -> str:
    """Folder for images of a contrast."""
    if contrast.lower() == "ct":
        return "ct"
    return "micr" if is_picture(f"x{extension}") else "anat"


@dataclass
class CaseFiles:
    """Files of one case under the names in its data set; filled as files are found.

    Args:
        name: Name of the case in its data set.
        folders: Subject and session ("" if none) in BIDS.
        images: File of each contrast, or a volume of a file.
        labels: File of each label, keyed by what follows the image name in BIDS. The key ("T1w", "_seg") is the
            label of one contrast, ("", "_dseg") that of all.
    """

    name: str
    folders: tuple[str, str]
    images: dict[str, ImagePath] = field(default_factory=dict)
    labels: dict[tuple[str, str], Path] = field(default_factory=dict)

    def rows(self, root: Path) -> Iterable[BidsFile]:
        """Images, and their labels as derivatives."""
        prefix = "_".join(filter(None, self.folders))
        folder = "/".join(filter(None, self.folders))
        for contrast, image in self.images.items():
            extension = extension_of(image.name) or ""
            datatype = datatype_of(contrast.rpartition("_")[2], extension)
            stem = f"{folder}/{datatype}/{prefix}_{contrast}"
            parsed = _RULES.parse(f"{prefix}_{contrast}", "")
            volume = image if isinstance(image, VolumeOf) else None
            yield BidsFile(
                path=Path(image),
                root=root,
                relative=stem + extension,
                folders=self.folders,
                entities=parsed.entities,
                suffix=parsed.suffix,
                extension=extension,
                datatype=datatype,
                is_derivative=False,
                volume=volume,
            )
            for (of, suffix), label in self.labels.items():
                if of not in ("", contrast):
                    continue
                ending = extension_of(label.name) or ""
                relative = f"derivatives/labels/{stem}{suffix}{ending}"
                yield BidsFile(
                    label, root, relative, self.folders, {}, "", ending, datatype, is_derivative=True
                )  # fmt: skip


def refuse_collisions(cases: Iterable[CaseFiles], root: Path) -> None:
    """Refuse cases whose BIDS name is empty or shared.

    Raises:
        DataError: Names the cases.
    """
    named: dict[tuple[str, str], list[str]] = defaultdict(list)
    for case in cases:
        named[case.folders].append(case.name)
    for folders, names in named.items():
        if folders[0] == "sub-":
            raise DataError(
                f'{root}: the case "{names[0]}" has no letter or digit to name its subject by; rename it'
            )
        if len(names) > 1 and names[0] == names[1]:
            raise DataError(f'{root}: "{names[0]}" occurs twice; keep one, or distinguish them by session')
        if len(names) > 1:
            raise DataError(
                f'{root}: the cases "{names[0]}" and "{names[1]}" would both be the subject {folders[0]}, for which '
                "only letters and digits count; rename one of them"
            )


def rows_of(cases: Iterable[CaseFiles], root: Path, extensions: Iterable[str]) -> list[BidsFile]:
    """Files with a requested extension, sorted as in a BIDS folder.

    Args:
        cases: All cases of a data set.
        root: Path from ``path_data``.
        extensions: See ``scan``.

    Raises:
        DataError: See ``refuse_collisions``.
    """
    cases, wanted = list(cases), {ending.lower() for ending in extensions}
    refuse_collisions(cases, root)
    rows = [file for case in cases for file in case.rows(root) if file.extension.lower() in wanted]
    return sorted(rows, key=lambda file: (not file.is_derivative, file.relative.split("/")))


def absent(path: Path, where: str) -> Dropped | None:
    """Reason why a file listed in ``where`` is not used; None if it exists."""
    if path.is_file():
        return None
    if path.is_symlink():
        return Dropped(str(path), f"a link without content; {FETCH}")
    return Dropped(str(path), f"{where} lists it, but it does not exist", "a listed file does not exist")
