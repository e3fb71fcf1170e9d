"""The documented 3D data set."""

import nibabel as nib
import numpy as np
import pytest
import torch

from ivadomed.compat.pairs import filename_pair_of
from ivadomed.loader.mri3d_subvolume_segmentation_dataset import MRI3DSubVolumeSegmentationDataset
from ivadomed.loader.patch_filter import PatchFilter
from ivadomed.transforms import prepare_transforms


def make(cases, transforms=None, **options):
    chain, undo = prepare_transforms(transforms or {})
    pairs = [filename_pair_of(case) for case in cases]
    return MRI3DSubVolumeSegmentationDataset(pairs, transform=chain, slice_axis=2, **options), undo


@pytest.mark.parametrize("disk_cache", [True, False])
def test_patches_cover_the_volume_and_know_their_place(make_case, disk_cache):
    case = make_case(shape=(12, 14, 8), channels=2)
    data, _ = make([case], length=(8, 8, 4), stride=(4, 6, 4), disk_cache=disk_cache)
    assert len(data) == 2 * 2 * 2
    image, label = nib.load(case.images[1]).get_fdata(), nib.load(case.targets[0][0].path).get_fdata()
    seen = np.zeros(image.shape, int)
    for i in range(len(data)):
        item = data[i]
        x0, x1, y0, y1, z0, z1 = item["input_metadata"][1]["coord"]
        box = np.s_[x0:x1, y0:y1, z0:z1]
        seen[box] += 1
        np.testing.assert_allclose(item["input"][1], image[box], rtol=1e-6)
        np.testing.assert_array_equal(item["gt"][0], label[box])
    assert seen.all()
    assert item["gt"].dtype == torch.uint8


def test_stride_zero_is_the_length(make_case):
    data, _ = make([make_case(shape=(12, 14, 8))], length=(6, 7, 4))
    assert data.stride == [6, 7, 4]
    assert len(data) == 2 * 2 * 2


def test_a_volume_goes_back_to_the_native_grid(make_case):
    transforms = {
        "CenterCrop": {"size": [16, 16, 8]},
        "RandomReverse": {},
        "NormalizeInstance": {"applied_to": ["im"]},
    }
    case = make_case()
    data, undo = make([case], transforms, length=(16, 16, 8), disk_cache=None)
    item = data[0]
    native, _ = undo(item["gt"].float(), item["gt_metadata"], data_type="gt")
    np.testing.assert_array_equal(native[0], nib.load(case.targets[0][0].path).get_fdata())


def test_resampling_is_recorded(make_case):
    transforms = {"Resample": {"hspace": 1, "wspace": 1, "dspace": 1}}
    data, _ = make([make_case()], transforms, length=(12, 14, 10), disk_cache=False)
    record = data[0]["input_metadata"][0]
    assert record["zooms"] == (1.0, 1.0, 1.0)
    assert record["preresample_shape"] == (12, 14, 5)
    assert record["data_shape"] == (12, 14, 5)


def test_filter(make_case):
    case = make_case(shape=(16, 16, 8))
    keep = PatchFilter(filter_empty_mask=True, is_train=True)
    data, _ = make([case], length=(4, 4, 4), subvolume_filter_fn=keep, disk_cache=False)
    # The ball of radius 3 around (8, 8, 4) reaches two patches along every axis.
    assert len(data) == 8


def test_memory_or_disk(make_case):
    data, _ = make([make_case()], length=(4, 4, 4))
    assert not data.determine_cache_need({"input": np.zeros(1000)}, None)
    assert data.determine_cache_need(
        {"input": np.zeros(100_000_000, np.uint8)}, {"gt": np.zeros(200_000_000, np.uint8)}
    )
