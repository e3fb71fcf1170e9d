"""A BIDS study of the cervical spinal cord: subjects, sessions, contrasts, labels, tables."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path

import nibabel as nib
import numpy as np
from joblib import Parallel, delayed

from ivadomed.errors import ConfigError

from .acquire import Acquisition, Scan, acquire
from .anatomy import Anatomy, random_anatomy
from .contrast import SEQUENCES
from .files import staged, write_descriptions, write_json, write_tsv
from .lesions import as_rated, at_follow_up
from .sampling import Grid, oblique_grid
from .seeds import stream
from .sites import SITES, SIZES, Site

CONTRASTS = tuple(SEQUENCES)
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
    """What a study contains; equal studies with equal seeds have equal voxels.

    seed: seed of everything drawn; size: name of a preset in `SIZES`; shape: voxels right-left,
    anterior-posterior, inferior-superior of every image, None for the preset's; contrasts: of `CONTRASTS`;
    sessions: 1 (no session folder) or 2; lesions: share of the subjects with lesions; coregistered: all
    contrasts of a session share a grid.
    """

    seed: int = 0
    size: str = "small"
    shape: tuple[int, int, int] | None = None
    contrasts: tuple[str, ...] = CONTRASTS
    sessions: int = 1
    lesions: float = 0.5
    coregistered: bool = False

    def __post_init__(self) -> None:
        problems = []
        if self.seed < 0:
            problems.append(f"seed {self.seed}: expected 0 or more")
        if self.size not in SIZES:
            problems.append(f"size {self.size!r}: expected one of {', '.join(SIZES)}")
        if self.shape is not None and (len(self.shape) != 3 or min(self.shape) < 1):
            problems.append(f"shape {self.shape}: expected three positive numbers of voxels")
        unknown = [name for name in self.contrasts if name not in CONTRASTS]
        if unknown or not self.contrasts or len(set(self.contrasts)) < len(self.contrasts):
            problems.append(
                f"contrasts {list(self.contrasts)}: expected some of {', '.join(CONTRASTS)}, each once"
            )
        if self.sessions not in (1, 2):
            problems.append(f"sessions {self.sessions}: expected 1 or 2")
        if not 0 <= self.lesions <= 1:
            problems.append(f"lesions {self.lesions}: expected a share between 0 and 1")
        if problems:
            raise ConfigError("phantom: " + "; ".join(problems))

    def rng(self, purpose: str, *key: int) -> np.random.Generator:
        """Independent generator for one purpose, the same however many subjects or processes there are."""
        return stream(self.seed, purpose, *key)

    def site(self, subject: int) -> Site:
        """Institution of a subject; they take turns."""
        return SITES[(subject + self.seed) % len(SITES)]

    def diseased(self, subject: int) -> bool:
        """Whether a subject has lesions; a golden-ratio sequence keeps the share right for any number."""
        return (0.5 + subject * _GOLDEN + self.seed * math.sqrt(2)) % 1.0 < self.lesions

    def grid(self, subject: int, session: int, contrast: str, anatomy: Anatomy) -> Grid:
        """Voxel grid of an image: a little oblique, with changing orientation on disk."""
        number = CONTRASTS.index("T2w" if self.coregistered else contrast)
        rng = self.rng("grid", subject, session, number)
        preset = SIZES[self.size]
        shape, zooms = (
            preset.sampling(CONTRASTS[number]) if self.shape is None else preset.resampled(self.shape)
        )
        turn = self.rng("pose", subject, session).uniform(-3.5, 3.5, size=3) + rng.uniform(-0.8, 0.8, size=3)
        centre = anatomy.origin + rng.uniform(-2.0, 2.0, size=3)
        code = _ORIENTATIONS[(self.seed + 3 * subject + 5 * session + number) % len(_ORIENTATIONS)]
        return oblique_grid(shape, zooms, centre, turn, code)


def write_study(output: Path, n: int, study: Study, jobs: int = 1, overwrite: bool = False) -> Path:
    """Write the first `n` subjects of `study` as a BIDS data set.

    Args:
        output: Folder of the data set; it must not exist, be empty, or with `overwrite` hold an earlier
            phantom.
        n: Number of subjects.
        study: What to write.
        jobs: Processes, as in joblib (-1: all cores). The voxels do not depend on it.
        overwrite: Replace an earlier phantom.

    Returns:
        The folder.

    Raises:
        ConfigError: `n` is not positive.
        OutputError: The folder holds something else.
    """
    if n < 1:
        raise ConfigError(f"phantom: number of subjects {n}: expected 1 or more")
    with staged(output, overwrite) as root:
        Parallel(n_jobs=min(jobs, n))(delayed(write_subject)(root, study, subject) for subject in range(n))
        write_descriptions(root, "Spinal cord phantom", "1.4.0", _README)
        rows = [participant(study, subject) for subject in range(n)]
        write_tsv(root / "participants.tsv", ("participant_id", *_COLUMNS), rows)
        write_json(root / "participants.json", _COLUMNS)
    return output


def subject_name(subject: int) -> str:
    """BIDS label of the subject with a number from 0."""
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
    height = SIZES[study.size].field_of_view[2]
    anatomy = random_anatomy(study.rng("anatomy", subject), height, study.diseased(subject))
    for session in range(study.sessions):
        if session:
            anatomy = replace(
                anatomy,
                lesions=at_follow_up(anatomy.lesions, study.rng("follow-up", subject, session), height),
            )
        raters = (
            as_rated(anatomy.lesions, study.rng("rater", subject, session, 1)),
            as_rated(anatomy.lesions, study.rng("rater", subject, session, 2)),
        )
        entities = (name,) if study.sessions == 1 else (name, f"ses-{session + 1:02d}")
        for contrast in study.contrasts:
            rng = study.rng("noise", subject, session, CONTRASTS.index(contrast))
            scan = Scan(site.sequence(contrast), site.tesla, site.snr, site.gain, site.float_data)
            grid = study.grid(subject, session, contrast, anatomy)
            acquisition = acquire(anatomy, raters, grid, scan, rng)
            _write_acquisition(root, entities, contrast, acquisition)
            write_json(
                _image_path(root, entities, contrast).with_suffix("").with_suffix(".json"),
                site.sidecar(contrast),
            )
    if study.sessions == 2:
        months = int(study.rng("interval", subject).integers(6, 25))
        rows = (("ses-01", 0), ("ses-02", months))
        write_tsv(root / name / f"{name}_sessions.tsv", ("session_id", "months_since_first"), rows)


def _image_path(root: Path, entities: tuple[str, ...], suffix: str) -> Path:
    return root.joinpath(*entities, "anat", "_".join((*entities, suffix)) + ".nii.gz")


def _write_acquisition(
    root: Path, entities: tuple[str, ...], contrast: str, acquisition: Acquisition
) -> None:
    files = {_image_path(root, entities, contrast): acquisition.image}
    labels = root / "derivatives" / "labels"
    files |= {
        _image_path(labels, entities, f"{contrast}_{key}"): data for key, data in acquisition.labels.items()
    }
    for path, data in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        nib.save(acquisition.grid.to_nifti(data), path)
