"""The size of a U-Net, against topologies that nnU-Net publishes for the data sets of its paper."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ivadomed.errors import ModelError
from ivadomed.models.sizing import plan_unet, stage_blocks

TWOS, THREES, FLAT = (2, 2, 2), (3, 3, 3), (1, 3, 3)
PUBLISHED = {
    # name: patch, spacing in mm, strides, kernels of the first stages (3 in all others)
    "hippocampus": ((40, 56, 40), (1, 1, 1), [TWOS] * 3, []),
    "brain tumour": ((128, 128, 128), (1, 1, 1), [TWOS] * 5, []),
    "heart (ACDC)": (
        (20, 256, 224),
        (5, 1.5625, 1.5625),
        [(1, 2, 2), TWOS, TWOS, (1, 2, 2), (1, 2, 2)],
        [FLAT],
    ),
    "prostate": (
        (20, 320, 256),
        (3.6, 0.625, 0.625),
        [(1, 2, 2), (1, 2, 2), TWOS, TWOS, (1, 2, 2), (1, 2, 2)],
        [FLAT, FLAT],
    ),
}


@pytest.mark.parametrize(("patch", "spacing", "strides", "flat"), PUBLISHED.values(), ids=PUBLISHED)
def test_published_topologies(patch, spacing, strides, flat):
    plan = plan_unet(patch, spacing)
    assert list(plan.strides) == strides
    assert list(plan.kernel_sizes) == flat + [THREES] * (len(strides) + 1 - len(flat))
    assert plan.features == (32, 64, 128, 256, 320, 320, 320)[: len(strides) + 1]
    assert plan.n_blocks == (1, 3, 4, 6, 6, 6, 6)[: len(strides) + 1]
    assert plan.depth == len(strides)


def test_two_dimensions_are_wider_and_deeper():
    plan = plan_unet((512, 512), (0.5, 0.5))
    assert plan.strides == ((2, 2),) * 7
    assert plan.features == (32, 64, 128, 256, 512, 512, 512, 512)


def test_an_axis_alone_is_halved_from_twelve_voxels():
    # 12 x 4: the second axis is too small from the start. 11 is not enough for the first.
    assert plan_unet((12, 4), (1, 1)).strides == ((2, 1),)
    with pytest.raises(ModelError, match=r"patches of \[11, 4\] voxels allow no down-sampling"):
        plan_unet((11, 4), (1, 1))


def test_twice_as_large_voxels_wait():
    # At a ratio of exactly 2 the coarse axis keeps kernel 1 and is not halved; then both are alike.
    plan = plan_unet((64, 64), (1, 2))
    assert plan.strides[:2] == ((2, 1), (2, 2))
    assert plan.kernel_sizes[:2] == ((3, 1), (3, 3))


def test_filters():
    assert plan_unet((64, 64), (1, 1), n_filters=8, max_filters=20).features == (8, 16, 20, 20, 20)


def test_depth_is_kept_and_its_limit_told():
    assert plan_unet((64, 64), (1, 1), depth=2).depth == 2
    with pytest.raises(
        ModelError, match=r"depth: patches of \[64, 64\] voxels allow at most 4 .* expected 5"
    ):
        plan_unet((64, 64), (1, 1), depth=5)


def test_without_a_size_the_depth_decides():
    assert plan_unet(None, (1, 3), depth=3).strides == ((2, 1), (2, 2), (2, 2))
    with pytest.raises(ModelError, match=r"depth: is not set.*length_3D"):
        plan_unet(None, (1, 1, 1))


def test_blocks_of_many_stages():
    assert stage_blocks(8) == (1, 3, 4, 6, 6, 6, 6, 6)


@given(
    size=st.lists(st.integers(12, 300), min_size=2, max_size=3),
    spacing=st.lists(st.floats(0.1, 10), min_size=3, max_size=3),
)
def test_what_always_holds(size, spacing):
    spacing = spacing[: len(size)]
    plan = plan_unet(size, spacing)
    bottom = list(size)
    for stride in plan.strides:
        assert max(stride) == 2
        bottom = [-(-n // step) for n, step in zip(bottom, stride, strict=True)]
    assert min(bottom) >= 4
    assert len(plan.kernel_sizes) == len(plan.features) == len(plan.n_blocks) == plan.depth + 1
    assert plan_unet(size, [mm * 4 for mm in spacing]) == plan


@given(patch=st.lists(st.integers(20, 100), min_size=3, max_size=3), order=st.permutations(range(3)))
def test_axes_have_no_rank(patch, order):
    spacing = (1.0, 2.5, 0.7)
    plan, turned = (
        plan_unet(patch, spacing),
        plan_unet([patch[i] for i in order], [spacing[i] for i in order]),
    )
    assert turned.strides == tuple(tuple(stride[i] for i in order) for stride in plan.strides)
