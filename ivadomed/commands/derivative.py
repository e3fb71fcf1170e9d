"""Output of ``--segment``: a BIDS derivative data set.

    dataset_description.json  README  dseg.tsv  .bidsignore
    sub-01/anat/sub-01_T1w_dseg.nii.gz  sub-01/anat/sub-01_T1w_seg-anterior_pred.nii.gz

BIDS defines no names with the contrast in the middle, and none for predictions: ``.bidsignore`` lists them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ivadomed import __version__
from ivadomed.config.run_files import BEST, CHECKPOINT
from ivadomed.errors import OutputError
from ivadomed.images.files import parse_json, write_json, write_text
from ivadomed.images.io import is_nifti
from ivadomed.inference.outputs import PREDICTIONS, refuse_predictions_folder
from ivadomed.loader.cases.case import Case

FOLDER = "segmentations"
"""Name of this folder in the folder of a run."""

_DESCRIPTION = "dataset_description.json"
_BIDS_VERSION = "1.9.0"
_IGNORED = ("*_pred.*", "*_dseg.*", "log", "bounding_boxes.json", "classified_slices.csv", "run.lock")
_README = """\
Segmentations of {data}
by the model {model}, written by ivadomed {version}.

<image>_dseg.nii.gz       all classes in one image, numbered as in dseg.tsv; absent where classes share voxels
<image>_<class>_pred.*    one class: 0 and 1, or values between them where the model is soft

They lie on the voxels of their image.
"""


@dataclass(frozen=True)
class Derivative:
    """A data set of segmentations.

    Args:
        folder: Root of the data set.
    """

    folder: Path

    def stem(self, case: Case) -> Path:
        """Path of the results of a case, without the suffix added to the image name."""
        return self.folder.joinpath(*_folders(case), case.id)

    def describe(self, data: Sequence[str], model: Path) -> None:
        """Write the provenance of the data set.

        Args:
            data: Data sets that were segmented.
            model: Folder of the packaged model.
        """
        sources = [Path(path).expanduser().resolve() for path in data]
        names = ", ".join(path.name for path in sources)
        made_by = {"Name": "ivadomed", "Version": __version__, "Description": f"Model {model.resolve()}"}
        description = {
            "Name": f"Segmentations of {names} by {model.resolve().name}",
            "BIDSVersion": _BIDS_VERSION,
            "DatasetType": "derivative",
            "GeneratedBy": [made_by],
            "SourceDatasets": [{"URL": path.as_uri()} for path in sources],
        }
        write_json(self.folder / _DESCRIPTION, description)
        text = _README.format(data=names, model=model.resolve().name, version=__version__)
        write_text(self.folder / "README", text)
        write_text(self.folder / ".bidsignore", "".join(f"{line}\n" for line in _IGNORED))

    def refuse_other_content(self, data: Sequence[Path]) -> None:
        """Raise for a folder with another purpose.

        Args:
            data: Data to segment.

        Raises:
            OutputError: The folder holds a training, predictions of a test set, or another data set.
        """
        refuse_predictions_folder(self.folder)
        if any((self.folder / name).exists() for name in (BEST, CHECKPOINT, PREDICTIONS)):
            raise OutputError(
                f"{self.folder}: is the folder of a training; choose another --path-output, such as "
                f"{self.folder / FOLDER}"
            )
        if self.folder.resolve() in [path.resolve() for path in data]:
            raise OutputError(f"{self.folder}: holds the data to segment; choose another --path-output")
        file = self.folder / _DESCRIPTION
        if file.exists() and not _is_ours(file):
            raise OutputError(f"{self.folder}: holds another data set; choose another --path-output")


def _is_ours(file: Path) -> bool:
    try:
        content = parse_json(file.read_bytes())
        names = [entry["Name"] for entry in content["GeneratedBy"]]
    except (OSError, ValueError, LookupError, TypeError):
        return False
    return content.get("DatasetType") == "derivative" and "ivadomed" in names


def _folders(case: Case) -> list[str]:
    """Folders of subject, session and data type."""
    session = re.search(r"_(ses-[^_]+)_", case.id)
    parents = Path(case.images[0]).parts
    kind = parents[-2] if len(parents) > 2 and parents[-3].startswith(("sub-", "ses-")) else ""
    subject = case.subject or case.id.partition("_")[0]
    default = "anat" if is_nifti(case.images[0]) else "micr"
    return [subject, *([session[1]] if session else []), kind or default]
