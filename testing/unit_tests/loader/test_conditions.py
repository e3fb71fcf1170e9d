"""Missing contrasts and the curriculum that withholds them."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ivadomed.loader.cases.volumes import read_volume
from ivadomed.loader.conditions import Curriculum, present_contrasts, withhold
from ivadomed.loader.prepared.cache import open_cases
from ivadomed.loader.prepared.prepare import Recipe, list_windows
from ivadomed.loader.samples import SampleDataset, collate
from ivadomed.transforms import Pipeline


@given(
    present=st.lists(st.lists(st.booleans(), min_size=3, max_size=3).filter(any), min_size=1, max_size=6),
    probability=st.floats(0, 1),
    seed=st.integers(0, 99),
)
def test_only_what_is_there_stays_and_never_nothing(present, probability, seed):
    there = np.array(present)
    kept = withhold(there, probability, np.random.default_rng(seed))
    assert kept.any(axis=1).all()
    assert not (kept & ~there).any()
    if probability == 0:
        np.testing.assert_array_equal(kept, there)
    if probability == 1:
        np.testing.assert_array_equal(kept.sum(axis=1), 1)


def test_a_row_by_itself_and_every_contrast_equally_likely():
    rng = np.random.default_rng(0)
    kept = np.array([withhold(np.ones(3), 1.0, rng) for _ in range(3000)])
    np.testing.assert_allclose(kept.mean(axis=0), 1 / 3, atol=0.03)


def test_probability_is_raised_to_the_growth_after_each_epoch():
    curriculum = Curriculum(0.25, 0.5)
    assert [curriculum.at(epoch) for epoch in (1, 2, 3)] == pytest.approx([0.25, 0.5, 0.5**0.5])
    assert Curriculum(0.25).at(40) == 0.25


def test_a_missing_channel_is_zeros_and_does_not_decide_on_slices(make_case):
    case = make_case(channels=2)
    incomplete = replace(case, images=case.images[1:], channels=(None, 0))
    assert incomplete.present == (False, True)
    volume = read_volume(incomplete, 2)
    whole = read_volume(case, 2)
    np.testing.assert_array_equal(volume.image[0], 0)
    np.testing.assert_array_equal(volume.image[1], whole.image[1])
    np.testing.assert_array_equal(present_contrasts(incomplete), [0, 1])


def dataset_of(cases, folder, **options):
    recipe = Recipe(Pipeline(()))
    entries = open_cases(cases, recipe, "memory", folder)
    windows = [
        w
        for i, e in enumerate(entries)
        for w in list_windows(i, e.stored.image_shape, e.stored.facts, recipe)
    ]
    return SampleDataset(cases, entries, windows, Pipeline(()), **options)


def test_samples_say_which_contrasts_are_left(make_case, tmp_path):
    case = make_case(channels=3)
    incomplete = replace(case, images=case.images[:2], channels=(0, None, 1))
    data = dataset_of([case, incomplete], tmp_path, conditioner=present_contrasts, curriculum=Curriculum(0.5))
    seen = set()
    for epoch in range(1, 30):
        for place in (2, 7):  # a slice of each case
            sample = data[(epoch, place)]
            np.testing.assert_array_equal(sample.image.any(axis=(1, 2)), sample.condition == 1)
            seen.add((place, tuple(sample.condition)))
    assert len([c for place, c in seen if place == 2]) == 7  # all but none
    assert {c[1] for place, c in seen if place == 7} == {0.0}
    batch = collate([data[(1, 2)], data[(1, 7)]])
    assert batch.condition.shape == (2, 3)
    plain = dataset_of([case], tmp_path)
    assert collate([plain[0]]).condition is None


def test_a_classifiers_target_is_one_number_per_class(make_case, tmp_path):
    data = dataset_of([make_case(classes=2)], tmp_path, classify=True)
    masks = dataset_of([make_case(classes=2)], tmp_path)
    for place in range(len(data)):
        np.testing.assert_array_equal(data[place].target, masks[place].target.any(axis=(1, 2)))
    assert data[0].target.shape == (2,)
