"""Samples and batches."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from ivadomed.errors import DataError
from ivadomed.loader.balanced_sampler import balancing_weights
from ivadomed.loader.conditions import Curriculum
from ivadomed.loader.prepared.cache import open_cases
from ivadomed.loader.prepared.prepare import Recipe, list_windows
from ivadomed.loader.samples import EpochSampler, SampleDataset, make_loader
from ivadomed.transforms import Pipeline

RANDOM = Pipeline.from_config(
    {
        "RandomAffine": {"degrees": 20, "translate": [0.1, 0.1], "scale": [0.1, 0.1]},
        "NormalizeInstance": {"applied_to": ["im"]},
    }
)


@pytest.fixture
def dataset(make_case, tmp_path):
    def make(steps=RANDOM, cases=None, **options):
        cases = cases or [make_case(f"sub-{i:02}_T1w", seed=i) for i in range(3)]
        recipe = Recipe(Pipeline.from_config({"CenterCrop": {"size": [16, 16]}}))
        entries = open_cases(cases, recipe, "memory", tmp_path)
        windows = [
            w
            for i, e in enumerate(entries)
            for w in list_windows(i, e.stored.image_shape, e.stored.facts, recipe)
        ]
        return SampleDataset(cases, entries, windows, steps, **options)

    return make


def batches_of(dataset, workers, epoch):
    sampler = EpochSampler(len(dataset), seed=3)
    sampler.epoch = epoch
    return list(make_loader(dataset, sampler, 4, workers))


@pytest.mark.filterwarnings("ignore:This DataLoader will create")
@pytest.mark.parametrize("workers", [1, 4])
def test_batches_do_not_depend_on_the_number_of_workers(dataset, workers):
    always = {name: {"p": 1} for name in ("RandomMirror", "RandomContrast", "RandomLowResolution")}
    elastic = {"ElasticTransform": {"alpha_range": [10, 20], "sigma_range": [2, 3], "p": 1}}
    noise = {"AdditiveGaussianNoise": {"applied_to": ["im"]}}
    drawn = Pipeline.from_config({**always, **elastic, **noise})
    data = dataset(Pipeline(RANDOM.stages + drawn.stages))
    for alone, shared in zip(batches_of(data, 0, 2), batches_of(data, workers, 2), strict=True):
        torch.testing.assert_close(alone.image, shared.image, rtol=0, atol=0)
        torch.testing.assert_close(alone.target, shared.target, rtol=0, atol=0)
        assert alone.windows == shared.windows


def test_another_epoch_or_seed_draws_anew_and_order_of_access_does_not_matter(dataset):
    data = dataset(seed=1)
    first = data[(1, 4)].image
    data[(1, 2)], data[(5, 0)]
    np.testing.assert_array_equal(data[(1, 4)].image, first)
    assert not np.array_equal(data[(2, 4)].image, first)
    assert not np.array_equal(dataset(seed=2)[(1, 4)].image, first)


def test_image_and_label_move_together(dataset, make_case):
    case = make_case()
    twin = replace(case, images=(case.targets[0][0].path,))  # the label is the image
    steps = Pipeline.from_config({"RandomAffine": {"degrees": 30, "translate": [0.2, 0.2]}})
    data = dataset(steps, [twin], soft_gt=True)
    for place in range(len(data)):
        sample = data[(1, place)]
        np.testing.assert_allclose(sample.image, sample.target, atol=1e-5)


def test_types_and_shapes(dataset):
    batch = batches_of(dataset(), 0, 1)[0]
    assert batch.image.shape == (4, 1, 16, 16)
    assert batch.image.dtype == torch.float32
    assert batch.target.dtype == torch.uint8
    assert batch.to(torch.device("cpu")).target.dtype == torch.float32


def test_one_of_several_raters_is_drawn(dataset, make_case):
    case = make_case(shape=(12, 14, 5), classes=2)
    both = replace(case, targets=((case.targets[0][0], case.targets[1][0]),))
    data = dataset(Pipeline.from_config({}), [both])
    sums = {int(data[(epoch, 2)].target.sum()) for epoch in range(20)}
    assert len(sums) == 2  # the larger and the smaller ball, nothing between


def test_input_dropout_blanks_some_channels_but_never_all(dataset, make_case):
    data = dataset(Pipeline.from_config({}), [make_case(channels=3)], input_dropout=True)
    left = [int(data[(epoch, 2)].image.any(axis=(1, 2)).sum()) for epoch in range(60)]
    assert set(left) == {1, 2, 3}
    plain = dataset(Pipeline.from_config({}), [make_case(channels=3)])
    assert all(plain[(epoch, 2)].image.any(axis=(1, 2)).all() for epoch in range(20))


CHAIN = Pipeline.from_config(
    {
        "RandomAffine": {"degrees": 20, "translate": [0.1, 0.1], "applied_to": ["im", "gt"]},
        "ElasticTransform": {
            "alpha_range": [5, 9],
            "sigma_range": [2, 3],
            "p": 0.5,
            "applied_to": ["im", "gt"],
        },
        "DilateGT": {"dilation_factor": 0.3, "applied_to": ["gt"]},
        "RandomReverse": {},
        "RandomShiftIntensity": {"shift_range": [0.2, 0.9], "prob": 0.5, "applied_to": ["im"]},
        "NormalizeInstance": {"applied_to": ["im"]},
    }
)


@pytest.mark.parametrize(
    ("workers", "soft_gt", "classify"), [(0, False, False), (0, True, False), (2, False, True)]
)
def test_what_is_left_to_the_device_gives_the_same_batches(dataset, make_case, workers, soft_gt, classify):
    case = make_case(shape=(18, 20, 8), channels=2, classes=2)
    both = replace(case, targets=((case.targets[0][0], case.targets[1][0]),))  # two raters of one class
    options = {"cases": [both], "input_dropout": True, "soft_gt": soft_gt, "classify": classify}
    options |= {"curriculum": Curriculum(0.5)}
    finished = batches_of(dataset(CHAIN, **options), 0, 1)
    left = batches_of(dataset(CHAIN, **options, augment_on="device"), workers, 1)
    for expected, batch in zip(finished, left, strict=True):
        assert batch.windows == expected.windows
        assert not torch.equal(batch.image, expected.image)
        on_device = batch.to(torch.device("cpu")).augmented(soft_gt, classify)
        assert on_device.steps is None
        torch.testing.assert_close(on_device.image, expected.image, atol=1e-4, rtol=0)
        torch.testing.assert_close(on_device.condition, expected.condition, atol=0, rtol=0)
        # A label within rounding of 0.5 would turn: there is none here.
        torch.testing.assert_close(on_device.target, expected.target.float(), atol=1e-4, rtol=0)


def test_labels_are_binarized_on_the_device_too_when_there_is_no_step(dataset):
    (batch, *_) = batches_of(dataset(Pipeline.from_config({}), augment_on="device"), 0, 1)
    soft = replace(batch, target=batch.target.float() * 0.7).to(torch.device("cpu"))
    assert set(soft.augmented(False, False).target.unique().tolist()) == {0.0, 1.0}
    assert soft.augmented(True, False).target.max() == pytest.approx(0.7)


def test_a_finished_batch_stays_as_it_is(dataset):
    batch = batches_of(dataset(), 0, 1)[0]
    assert batch.augmented(soft_gt=False, classify=False) is batch


def test_samples_are_balanced_by_label_or_by_metadata(dataset, make_case):
    cases = [
        replace(make_case(f"sub-{i}_T1w", seed=i), metadata={"sex": "F" if i else "M"}) for i in range(3)
    ]
    data = dataset(Pipeline.from_config({}), cases)
    by_sex = balancing_weights(data, "sex")
    # Five slices of one M, ten of two F: an M slice is drawn twice as often.
    np.testing.assert_allclose(by_sex, [1 / 5] * 5 + [1 / 10] * 10)
    labelled = [data.sampling_label(i, "gt") for i in range(len(data))]
    assert labelled == [bool(data[i].target.any()) for i in range(len(data))]
    with pytest.raises(DataError, match='has no "age"'):
        balancing_weights(data, "age")


def test_sampler_shuffles_by_epoch_and_covers_everything():
    sampler = EpochSampler(50, seed=0)
    orders = []
    for epoch in (1, 2, 1):
        sampler.epoch = epoch
        orders.append([place for _, place in sampler])
    assert orders[0] == orders[2] != orders[1]
    assert sorted(orders[1]) == list(range(50))
    assert list(EpochSampler(3, 0, shuffle=False)) == [(0, 0), (0, 1), (0, 2)]


def test_weighted_sampler_prefers_heavy_places():
    sampler = EpochSampler(1000, seed=0, weights=np.r_[np.full(900, 1.0), np.full(100, 9.0)])
    heavy = sum(place >= 900 for _, place in sampler)
    assert 420 < heavy < 580


@pytest.mark.parametrize("soft_gt", [False, True])
def test_ignored_voxels_move_with_the_image_and_are_in_no_class(dataset, make_case, soft_gt):
    case = make_case(classes=2)
    large, small = (raters[0] for raters in case.targets)
    twin = replace(case, images=(large.path,), targets=((small,), (large,)), ignore=large)
    steps = Pipeline.from_config({"RandomAffine": {"degrees": 30, "translate": [0.2, 0.2]}})
    data = dataset(steps, [twin], soft_gt=soft_gt)
    met = 0
    for place in range(len(data)):
        sample = data[(1, place)]
        np.testing.assert_array_equal(sample.ignore, sample.image >= 0.5)
        assert not sample.target.any()
        met += sample.ignore.sum()
    assert met > 20


def test_a_case_without_ignored_voxels_has_none_and_a_data_set_without_has_no_mask(dataset, make_case):
    cases = [make_case("sub-00_T1w"), make_case("sub-01_T1w", classes=2)]
    plain = dataset(Pipeline.from_config({}), [cases[0]])
    assert plain[0].ignore is None
    assert batches_of(plain, 0, 0)[0].mask is None
    cases[1] = replace(cases[1], targets=cases[1].targets[:1], ignore=cases[1].targets[1][0])
    data = dataset(Pipeline.from_config({}), cases)
    sums = [int(data[place].ignore.sum()) for place in range(len(data))]
    assert sums[:5] == [0] * 5
    assert sum(sums[5:]) > 0
    batch = batches_of(data, 0, 0)[0]
    assert batch.mask.shape == (4, 1, 16, 16)
    assert batch.mask.dtype == torch.bool
    assert torch.equal(batch.part(slice(1, 3)).mask, batch.mask[1:3])


@pytest.mark.parametrize("soft_gt", [False, True])
def test_ignored_voxels_on_the_device_are_those_of_workers(dataset, make_case, soft_gt):
    case = make_case(shape=(18, 20, 8), classes=2)
    case = replace(case, targets=case.targets[:1], ignore=case.targets[1][0])
    options = {"cases": [case], "soft_gt": soft_gt}
    finished = batches_of(dataset(CHAIN, **options), 0, 1)
    left = batches_of(dataset(CHAIN, **options, augment_on="device"), 0, 1)
    for expected, batch in zip(finished, left, strict=True):
        on_device = batch.to(torch.device("cpu")).augmented(soft_gt, False)
        assert torch.equal(on_device.mask, expected.mask)
        assert set(on_device.ignore.unique().tolist()) <= {0.0, 1.0}


def test_no_step_changes_the_values_of_ignored_voxels(dataset, make_case):
    case = make_case()
    case = replace(case, ignore=case.targets[0][0])
    dilate = Pipeline.from_config({"DilateGT": {"dilation_factor": 1.0, "applied_to": ["gt"]}})
    for place in range(5):
        np.testing.assert_array_equal(
            dataset(dilate, [case])[place].ignore, dataset(Pipeline(), [case])[place].ignore
        )


def test_ignored_voxels_are_no_label_for_balancing(dataset, make_case):
    case = make_case()
    case = replace(case, ignore=case.targets[0][0])
    data = dataset(Pipeline(), [case])
    assert not any(data.sampling_label(place, "gt") for place in range(len(data)))
