"""Small data sets of other layouts than BIDS."""

import json
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from ivadomed.loader.bids.files import Selection
from ivadomed.loader.layouts.index import open_index

AFFINE = np.diag([1.0, 1.0, 2.0, 1.0])


def volume(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 1000, (6, 7, 4)).astype(np.int16)


def label_map(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 3, (6, 7, 4)).astype(np.uint8)


def save(path: Path, data: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(data, AFFINE), path)
    return path


@pytest.fixture
def opened() -> Callable:
    """Open data sets as a configuration with these keys of ``loader_parameters`` would."""

    def opened(*paths, contrasts=(), labels=(), **keys):
        wanted = {"contrast_params": {"training_validation": list(contrasts)}, "target_suffix": list(labels)}
        return open_index(Selection.of({"path_data": list(paths), **wanted, **keys}))

    return opened


@pytest.fixture
def nnunet(tmp_path) -> Path:
    """Three cases of two channels, and one without a label in imagesTs."""
    root = tmp_path / "Dataset001_Brain"
    for number in range(3):
        for channel in range(2):
            save(root / f"imagesTr/brain_{number}_{channel:04}.nii.gz", volume(10 * number + channel))
        save(root / f"labelsTr/brain_{number}.nii.gz", label_map(number))
    for channel in range(2):
        save(root / f"imagesTs/brain_9_{channel:04}.nii.gz", volume(90 + channel))
    description = {
        "channel_names": {"0": "T1w", "1": "T2-weighted"},
        "labels": {"background": 0, "edema": 1, "tumour": [1, 2], "ignore": 3},
        "numTraining": 3,
        "file_ending": ".nii.gz",
    }
    (root / "dataset.json").write_text(json.dumps(description))
    return root


@pytest.fixture
def decathlon(tmp_path) -> Path:
    """The same images as those of ``nnunet``, [6, 7, 4, 2]."""
    root = tmp_path / "Task01_Brain"
    for number in (0, 1, 2, 9):
        place = "imagesTs" if number == 9 else "imagesTr"
        both = np.stack([volume(10 * number), volume(10 * number + 1)], axis=3)
        save(root / place / f"brain_{number}.nii.gz", both)
        (root / place / f"._brain_{number}.nii.gz").write_bytes(b"Mac OS X")
        if number != 9:
            save(root / f"labelsTr/brain_{number}.nii.gz", label_map(number))
    names = [f"brain_{number}.nii.gz" for number in range(3)]
    description = {
        "name": "Brain",
        "licence": "CC-BY-SA 4.0",
        "tensorImageSize": "4D",
        "modality": {"0": "T1w", "1": "T2-weighted"},
        "labels": {"0": "background", "1": "edema", "2": "core"},
        "training": [{"image": f"./imagesTr/{name}", "label": f"./labelsTr/{name}"} for name in names],
        "test": ["./imagesTs/brain_9.nii.gz"],
    }
    (root / "dataset.json").write_text(json.dumps(description))
    return root


@pytest.fixture
def table(tmp_path) -> Path:
    """The same images as those of ``nnunet`` in a table, one of them without a label."""
    root = tmp_path / "study"
    lines = ["participant_id\tsession_id\tT1w\tT2 weighted\tseg\tage"]
    for number in range(3):
        for channel in range(2):
            save(root / f"images/{number}/c{channel}.nii.gz", volume(10 * number + channel))
        save(root / f"images/{number}/lesion.nii.gz", label_map(number))
        files = [f"images/{number}/{name}.nii.gz" for name in ("c0", "c1", "lesion")]
        files[2] = "n/a" if number == 2 else files[2]
        lines.append("\t".join([f"P-{number}", "ses-1", *files, str(30 + number)]))
    path = root / "subjects.tsv"
    path.write_text("\n".join(lines) + "\n")
    return path
