"""The estimate of what prepared cases take."""

from dataclasses import replace

import imageio.v3 as iio
import numpy as np
import pytest

from ivadomed.images import io
from ivadomed.images.labels import LabelFile
from ivadomed.loader.cases.case import Case
from ivadomed.loader.prepared.cache import open_cases
from ivadomed.loader.prepared.checks import prepared_bytes
from ivadomed.loader.prepared.prepare import Recipe
from ivadomed.transforms import Pipeline

RESAMPLE = {"Resample": {"hspace": 0.5, "wspace": 0.4, "dspace": 1}}


@pytest.mark.parametrize(
    ("steps", "is_2d", "voxels", "label_bytes"),
    [
        ({}, True, 5 * 12 * 14, 1),
        ({"CenterCrop": {"size": [16, 8]}}, True, 5 * 16 * 8, 1),
        (RESAMPLE, True, 5 * 24 * 35, 4),
        (RESAMPLE, False, 24 * 35 * 10, 4),
        (RESAMPLE | {"ROICrop": {"size": [7, 6]}}, True, 5 * 7 * 6, 4),
        ({"ROICrop": {"size": [7, 6, 3]}}, False, 7 * 6 * 3, 1),
        ({"Resample": {"hspace": 1, "wspace": 1, "dspace": 2}}, False, 12 * 14 * 5, 1),
    ],
)
def test_the_estimate_is_what_memory_holds(make_case, tmp_path, steps, is_2d, voxels, label_bytes):
    case = make_case(channels=2, classes=2, roi=True)  # 12 x 14 x 5 voxels of 1 x 1 x 2 mm
    recipe = Recipe(Pipeline.from_config(steps), is_2d=is_2d)
    expected = voxels * 2 * (4 + label_bytes)
    assert prepared_bytes([case, case], recipe) == 2 * expected
    [entry] = open_cases([case], recipe, "memory", tmp_path)
    assert entry.image.nbytes + entry.target.nbytes == expected
    assert prepared_bytes([case], replace(recipe, soft_gt=True)) == voxels * 2 * (4 + 4)


@pytest.mark.parametrize("is_2d", [True, False])
def test_the_estimate_is_the_size_of_the_file(make_case, tmp_path, is_2d):
    recipe = Recipe(Pipeline.from_config(RESAMPLE), is_2d=is_2d)
    case = make_case(shape=(33, 40, 9))
    open_cases([case], recipe, "disk", tmp_path / "cache")
    [path] = (tmp_path / "cache").iterdir()
    header = path.stat().st_size - prepared_bytes([case], recipe, in_blocks=True)
    assert header in (4096, 2 * 4096)  # it holds the places of labelled voxels too


@pytest.mark.parametrize("extension", ["png", "tif", "jpg"])
@pytest.mark.parametrize("shape", [(30, 20), (30, 20, 3)])
def test_pictures_are_not_read(tmp_path, extension, shape, monkeypatch):
    path = tmp_path / f"sub-1_SEM.{extension}"
    iio.imwrite(path, np.zeros(shape, np.uint8))
    case = Case(
        "sub-1_SEM",
        (path,),
        ((LabelFile(path),),),
        metadata={"PixelSize": [0.2, 0.1], "PixelSizeUnits": "um"},
    )
    monkeypatch.setattr(io, "read_image", None)
    monkeypatch.setattr(iio, "imread", None)
    recipe = Recipe(Pipeline.from_config({"Resample": {"hspace": 0.0002, "wspace": 0.0002}}))
    assert prepared_bytes([case], recipe) == 15 * 20 * (4 + 4)
