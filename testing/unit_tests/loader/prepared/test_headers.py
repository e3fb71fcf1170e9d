"""What shows without reading voxels, and what does not fit into batches."""

from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest
import torch

from ivadomed.config import load_config
from ivadomed.data_check.files import check_case
from ivadomed.errors import DataError
from ivadomed.geometry.grid import Grid
from ivadomed.images.io import write_picture
from ivadomed.loader.cases.case import Case
from ivadomed.loader.prepared.checks import check_headers, check_sizes, prepared_shape
from ivadomed.loader.prepared.prepare import Recipe, prepare_case
from ivadomed.loader.samples import Batch
from ivadomed.models import build_model
from ivadomed.transforms import Pipeline

RESAMPLE = Recipe(Pipeline.from_config({"Resample": {"hspace": 2, "wspace": 2}}))
PLAIN = Recipe(Pipeline())


def shift(path):
    image = nib.load(path)
    affine = image.affine.copy()
    affine[:3, 3] += 5
    nib.save(nib.Nifti1Image(np.asarray(image.dataobj), affine), path)


def test_headers_of_good_cases_pass_and_voxels_are_not_read(make_case):
    case = make_case(channels=2, classes=2, roi=True)
    content = case.images[0].read_bytes()
    check_headers([case], RESAMPLE)
    case.images[0].write_bytes(content[:-20])  # the last voxels are missing
    check_headers([case], RESAMPLE)


def test_faults_in_headers_are_counted(make_case):
    cases = [make_case(f"sub-0{i}_T1w") for i in range(1, 5)]
    shift(cases[1].targets[0][0].path)
    with pytest.raises(DataError, match=r"sub-02_T1w_seg0.nii.gz lies on another grid") as one:
        check_headers(cases, PLAIN)
    assert "\n" not in str(one.value)
    image = nib.load(cases[2].images[0])
    nib.save(nib.Nifti1Image(np.zeros((12, 14, 5, 3)), image.affine), cases[2].images[0])
    cases[3].images[0].write_bytes(b"")
    with pytest.raises(
        DataError, match=r"(?s)another grid.*\n2 more images have a fault; ivadomed_check_data"
    ):
        check_headers(cases, PLAIN)


def test_the_same_voxels_in_another_order_are_no_fault(make_case, stored_as):
    case = make_case(channels=2, roi=True)
    for path in (case.images[1], case.targets[0][0].path, case.roi.path):
        stored_as(path)
    check_headers([case], RESAMPLE)
    assert check_case(case, PLAIN).findings == []


def test_pictures_need_a_pixel_size_only_to_be_resampled(tmp_path):
    write_picture(tmp_path / "a_SEM.png", np.zeros((4, 4), np.uint8))
    case = Case("a_SEM", (tmp_path / "a_SEM.png",))
    check_headers([case], PLAIN)
    check_headers([replace(case, metadata={"PixelSize": [0.1, 0.1]})], RESAMPLE)
    for read in (lambda: check_headers([case], RESAMPLE), lambda: prepare_case(case, RESAMPLE)):
        with pytest.raises(DataError, match=r"a_SEM\.png: its pixel size is unknown.*PixelSizeUnits"):
            read()


@pytest.mark.parametrize("is_2d", [True, False])
@pytest.mark.parametrize("crop", ["CenterCrop", "ROICrop"])
def test_the_prepared_shape_is_foretold(make_case, is_2d, crop):
    case = make_case(roi=True)
    size = [8, 6] if is_2d else [8, 6, 4]
    steps = {"Resample": {"hspace": 0.5, "wspace": 0.8, "dspace": 1}, crop: {"size": size}}
    for config in (steps, {"Resample": steps["Resample"]}):
        recipe = Recipe(Pipeline.from_config(config), is_2d=is_2d)
        image = prepare_case(case, recipe).image
        grid = Grid((12, 14, 5), nib.load(case.images[0]).affine)
        assert prepared_shape(grid, recipe) == image.shape[2 if is_2d else 1 :]


SHAPES = {"sub-01_T1w": (32, 32), "sub-02_T1w": (32, 32), "sub-03_T1w": (30, 32)}


UNET = load_config({}).architecture


def test_sizes_in_a_batch():
    check_sizes(SHAPES, (16, 16), UNET, batch_size=4)
    check_sizes(SHAPES, (), UNET, batch_size=1)
    check_sizes({"sub-01_T1w": (32, 32)}, (), UNET, batch_size=4)
    with pytest.raises(DataError, match=r"sub-01_T1w has 32x32 .* sub-03_T1w has 30x32.*CenterCrop"):
        check_sizes(SHAPES, (), UNET, batch_size=4)


@pytest.mark.parametrize(
    ("name", "depth", "least", "shape"),
    [
        ("Unet", 3, (8, 8), (7, 40)),
        ("Unet", 4, (16, 16), (15, 15)),
        ("FiLMedUnet", 3, (8, 8), (7, 40)),
        ("HeMISUnet", 3, (8, 8), (7, 40)),
    ],
)
def test_sizes_that_a_network_can_take(name, depth, least, shape):
    """A sample of the least size goes through the network, and one that is too small does not."""
    section = {} if name == "Unet" else {name: {"applied": True}}
    contrasts = {"training_validation": ["T1w", "T2w"]}
    sections = {
        "default_model": {"name": "Unet", "depth": depth, "n_filters": 2},
        "loader_parameters": {"contrast_params": contrasts, "multichannel": True},
    }
    config = load_config({**section, **sections})
    arguments = config.architecture.arguments | {"n_filters": 2}
    arguments |= {"n_metadata": 3} if name == "FiLMedUnet" else {}
    network = build_model(name, arguments)

    def forward(size):
        image = torch.zeros(2, 2, *size)
        condition = torch.ones(2, 2 if name == "HeMISUnet" else 3)
        with torch.no_grad():
            return network(*network.inputs(Batch(image, None, condition, ())))

    check_sizes({"a": least}, (), config.architecture)
    assert forward(least).shape[2:] == least
    with pytest.raises(
        DataError, match=rf"samples of {'x'.join(map(str, shape))} voxels are too small for {name}"
    ):
        check_sizes({"a": shape}, (), config.architecture)
    with pytest.raises((RuntimeError, ValueError)):
        forward(shape)
