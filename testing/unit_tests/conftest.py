"""Small cases, packaged models and images that the tests of several modules use."""

from itertools import permutations, product
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from nibabel.orientations import axcodes2ornt, io_orientation, ornt_transform

from ivadomed.images.labels import LabelFile
from ivadomed.loader.cases.case import Case

ORIENTATIONS = ["".join(codes) for axes in permutations(("RL", "AP", "SI")) for codes in product(*axes)]
AFFINE = np.array([[-1.0, 0, 0, 30], [0, 0, 1.0, -3], [0, 1.0, 0, 7], [0, 0, 0, 1]])


@pytest.fixture
def image(tmp_path):
    def make(name="sub-01_T1w.nii.gz", shape=(20, 5, 18), seed=0):
        data = np.random.default_rng(seed).integers(0, 900, shape).astype(np.int16)
        picture = nib.Nifti1Image(data, AFFINE)
        picture.set_qform(AFFINE, code=1)
        picture.set_sform(AFFINE, code=2)
        nib.save(picture, tmp_path / name)
        return tmp_path / name

    return make


@pytest.fixture(params=ORIENTATIONS)
def stored_as(request):
    """Return a function that stores a NIfTI file in another order of its axes, at the same place."""

    def store(path: Path) -> Path:
        image = nib.load(path)
        turn = ornt_transform(io_orientation(image.affine), axcodes2ornt(request.param))
        nib.save(image.as_reoriented(turn), path)
        assert "".join(nib.aff2axcodes(nib.load(path).affine)) == request.param
        return path

    return store


@pytest.fixture
def make_case(tmp_path):
    """Return a function that writes images and labels and gives their case."""

    def make(
        name: str = "sub-01_T1w",
        shape=(12, 14, 5),
        zooms=(1.0, 1.0, 2.0),
        channels=1,
        classes=1,
        seed=0,
        roi=False,
    ) -> Case:
        rng = np.random.default_rng(seed)
        affine = np.diag([*zooms, 1.0])

        def write(stem: str, data: np.ndarray) -> Path:
            path = tmp_path / f"{stem}.nii.gz"
            nib.save(nib.Nifti1Image(data, affine), path)
            return path

        def ball(radius: float) -> np.ndarray:
            grid = np.stack(np.meshgrid(*(np.arange(n) - n // 2 for n in shape), indexing="ij"))
            return ((grid**2).sum(0) <= radius**2).astype(np.uint8)

        return Case(
            id=name,
            images=tuple(write(f"{name}_{c}", rng.random(shape).astype(np.float32)) for c in range(channels)),
            targets=tuple((LabelFile(write(f"{name}_seg{k}", ball(3.0 - k))),) for k in range(classes)),
            subject=name.split("_")[0],
            contrasts=("T1w",) * channels,
            roi=LabelFile(write(f"{name}_roi", ball(2.0))) if roi else None,
        )

    return make
