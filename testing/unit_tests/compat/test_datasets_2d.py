"""The documented 2D data set."""

import gc
import pickle
from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from ivadomed.compat.pairs import filename_pair_of
from ivadomed.errors import DataError
from ivadomed.loader.balanced_sampler import BalancedSampler
from ivadomed.loader.mri2d_segmentation_dataset import MRI2DSegmentationDataset
from ivadomed.loader.patch_filter import PatchFilter
from ivadomed.loader.slice_filter import SliceFilter
from ivadomed.loader.utils import imed_collate
from ivadomed.transforms import prepare_transforms

SHAPE = (12, 14, 5)


def make(cases, transforms=None, **options):
    chain, undo = prepare_transforms(transforms or {})
    pairs = [filename_pair_of(case) for case in cases]
    return MRI2DSegmentationDataset(pairs, transform=chain, **options), undo


def voxels(path):
    return nib.load(path).get_fdata()


def test_items_are_slices_in_order(make_case):
    case = make_case(channels=2, classes=2)
    data, _ = make([case])
    data.load_filenames()
    assert len(data) == 5
    item = data[3]
    assert item["input"].dtype == torch.float32
    np.testing.assert_allclose(item["input"][1], voxels(case.images[1])[..., 3], rtol=1e-6)
    assert item["gt"].dtype == torch.uint8
    np.testing.assert_array_equal(item["gt"][1], voxels(case.targets[1][0].path)[..., 3])
    assert item["roi"] is None
    assert item["roi_metadata"] == []
    assert [record["slice_index"] for record in item["input_metadata"]] == [3, 3]
    assert len(item["gt_metadata"]) == 2
    assert item["input_metadata"][0]["zooms"] == (1.0, 1.0, 2.0)


@pytest.mark.parametrize("disk_cache", [None, True, False])
def test_a_prediction_goes_back_to_the_native_slice(make_case, disk_cache):
    # Padding and mirroring lose nothing, so that the label itself comes back.
    transforms = {
        "CenterCrop": {"size": [20, 16]},
        "RandomReverse": {},
        "NormalizeInstance": {"applied_to": ["im"]},
    }
    case = make_case()
    data, undo = make([case], transforms, disk_cache=disk_cache)
    item = data[1]
    assert item["gt"].shape == (1, 20, 16)
    native, _ = undo(item["gt"].float(), item["gt_metadata"], data_type="gt")
    np.testing.assert_array_equal(native[0], voxels(case.targets[0][0].path)[..., 1])


def test_undo_goes_through_resampling_and_rotation(make_case):
    transforms = {
        "Resample": {"hspace": 0.5, "wspace": 0.5, "dspace": 1},
        "CenterCrop": {"size": [40, 40]},
        "RandomAffine": {"degrees": 30, "translate": [0.05, 0.05]},
    }
    case = make_case(shape=(24, 20, 5), zooms=(1.0, 1.0, 1.0))
    data, undo = make([case], transforms, soft_gt=True)
    truth = voxels(case.targets[0][0].path)[..., 2]
    for _ in range(3):
        item = data[2]
        assert item["input_metadata"][0]["zooms"] == (0.5, 0.5, 1.0)
        assert item["input_metadata"][0]["preresample_shape"] == (24, 20)
        native, _ = undo(item["gt"], item["gt_metadata"], data_type="gt")
        mask = native[0] > 0.5
        assert mask.shape == truth.shape
        assert 2 * (mask * truth).sum() / (mask.sum() + truth.sum()) > 0.85


def test_roi_crop_follows_each_slice_and_is_undone(make_case):
    case = make_case(roi=True)
    data, undo = make([case], {"ROICrop": {"size": [6, 6]}}, roi_params={"slice_filter_roi": 5})
    # The ROI is a ball of radius 2 around slice 2: 1, 9, 13, 9, 1 voxels.
    assert [window.start[2] for window in data.indexes] == [1, 2, 3]
    item = data[0]
    assert item["roi"].shape == (1, 6, 6)
    assert item["roi"].sum() == 9
    assert item["input_metadata"][0]["crop_params"]["ROICrop"] == (3, 4)
    native, _ = undo(item["roi"], item["roi_metadata"], data_type="roi")
    np.testing.assert_array_equal(native[0], voxels(case.roi.path)[..., 1])


def test_the_roi_filters_only_where_it_is_cropped_around(make_case):
    case = make_case(roi=True)
    everything = [0, 1, 2, 3, 4]
    assert [w.start[2] for w in make([case], roi_params={"slice_filter_roi": 5})[0].indexes] == everything
    crop = {"ROICrop": {"size": [6, 6]}}
    kept = {
        n: [w.start[2] for w in make([case], crop, roi_params={"slice_filter_roi": n})[0].indexes]
        for n in (None, 9, 10)
    }
    assert kept == {None: everything, 9: [1, 2, 3], 10: [2]}


def test_the_roi_is_no_class_for_the_filters(make_case):
    case = make_case(shape=(12, 14, 7), roi=True)
    case = replace(case, targets=(None,))
    data, _ = make([case], slice_filter_fn=SliceFilter(filter_empty_mask=True))
    assert len(data) == 0


def test_patches_know_their_place(make_case):
    case = make_case()
    data, _ = make([case], length=[8, 6], stride=[4, 5])
    assert data.is_2d_patch
    assert len(data) == 5 * 2 * 3  # starts 0 4 | 0 5 8
    image = voxels(case.images[0])
    for item in (data[0], data[4], data[29]):
        record = item["input_metadata"][0]
        x0, x1, y0, y1 = record["coord"]
        np.testing.assert_allclose(item["input"][0], image[x0:x1, y0:y1, record["slice_index"]], rtol=1e-6)


def test_patch_filter_looks_at_patches(make_case):
    case = make_case()
    keep = PatchFilter(filter_empty_mask=True, is_train=True)
    data, _ = make([case], length=[4, 4], patch_filter_fn=keep)
    everything, _ = make([case], length=[4, 4])
    labelled = [item for item in map(everything.__getitem__, range(len(everything))) if item["gt"].any()]
    assert 0 < len(data) == len(labelled) < len(everything)


def test_patch_filter_counts_raters_as_one_class(make_case):
    case = make_case(classes=2)
    raters = replace(case, targets=((case.targets[0][0], case.targets[1][0]), case.targets[0]))
    keep = PatchFilter(filter_empty_mask=True, is_train=True)
    assert len(make([raters], patch_filter_fn=keep)[0]) == 5


def test_any_function_filters_slices(make_case):
    seen = []

    def bright(sample):
        seen.append(sample["input"][0].shape)
        return sample["input_metadata"][0]["slice_index"] % 2 == 0

    data, _ = make([make_case()], {"CenterCrop": {"size": [8, 8]}}, slice_filter_fn=bright)
    assert [window.start[2] for window in data.indexes] == [0, 2, 4]
    assert set(seen) == {(12, 14)}  # slices as they were read


def test_one_rater_is_drawn_per_call(make_case):
    case = make_case(classes=2)
    raters = replace(case, targets=((case.targets[0][0], case.targets[1][0]),))
    data, _ = make([raters])
    sums = {int(data[2]["gt"].sum()) for _ in range(30)}
    assert sums == {int(voxels(raters.targets[0][i].path)[..., 2].sum()) for i in (0, 1)}


def test_classification_labels(make_case):
    data, _ = make([make_case(shape=(12, 14, 7), classes=2)], task="classification")
    # Balls of radius 3 and 2 around slice 3 of 7.
    assert data[0]["gt"].tolist() == [1, 0]
    assert data[3]["gt"].tolist() == [1, 1]


def test_soft_labels_stay_soft(make_case):
    transforms = {"Resample": {"hspace": 0.75, "wspace": 0.75}}
    gt = make([make_case()], transforms, soft_gt=True)[0][2]["gt"]
    assert gt.dtype == torch.float32
    assert ((gt > 0) & (gt < 1)).any()
    assert set(make([make_case()], transforms)[0][2]["gt"].unique().tolist()) == {0, 1}


def test_without_labels(make_case):
    item = make([replace(make_case(), targets=())])[0][0]
    assert item["gt"] is None
    assert item["gt_metadata"] == []


def test_input_dropout(make_case):
    data, _ = make([make_case(channels=3)], is_input_dropout=True)
    blank = {tuple(data[2]["input_metadata"][0]["dropped_channels"]) for _ in range(60)}
    assert () in blank
    assert max(map(len, blank)) == 2


def test_memory_holds_the_last_cases_only(make_case, monkeypatch):
    read = []
    import ivadomed.loader.prepared.cache as module

    prepare = module.prepare_case
    monkeypatch.setattr(
        module, "prepare_case", lambda case, recipe: read.append(case.id) or prepare(case, recipe)
    )
    cases = [make_case(f"sub-{i}_T1w", seed=i) for i in range(3)]
    data, _ = make(cases, disk_cache=False)
    data[0], data[5], data[10], data[0]
    assert len(read) == 3  # all fit
    data, _ = make(cases, disk_cache=False, nibabel_cache=False)
    read.clear()
    data[0], data[1], data[5], data[0]
    assert read == ["sub-0_T1w_0", "sub-1_T1w_0", "sub-2_T1w_0", "sub-0_T1w_0", "sub-1_T1w_0", "sub-0_T1w_0"]


def test_too_much_for_memory_goes_to_disk_and_the_folder_is_removed(make_case, tmp_path, monkeypatch):
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    cases = [make_case(f"sub-{i}_T1w", seed=i) for i in range(3)]
    data, _ = make(cases)
    in_memory = data[12]
    assert list(folder.iterdir()) == []
    data, _ = make(cases, nibabel_cache=False)
    assert torch.equal(data[12]["input"], in_memory["input"])
    assert len(list(folder.rglob("*.case"))) == 3
    del data
    gc.collect()
    assert list(folder.iterdir()) == []
    data, _ = make(cases)
    assert not data.determine_cache_need(torch.zeros(10), 5)
    assert data.determine_cache_need(torch.zeros(5_000_000), 5)  # 3 x 5 x 20 MB


@pytest.mark.parametrize("disk_cache", [True, False])
def test_loader_with_workers(make_case, disk_cache):
    cases = [make_case(f"sub-{i}_T1w", seed=i) for i in range(2)]
    data, _ = make(cases, disk_cache=disk_cache)
    sampler = BalancedSampler(data)
    assert len(sampler) == 10
    batches = list(DataLoader(data, batch_size=4, num_workers=2, collate_fn=imed_collate, sampler=sampler))
    assert [len(batch["input"]) for batch in batches] == [4, 4, 2]
    assert batches[0]["input_metadata"][0][0]["contrast"] == "T1w"
    again = pickle.loads(pickle.dumps(data))
    assert torch.equal(again[7]["input"], data[7]["input"])


def test_balancing_by_a_metadata_column(make_case):
    cases = [replace(make_case(f"sub-{i}_T1w"), metadata={"sex": "MMF"[i]}) for i in range(3)]
    weights = BalancedSampler(make(cases)[0], "sex").weights
    np.testing.assert_allclose(weights, [0.1] * 10 + [0.2] * 5)


def test_a_patch_that_does_not_fit_names_the_case(make_case):
    with pytest.raises(DataError, match="sub-01_T1w_0: a patch of 32x32 voxels"):
        len(make([make_case()], length=[32, 32])[0])


def test_another_transform(make_case):
    data, _ = make([make_case()])
    (_, normalize), _ = prepare_transforms({"NormalizeInstance": {"applied_to": ["im"]}})
    data.set_transform(normalize)
    assert abs(float(data[2]["input"].mean())) < 1e-5


def test_documented_attributes(make_case):
    case = make_case(channels=2)
    data, _ = make([case], {"CenterCrop": {"size": [8, 8]}, "RandomReverse": {}}, slice_axis=1, soft_gt=True)
    assert (data.n_contrasts, data.slice_axis, data.soft_gt, data.cache) == (2, 1, True, True)
    assert (data.task, data.has_bounding_box) == ("segmentation", False)
    assert [type(t).__name__ for t in data.prepro_transforms.transform["im"].transforms] == ["CenterCrop"]
    assert [type(t).__name__ for t in data.transform.transform["gt"].transforms] == ["RandomReverse"]
    assert not make([case], nibabel_cache=False)[0].cache
    boxed, _ = make([replace(case, box=(0, 5, 0, 5, 0, 4))])
    assert boxed.has_bounding_box


def test_documented_attributes_of_the_filters():
    values = {"filter_empty_mask": True, "filter_absent_class": True, "filter_empty_input": False}
    for made in (SliceFilter(**values), PatchFilter(**values)):
        assert {name: getattr(made, name) for name in values} == values
    assert not SliceFilter().filter_classification
    assert not SliceFilter(device="cpu", cuda_available=True).cuda_available
