"""Data sets of dictionaries as the training loop takes them."""

import random

import numpy as np
import pytest
import torch

from ivadomed.compat.samples import as_samples
from ivadomed.errors import DataError, ModelError
from ivadomed.loader.conditions import Curriculum
from ivadomed.loader.samples.batch import collate


class Items(torch.utils.data.Dataset):
    """Items of one's own, which draw from the generators that everybody shares."""

    def __init__(self, sizes=(4, 4), labelled=True, metadata=None):
        self.sizes, self.labelled, self.metadata = sizes, labelled, metadata or [{}, {}]

    def __len__(self):
        return len(self.sizes)

    def __getitem__(self, index):
        shape = (2, self.sizes[index], 4)
        image = torch.rand(shape) + random.random() + np.random.rand()  # noqa: NPY002
        gt = torch.ones(1, *shape[1:], dtype=torch.uint8) if self.labelled else None
        return {"input": image, "gt": gt, "input_metadata": self.metadata}


def test_items_follow_from_seed_epoch_and_place():
    samples = as_samples(Items(), {"name": "Unet"}, seed=3)
    first = samples[1, 0].image
    np.testing.assert_array_equal(samples[1, 0].image, first)
    assert not np.array_equal(samples[2, 0].image, first)
    assert not np.array_equal(samples[1, 1].image, first)
    assert not np.array_equal(as_samples(Items(), {"name": "Unet"}, seed=4)[1, 0].image, first)
    assert (samples.is_2d, samples.soft_gt, samples.classify) == (True, False, False)
    assert samples[1, 0].condition is None
    assert samples.cases[1].id == "sample 1"
    assert list(samples.names_of(collate([samples[1], samples[0]]))) == ["sample 1", "sample 0"]
    assert (
        as_samples(Items(metadata=[{"input_filenames": "a/sub-1_T1w.nii.gz"}]), {}).cases[0].id == "sub-1_T1w"
    )


def test_what_cannot_be_trained_on_is_named():
    with pytest.raises(DataError, match="sample 0: has no label"):
        as_samples(Items(labelled=False), {})[0]
    samples = as_samples(Items((4, 5)), {})
    with pytest.raises(DataError, match="cannot form a batch; add CenterCrop"):
        collate([samples[0], samples[1]])
    film = {"name": "FiLMedUnet", "film_layers": [0, 1]}
    with pytest.raises(ModelError, match=r"film_onehotencoder.*get_film_metadata_models"):
        as_samples(Items(), film)
    with pytest.raises(DataError, match="no film_input"):
        as_samples(Items(), {**film, "film_onehotencoder": object()})[0]


def test_contrasts_are_withheld_for_hemis_but_never_all():
    hemis = {"name": "HeMISUnet"}
    np.testing.assert_array_equal(as_samples(Items(), hemis)[0].condition, [1, 1])
    given = as_samples(Items(metadata=[{"missing_mod": [1, 0]}] * 2), hemis)[0].condition
    np.testing.assert_array_equal(given, [1, 0])
    samples = as_samples(Items(), hemis, curriculum=Curriculum(0.5))
    kept = [(sample.condition, sample.image) for sample in (samples[epoch, 0] for epoch in range(1, 30))]
    assert {tuple(condition) for condition, _ in kept} == {(1, 0), (0, 1), (1, 1)}
    assert all(image[c].any() == condition[c] for condition, image in kept for c in range(2))
