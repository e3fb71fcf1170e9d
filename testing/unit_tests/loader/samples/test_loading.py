"""Loaders of batches."""

import numpy as np
import pytest
import torch
from torch.utils.data import Dataset

from ivadomed.geometry.windows import Window
from ivadomed.loader.samples import EpochSampler, make_loader
from ivadomed.loader.samples.batch import Sample


class Numbers(Dataset):
    """Ten samples of one voxel."""

    def __len__(self):
        return 10

    def __getitem__(self, index):
        place = index[1] if isinstance(index, tuple) else index
        image = np.full((1, 1, 1), place, np.float32)
        return Sample(image, image, None, Window(0, (0, 0, place), (1, 1, 1)))


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_loading_takes_nothing_from_the_global_generators(workers):
    torch.manual_seed(0)
    np.random.seed(0)  # noqa: NPY002
    before = torch.get_rng_state(), np.random.get_state()[1].tolist()  # noqa: NPY002
    sampler = EpochSampler(10, seed=3)
    loader = make_loader(Numbers(), sampler, 4, workers)
    for sampler.epoch in (1, 2):
        assert sorted(torch.cat([batch.image.flatten() for batch in loader]).tolist()) == list(range(10))
    loader.close()
    assert torch.equal(torch.get_rng_state(), before[0])
    assert np.random.get_state()[1].tolist() == before[1]  # noqa: NPY002
