"""Noise and bias statistics, and the image of a subject."""

import math
from dataclasses import replace

import numpy as np
import pytest

from ivadomed.phantom.anatomy import Anatomy, as_rated, at_follow_up
from ivadomed.phantom.lattice import oblique_grid
from ivadomed.phantom.mri import SITES, acquire, rician


def test_noise_in_air_is_rayleigh():
    # Mean sigma sqrt(pi/2), mean square 2 sigma^2.
    noise = rician(np.zeros(200_000, np.float32), 2.0, np.random.default_rng(0))
    assert noise.mean() == pytest.approx(2 * math.sqrt(math.pi / 2), rel=0.01)
    assert (noise**2).mean() == pytest.approx(8.0, rel=0.01)


@pytest.fixture(scope="module")
def scanned():
    rng = np.random.default_rng(3)
    anatomy = Anatomy(rng, 30.0, diseased=True)
    raters = as_rated(anatomy.lesions, rng), as_rated(anatomy.lesions, rng)
    grid = oblique_grid((48, 48, 10), (1.0, 1.0, 3.0), anatomy.origin, np.array([2.0, -3.0, 1.0]), "RAS")
    site = replace(SITES[0], snr=20, gain=300, float_data=True)
    return anatomy, *acquire(anatomy, raters, grid, site, "T2w", rng)


def test_cord_has_the_size_that_was_drawn(scanned):
    anatomy, _, labels = scanned
    per_slice = labels["seg-manual"].sum(axis=(0, 1))
    smallest = math.pi * anatomy.cord[0] * anatomy.cord[1]
    largest = smallest * (1 + anatomy.enlargement[0]) * (1 + 0.25 * anatomy.enlargement[0])
    assert per_slice.min() >= 0.85 * smallest
    assert per_slice.max() <= 1.15 * largest


def test_borders_have_partial_volume(scanned):
    # Around the cord on T2w there are values between those of white matter and CSF.
    _, image, labels = scanned
    cord = labels["seg-manual"] > 0
    csf = labels["csfseg-manual"] > 0
    low, high = np.median(image[cord]), np.percentile(image[csf], 95)
    between = (image > low * 1.25) & (image < high * 0.8) & (cord | csf)
    assert between.sum() > 0.1 * (cord | csf).sum()


def test_raters_agree_mostly_but_not_fully(scanned):
    _, _, labels = scanned
    first, second = (labels[f"lesion-manual-rater{number}"] > 0 for number in (1, 2))
    dice = 2 * (first & second).sum() / (first.sum() + second.sum())
    assert 0.5 < dice < 1.0


def test_first_lesion_is_always_seen_and_follow_up_keeps_the_old_ones():
    for seed in range(30):
        rng = np.random.default_rng(seed)
        lesions = Anatomy(rng, 48.0, diseased=True).lesions
        assert 1 <= len(lesions) <= 7
        assert as_rated(lesions, rng)
        later = at_follow_up(lesions, rng, 48.0)
        assert len(later) - len(lesions) in (0, 1)
        assert [lesion.z for lesion in later[: len(lesions)]] == [lesion.z for lesion in lesions]
    assert at_follow_up((), np.random.default_rng(0), 48.0) == ()
