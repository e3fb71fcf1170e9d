"""Training patches at random places."""

from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest

from ivadomed.images.labels import LabelFile
from ivadomed.loader.prepared.cache import open_cases
from ivadomed.loader.prepared.prepare import Recipe, list_windows
from ivadomed.loader.samples import SampleDataset
from ivadomed.loader.samples.dataset import RandomPatches, per_image
from ivadomed.loader.slices import SliceRule
from ivadomed.transforms import Pipeline

NOTHING = Pipeline.from_config({})


@pytest.fixture
def dataset(make_case, tmp_path):
    """A function that gives samples of patches at random places."""

    def make(foreground, is_2d=True, cases=None, count=None, mode="disk", **rules):
        cases = cases or [make_case(f"sub-{i:02}_T1w", shape=(20, 24, 9), seed=i) for i in range(2)]
        length = (6, 6) if is_2d else (6, 6, 4)
        recipe = Recipe(NOTHING, is_2d=is_2d, length=length, stride=length, slice_filter=SliceRule(**rules))
        entries = open_cases(cases, recipe, mode, tmp_path / "cache")
        windows = [
            w
            for i, e in enumerate(entries)
            for w in list_windows(i, e.stored.image_shape, e.stored.facts, recipe)
        ]
        patches = RandomPatches.of(windows, len(cases), foreground)
        windows = windows if count is None else per_image(windows, count)
        return SampleDataset(cases, entries, windows, NOTHING, is_2d=is_2d, patches=patches)

    return make


@pytest.mark.parametrize("is_2d", [True, False])
def test_a_patch_has_the_voxels_of_its_window(dataset, is_2d):
    data = dataset(0.5, is_2d)
    volumes = [nib.load(case.images[0]).get_fdata(dtype=np.float32) for case in data.cases]
    for index in range(len(data)):
        sample = data[(1, index)]
        volume = volumes[sample.window.case]
        # HWD of these files is their own order, as their axes are RAS and slices are axial.
        part = volume[sample.window.slices]
        np.testing.assert_array_equal(sample.image[0], part[..., 0] if is_2d else part)


@pytest.mark.parametrize("is_2d", [True, False])
def test_foreground_patches_hold_the_label_and_the_others_are_anywhere(dataset, is_2d):
    always = dataset(1.0, is_2d)
    assert all(always[(epoch, i)].target.any() for epoch in range(3) for i in range(len(always)))
    never = dataset(0.0, is_2d)
    starts = np.array([never[(epoch, i)].window.start for epoch in range(12) for i in range(len(never))])
    reach = (14, 18, 8 if is_2d else 5)
    np.testing.assert_array_equal(starts.min(axis=0), 0)
    np.testing.assert_array_equal(starts.max(axis=0), reach)
    np.testing.assert_allclose(starts.mean(axis=0), np.array(reach) / 2, atol=1.0)


def test_the_centre_of_a_foreground_patch_is_labelled(dataset):
    data = dataset(1.0)
    for index in range(len(data)):
        sample = data[(0, index)]
        inner = all(0 < a < n - 6 for a, n in zip(sample.window.start[:2], (20, 24), strict=True))
        assert not inner or sample.target[0, 3, 3] == 1


def test_share_of_foreground_patches(dataset):
    data = dataset(0.33, is_2d=False, count=50)
    tiny = [replace(case, targets=((_single_voxel(case),),)) for case in data.cases]
    data = dataset(0.33, is_2d=False, cases=tiny, count=50)
    held = np.mean([data[(epoch, i)].target.any() for epoch in range(6) for i in range(len(data))])
    # 600 draws: 0.33 on the voxel, and a few per cent of the others by chance.
    assert 0.30 < held < 0.48


def _single_voxel(case):
    like = nib.load(case.targets[0][0].path)
    data = np.zeros(like.shape, np.uint8)
    data[17, 3, 4] = 1
    path = case.targets[0][0].path.with_name(f"{case.id}_voxel.nii.gz")
    nib.save(nib.Nifti1Image(data, like.affine), path)
    return LabelFile(path)


def test_rare_classes_are_met_as_often_as_frequent_ones(dataset, make_case):
    case = make_case(shape=(20, 24, 9))
    both = replace(case, targets=(case.targets[0], (_single_voxel(case),), None))
    data = dataset(1.0, is_2d=False, cases=[both], count=200)
    rare = np.mean([data[(0, i)].target[1].any() for i in range(200)])
    assert 0.4 < rare < 0.6


def test_slices_that_a_filter_left_out_stay_out(dataset):
    data = dataset(0.5, empty_mask=True)
    labelled = {window.start[2] for window in data.windows}
    assert labelled < set(range(9))
    drawn = {data[(epoch, i)].window.start[2] for epoch in range(5) for i in range(len(data))}
    assert drawn == labelled


def test_without_a_label_patches_are_anywhere(dataset, make_case):
    bare = replace(make_case(shape=(20, 24, 9)), targets=(None,))
    data = dataset(1.0, cases=[bare], count=30)
    assert len({data[(0, i)].window for i in range(30)}) > 10


def test_places_are_drawn_anew_in_every_epoch_and_only_by_seed_epoch_and_index(dataset):
    data = dataset(0.33)
    first = [data[(1, i)].window for i in range(len(data))]
    assert [data[(1, i)].window for i in reversed(range(len(data)))] == first[::-1]
    assert [data[(2, i)].window for i in range(len(data))] != first


def test_number_of_patches(dataset):
    assert len(dataset(0.33, count=3)) == 6
    assert [w.case for w in dataset(0.33, count=3).windows] == [0, 0, 0, 1, 1, 1]
    assert len(dataset(0.33, is_2d=False)) == 2 * 4 * 4 * 3
