"""Labelled voxels that are kept of a prepared case."""

import numpy as np
import pytest

from ivadomed.loader.prepared.prepare import (
    FOREGROUND_VOXELS,
    Recipe,
    pack_foreground,
    prepare_case,
    unpack_foreground,
)
from ivadomed.transforms import Pipeline


@pytest.mark.parametrize("is_2d", [True, False])
def test_every_labelled_voxel_of_a_small_label_is_kept(is_2d):
    shape = (7, 6, 5)
    label = np.zeros((3, *shape), np.float32)
    label[0, 2, 3, 4] = label[0, 6, 0, 1] = label[1, 0, 5, 0] = 1
    target = np.moveaxis(label, -1, 0) if is_2d else label
    packed = pack_foreground(target, is_2d, soft_gt=False)
    assert [unpack_foreground(p, shape).tolist() for p in packed] == [[[2, 3, 4], [6, 0, 1]], [[0, 5, 0]], []]


def test_large_labels_are_sampled_evenly_and_always_alike():
    label = np.zeros((1, 40, 40, 40), np.float32)
    label[0, 10:] = 1
    [packed] = pack_foreground(label, False, False)
    voxels = unpack_foreground(packed, (40, 40, 40))
    assert len(voxels) == len(np.unique(voxels, axis=0)) == FOREGROUND_VOXELS
    assert label[0][tuple(voxels.T)].all()
    # Uniform in 10..39 and 0..39: the means are known to within a few standard errors.
    np.testing.assert_allclose(voxels.mean(axis=0), [24.5, 19.5, 19.5], atol=2)
    assert pack_foreground(label, False, False) == [packed]


def test_soft_labels_count_from_any_value_on():
    label = np.full((1, 2, 2, 2), 0.3, np.float32)
    assert len(unpack_foreground(pack_foreground(label, False, True)[0], (2, 2, 2))) == 8
    assert pack_foreground(label, False, False) == [""]


def test_places_are_those_after_the_fixed_steps(make_case):
    recipe = Recipe(Pipeline.from_config({"CenterCrop": {"size": [8, 8]}}))
    prepared = prepare_case(make_case(), recipe)
    [packed] = prepared.facts.foreground
    voxels = unpack_foreground(packed, (8, 8, 5))
    assert len(voxels) == prepared.target.sum()
    assert all(prepared.target[z, 0, y, x] == 1 for y, x, z in voxels)
    assert prepare_case(make_case(), recipe, with_target=False).facts.foreground == []
