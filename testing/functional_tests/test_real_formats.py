"""Every kind of real data that the loader names: formats of pictures, micrographs, CT, custom layouts."""

from pathlib import Path

import imageio.v3 as iio
import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from ivadomed.config import CONFIG_DIR
from ivadomed.images.io import read_image
from ivadomed.loader.bids_dataframe import BidsDataframe
from ivadomed.loader.cases.grouping import build_cases
from ivadomed.loader.cases.volumes import read_volume

pytestmark = pytest.mark.real_data

LUMA = np.array([0.299, 0.587, 0.114])
VARIANTS = [
    *(
        f"png/micr/sub-png_sample-{bits}{kind}_SEM.png"
        for bits in (8, 16)
        for kind in ("gray", "rgb", "rgba")
    ),
    "png/micr/sub-png_sample-8grayalhpa_SEM.png",
    "png/micr/sub-png_sample-8grayalpha_SEM.png",
    *(
        f"tif/micr/sub-tif_sample-{bits}{kind}_SEM.tif"
        for bits in (8, 16)
        for kind in ("gray", "rgb", "rgba")
    ),
]


def variants(real_data: Path) -> Path:
    return real_data / "data_testing" / "data_test_png_tif"


def of_pillow(path: Path) -> np.ndarray:
    """Grey values by Pillow, which knows grey of 16 bits but colour of 8 only."""
    pixels = np.asarray(Image.open(path))
    if pixels.ndim == 2:
        return pixels.astype(float)
    return pixels[..., 0].astype(float) if pixels.shape[2] == 2 else pixels[..., :3] @ LUMA


@pytest.mark.parametrize("name", [name for name in VARIANTS if "-8" in name or "16gray" in name])
def test_values_agree_with_pillow(real_data, name):
    path = variants(real_data) / f"sub-{name}"
    np.testing.assert_allclose(read_image(path).data[..., 0], of_pillow(path), rtol=1e-6)


@pytest.mark.parametrize("name", [name for name in VARIANTS if "-16" in name])
def test_sixteen_bits_are_the_picture_of_eight_bits(real_data, name):
    """The 16-bit files were made from 8 bits: each value is repeated in the lower byte, v * 257."""
    eight = variants(real_data) / "sub-tif" / "micr" / "sub-tif_sample-8gray_SEM.tif"
    data = read_image(variants(real_data) / f"sub-{name}").data[..., 0]
    np.testing.assert_allclose(data / 257, iio.imread(eight), rtol=1e-6)


def cases_of(folder: Path, contrasts, suffixes, extensions, *, labelled=True, **others):
    params = {
        "path_data": [str(folder)],
        "target_suffix": suffixes,
        "extensions": extensions,
        "contrast_params": {"contrast_lst": contrasts},
        **others,
    }
    bids_df = BidsDataframe(params, folder, derivatives=labelled)
    found = build_cases(
        bids_df,
        bids_df.get_subject_fnames(),
        target_suffix=suffixes,
        contrasts=contrasts,
        multichannel=False,
        require_target=labelled,
    )
    assert not found.dropped
    return {case.id: case for case in found.cases}


def test_all_variants_in_one_data_set(real_data):
    cases = cases_of(variants(real_data), ["SEM"], [], [".png", ".tif"], labelled=False)
    assert len(cases) == len(VARIANTS)
    for case in cases.values():
        volume = read_volume(case, slice_axis=2)
        assert volume.image.shape[0] == 1
        assert volume.grid.zooms[:2] == pytest.approx((0.07e-3, 0.07e-3))  # 0.07 um, from sub-*_SEM.json


def test_micrographs_with_sessions_samples_and_runs(real_data):
    folder = real_data / "data_testing" / "microscopy_png"
    cases = cases_of(folder, ["SEM"], ["_seg-axon-manual", "_seg-myelin-manual"], [".png"])
    pixel_mm = {  # rows, columns; the sidecars say [X, Y] in mm, um and nm
        "sub-rat2_sample-data5_SEM": (9.3e-5, 9.3e-5),
        "sub-rat3_ses-01_sample-data9_SEM": (2e-4, 1e-4),
        "sub-rat3_ses-02_sample-data10_SEM": (1e-4, 1e-4),
        "sub-rat3_ses-02_sample-data11_run-1_SEM": (1e-4, 1e-4),
        "sub-rat3_ses-02_sample-data11_run-2_SEM": (1e-4, 1e-4),
    }
    assert cases.keys() == pixel_mm.keys()
    for name, case in cases.items():
        volume = read_volume(case, slice_axis=2)
        assert volume.grid.zooms == pytest.approx((*pixel_mm[name], 1))
        np.testing.assert_array_equal(volume.image[0, ..., 0], iio.imread(case.images[0]))
        for label, target in zip(case.rater_files, volume.target, strict=True):
            np.testing.assert_array_equal(target[..., 0], iio.imread(label.path) > 127)
        assert case.metadata["sample_type"] == "tissue"


def test_a_custom_layout_finds_the_same_micrographs(real_data):
    folder = real_data / "data_testing" / "microscopy_png"
    arguments = folder, ["SEM"], ["_seg-axon-manual"], [".png"]
    custom = cases_of(*arguments, bids_config=str(CONFIG_DIR / "config_bids.json"))
    assert custom.keys() == cases_of(*arguments).keys()
    assert custom["sub-rat3_ses-02_sample-data11_run-2_SEM"].metadata["sample"] == "data11"


@pytest.mark.parametrize(("slice_axis", "order"), [(2, (0, 1, 2)), (1, (2, 0, 1)), (0, (2, 1, 0))])
def test_computed_tomography(real_data, slice_axis, order):
    cases = cases_of(real_data / "data_testing" / "ct_scan", ["ct"], ["_seg-manual"], [".nii.gz"])
    [case] = cases.values()
    volume = read_volume(case, slice_axis)
    image = nib.as_closest_canonical(nib.load(case.images[0]))
    label = nib.as_closest_canonical(nib.load(case.targets[0][0].path))
    np.testing.assert_array_equal(volume.image[0], image.get_fdata(dtype=np.float32).transpose(order))
    np.testing.assert_array_equal(volume.target[0], label.get_fdata().transpose(order))
    assert volume.grid.zooms == pytest.approx(np.take(image.header.get_zooms(), order), rel=1e-5)
