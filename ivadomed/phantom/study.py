"""A BIDS study of the cervical spinal cord: subjects, sessions, contrasts, labels, tables."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from ivadomed.errors import ConfigError
from ivadomed.images.files import write_json
from ivadomed.images.io import save_nifti

from .anatomy import Anatomy, as_rated, at_follow_up
from .dataset import staged, write_descriptions, write_each, write_tsv
from .lattice import VoxelGrid, oblique_grid, random_stream
from .mri import SEQUENCES, SITES, Site, acquire

CONTRASTS = tuple(SEQUENCES)
Triple = tuple[float, float, float]

# Name -> field of view (mm along right, anterior, superior), and voxel size (mm) per contrast.
SIZES: dict[str, tuple[Triple, dict[str, Triple]]] = {
    "tiny": ((48, 48, 30), {"T1w": (1.5, 1.5, 3), "T2w": (1.2, 1.2, 3), "T2star": (1, 1, 5)}),
    "small": ((80, 80, 48), {"T1w": (1, 1, 2), "T2w": (0.8, 0.8, 2), "T2star": (0.5, 0.5, 3)}),
    "medium": ((96, 96, 96), {"T1w": (1, 1, 1), "T2w": (0.8, 0.8, 0.8), "T2star": (0.5, 0.5, 3)}),
    "large": ((128, 128, 160), {"T1w": (1, 1, 1), "T2w": (0.8, 0.8, 0.8), "T2star": (0.5, 0.5, 3)}),
}
_ORIENTATIONS = ("RPI", "LAS", "ASL", "RAS", "AIL", "LPI", "PSR", "SAR")
_GOLDEN = (math.sqrt(5) - 1) / 2
_README = """\
Synthetic MRI of the cervical spinal cord, written by ivadomed_create_phantom. Nobody was scanned.

Tissues get their signal from relaxation times and the flip angle, echo and repetition times of the sidecars.
derivatives/labels holds, for every image and on its grid: the spinal cord (seg-manual), its grey matter
(gmseg-manual), the cerebrospinal fluid around it (csfseg-manual), lesions (lesion-manual), their outlines
by two raters (lesion-manual-rater1, lesion-manual-rater2), and the posterior tips of the discs
(labels-disc-manual: one voxel per disc; its value is the number of the disc, 3 for C2/C3, 8 for C7/T1).
"""
_COLUMNS = {
    "sex": {"Description": "Sex of the participant", "Levels": {"M": "male", "F": "female"}},
    "age": {"Description": "Age of the participant", "Units": "years"},
    "pathology": {
        "Description": "Diagnosis",
        "Levels": {"HC": "healthy control", "MS": "multiple sclerosis"},
    },
    "institution_id": {
        "Description": "Institution that scanned the participant",
        "Levels": {site.id: site.name for site in SITES},
    },
}


@dataclass(frozen=True)
class Study:
    """Settings of a study; equal studies with equal seeds have equal voxels.

    seed: seed of all random draws; size: name of a preset in `SIZES`; shape: voxels right-left,
    anterior-posterior, inferior-superior of every image, None for the preset's; contrasts: of `CONTRASTS`;
    sessions: 1 (no session folder) or 2; lesions: fraction of subjects with lesions; coregistered: all
    contrasts of a session share a grid.
    """

    seed: int = 0
    size: str = "small"
    shape: Sequence[int] | None = None
    contrasts: Sequence[str] = CONTRASTS
    sessions: int = 1
    lesions: float = 0.5
    coregistered: bool = False

    def __post_init__(self) -> None:
        known = len(set(self.contrasts)) == len(self.contrasts) and {*self.contrasts} <= {*CONTRASTS}
        checks = (
            (self.seed >= 0, f"seed {self.seed}: expected 0 or more"),
            (self.size in SIZES, f"size {self.size!r}: expected one of {', '.join(SIZES)}"),
            (
                self.shape is None or (len(self.shape) == 3 and min(self.shape) > 0),
                f"shape {self.shape}: expected three positive numbers of voxels",
            ),
            (
                self.contrasts and known,
                f"contrasts {list(self.contrasts)}: expected some of {', '.join(CONTRASTS)}, each once",
            ),
            (self.sessions in (1, 2), f"sessions {self.sessions}: expected 1 or 2"),
            (0 <= self.lesions <= 1, f"lesions {self.lesions}: expected a share between 0 and 1"),
        )
        if problems := [text for holds, text in checks if not holds]:
            raise ConfigError("phantom: " + "; ".join(problems))

    def rng(self, purpose: str, *key: int) -> np.random.Generator:
        """Independent generator for one purpose, regardless of the number of subjects or processes."""
        return random_stream(self.seed, purpose, *key)

    def site(self, subject: int) -> Site:
        """Institution of a subject, assigned in turn."""
        return SITES[(subject + self.seed) % len(SITES)]

    def diseased(self, subject: int) -> bool:
        """Presence of lesions; a golden-ratio sequence keeps the fraction correct for any number of subjects."""
        return (0.5 + subject * _GOLDEN + self.seed * math.sqrt(2)) % 1.0 < self.lesions

    def grid(self, subject: int, session: int, contrast: str, anatomy: Anatomy) -> VoxelGrid:
        """Voxel grid of an image: slightly oblique, with varying orientation on disk."""
        number = CONTRASTS.index("T2w" if self.coregistered else contrast)
        rng = self.rng("grid", subject, session, number)
        (x, y, z), sizes = SIZES[self.size]
        dx, dy, dz = sizes[CONTRASTS[number]]
        if self.shape is not None:
            dx, dy, dz = x / self.shape[0], y / self.shape[1], z / self.shape[2]
        shape = round(x / dx), round(y / dy), round(z / dz)
        turn = self.rng("pose", subject, session).uniform(-3.5, 3.5, size=3) + rng.uniform(-0.8, 0.8, size=3)
        centre = anatomy.origin + rng.uniform(-2.0, 2.0, size=3)
        code = _ORIENTATIONS[(self.seed + 3 * subject + 5 * session + number) % len(_ORIENTATIONS)]
        return oblique_grid(shape, (dx, dy, dz), centre, turn, code)


def write_study(output: Path, n: int, study: Study, jobs: int = 1, overwrite: bool = False) -> Path:
    """Write the first `n` subjects of `study` as a BIDS data set.

    Args:
        output: Folder of the data set; it must not exist, be empty, or with `overwrite` hold an earlier
            phantom.
        n: Number of subjects.
        study: The study to write.
        jobs: Processes, as in joblib (-1: all cores). They do not affect the voxels.
        overwrite: Replace an earlier phantom.

    Returns:
        The folder.

    Raises:
        ConfigError: `n` is not positive.
        OutputError: The folder has other content.
    """
    if n < 1:
        raise ConfigError(f"phantom: number of subjects {n}: expected 1 or more")
    with staged(output, overwrite) as root:
        write_each(partial(write_subject, root, study), n, jobs)
        write_descriptions(root, "Spinal cord phantom", "1.4.0", _README)
        rows = [participant(study, subject) for subject in range(n)]
        write_tsv(root / "participants.tsv", ("participant_id", *_COLUMNS), rows)
        write_json(root / "participants.json", _COLUMNS)
    return output


def subject_name(subject: int) -> str:
    """BIDS label of a subject, numbered from 0."""
    return f"sub-{subject + 1:03d}"


def participant(study: Study, subject: int) -> tuple[object, ...]:
    """Row of `participants.tsv`; some entries are missing (None), as in real studies."""
    rng = study.rng("participant", subject)
    sex, age = rng.choice(["M", "F"]), int(rng.integers(19, 72))
    missing = rng.random(3) < (0.05, 0.1, 0.05)
    cells = (sex, age, "MS" if study.diseased(subject) else "HC")
    shown = tuple(None if gone else cell for cell, gone in zip(cells, missing, strict=True))
    return (subject_name(subject), *shown, study.site(subject).id)


def write_subject(root: Path, study: Study, subject: int) -> None:
    """Write the images, sidecars and labels of one subject."""
    name, site = subject_name(subject), study.site(subject)
    height = SIZES[study.size][0][2]
    anatomy = Anatomy(study.rng("anatomy", subject), height, study.diseased(subject))
    for session in range(study.sessions):
        if session:
            later = at_follow_up(anatomy.lesions, study.rng("follow-up", subject, session), height)
            anatomy = anatomy.with_lesions(later)
        first, second = (
            as_rated(anatomy.lesions, study.rng("rater", subject, session, rater)) for rater in (1, 2)
        )
        entities = (name,) if study.sessions == 1 else (name, f"ses-{session + 1:02d}")
        folder, stem = Path(*entities, "anat"), "_".join(entities)
        for contrast in study.contrasts:
            rng = study.rng("noise", subject, session, CONTRASTS.index(contrast))
            grid = study.grid(subject, session, contrast, anatomy)
            image, labels = acquire(anatomy, (first, second), grid, site, contrast, rng)
            save_nifti(grid.to_nifti(image), root / folder / f"{stem}_{contrast}.nii.gz")
            write_json(root / folder / f"{stem}_{contrast}.json", site.sidecar(contrast))
            for suffix, label in labels.items():
                file = f"{stem}_{contrast}_{suffix}.nii.gz"
                save_nifti(grid.to_nifti(label), root / "derivatives" / "labels" / folder / file)
    if study.sessions == 2:
        months = int(study.rng("interval", subject).integers(6, 25))
        rows = (("ses-01", 0), ("ses-02", months))
        write_tsv(root / name / f"{name}_sessions.tsv", ("session_id", "months_since_first"), rows)
