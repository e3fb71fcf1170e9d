"""Which label file belongs to which image: by the exact name, in the derivatives of the same subject."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from ivadomed.errors import DataError
from ivadomed.loader.bids.index import BidsFile


class Labels:
    """Label files by the name they were made for.

    The label with suffix ``_seg-manual`` of ``sub-01/anat/sub-01_T1w.nii.gz`` is
    ``derivatives/*/sub-01/*/sub-01_T1w_seg-manual`` with any of the wanted extensions, and no other. A file
    of that name in the folder of another subject or session is not taken.
    """

    def __init__(self, files: Iterable[BidsFile]) -> None:
        self._files: dict[tuple[Path, str], list[BidsFile]] = defaultdict(list)
        self._of_subject: dict[tuple[Path, str], list[BidsFile]] = defaultdict(list)
        for file in files:
            if file.is_derivative:
                self._files[file.root, file.stem].append(file)
                self._of_subject[file.root, file.folders[0]].append(file)

    def find(self, image: BidsFile, suffix: str) -> BidsFile | None:
        """The label of ``image``, or None.

        Raises:
            DataError: Several files fit.
        """
        found = [file for file in self._named(image, suffix) if _same_place(image, file)]
        if len(found) > 1:
            names = " and ".join(str(file.path) for file in found)
            raise DataError(
                f'{image.path}: the label "{suffix}" is not unique, found {names}; remove all but one'
            )
        return found[0] if found else None

    def misplaced(self, image: BidsFile, suffix: str) -> BidsFile | None:
        """A file with the name of the label in the folder of another subject or session."""
        return next((file for file in self._named(image, suffix) if not _same_place(image, file)), None)

    def suffixes(self, image: BidsFile) -> set[str]:
        """Suffixes of all labels of ``image``."""
        return {
            file.stem.removeprefix(image.stem)
            for file in self._of_subject.get((image.root, image.folders[0]), ())
            if file.stem.startswith(f"{image.stem}_") and _same_place(image, file)
        }

    def _named(self, image: BidsFile, suffix: str) -> list[BidsFile]:
        return self._files.get((image.root, image.stem + suffix), [])


def _same_place(image: BidsFile, label: BidsFile) -> bool:
    # Derivatives may do without session folders: the session is part of the file name as well.
    return label.folders in (image.folders, (image.folders[0], ""))
