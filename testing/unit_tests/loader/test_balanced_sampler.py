"""Balanced sampling."""

from collections import Counter

import numpy as np
import pytest
import torch

from ivadomed.errors import DataError
from ivadomed.loader.balanced_sampler import BalancedSampler, get_sampler, inverse_frequencies


def items(sexes="MMMMMMFF", labelled=(2,)):
    return [
        {
            "gt": torch.full((1, 2, 2), int(i in labelled), dtype=torch.uint8),
            "input_metadata": [{"sex": sex}],
        }
        for i, sex in enumerate(sexes)
    ]


def test_weights_are_inverse_frequencies():
    sampler = BalancedSampler(items())
    assert len(sampler) == 8
    np.testing.assert_allclose(sampler.weights, [1 / 7, 1 / 7, 1, 1 / 7, 1 / 7, 1 / 7, 1 / 7, 1 / 7])
    by_sex = BalancedSampler(items(), metadata="sex")
    np.testing.assert_allclose(by_sex.weights, [1 / 6] * 6 + [1 / 2] * 2)
    np.testing.assert_allclose(inverse_frequencies("abb"), [1, 0.5, 0.5])


def test_every_label_is_drawn_equally_often():
    torch.manual_seed(0)
    sampler = BalancedSampler(items(sexes="M" * 900 + "F" * 100), metadata="sex")
    drawn = list(sampler)
    assert len(drawn) == len(sampler) == 1000
    counts = Counter(place < 900 for place in drawn)
    assert 440 < counts[True] < 560  # binomial, 4 standard deviations about 500


def test_a_missing_value_is_named():
    data = items()
    data[3]["input_metadata"][0] = {}
    with pytest.raises(DataError, match='sample 3 has no "sex"'):
        BalancedSampler(data, metadata="sex")


def test_a_sampler_is_given_on_request_and_shuffling_otherwise():
    items = [{"gt": torch.zeros(1, 2, 2)}, {"gt": torch.ones(1, 2, 2)}]
    assert get_sampler(items, False, "gt") == (None, True)
    sampler, shuffle = get_sampler(items, True, "gt")
    assert not shuffle
    assert sampler.weights.tolist() == [1.0, 1.0]
