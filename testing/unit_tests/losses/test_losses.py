import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from ivadomed.errors import ConfigError
from ivadomed.losses import (
    LOSSES,
    AdapWingLoss,
    BinaryCrossEntropyLoss,
    DeepSupervisionLoss,
    DiceLoss,
    FocalDiceLoss,
    FocalLoss,
    FocalTverskyLoss,
    GeneralizedDiceLoss,
    L2loss,
    LossCombination,
    MultiClassDiceLoss,
    TverskyLoss,
    build_loss,
    full_resolution,
    losses_without_mask,
)
from ivadomed.losses.deep_supervision import coarsened, coarsened_where, level_weights
from ivadomed.models.blocks import activate

SIMPLE = sorted(set(LOSSES) - {"LossCombination"})
# Every loss in one, and the arguments nearest to trouble.
EXTREMES = [
    *({"name": name} for name in SIMPLE),
    {"name": "LossCombination", "losses_list": SIMPLE},
    {"name": "DiceLoss", "smooth": 0.0},
    {"name": "TverskyLoss", "smooth": 0.0},
    {"name": "FocalTverskyLoss", "smooth": 0.0, "gamma": 3.0},
    {"name": "FocalLoss", "gamma": 0.5, "eps": 1e-12},
    {"name": "FocalDiceLoss", "gamma": 0.5, "alpha": 1.0},
    {"name": "GeneralizedDiceLoss", "include_background": False},
]
# sum(p t) = 1.5, sum(p) = 2, sum(t) = 2
P = torch.tensor([[[[1.0, 0.5], [0.5, 0.0]]]])
T = torch.tensor([[[[1.0, 1.0], [0.0, 0.0]]]])


def pair(seed, channels=2):
    generator = torch.Generator().manual_seed(seed)
    p = torch.rand(2, channels, 6, 5, generator=generator)
    return p, (torch.rand(2, channels, 6, 5, generator=generator) > 0.6).float()


def test_values_by_hand():
    assert DiceLoss()(P, T).item() == pytest.approx(-(3 + 1) / (4 + 1))
    assert DiceLoss(smooth=0.0)(P, T).item() == pytest.approx(-0.75)
    assert L2loss()(P, T).item() == pytest.approx((0.25 + 0.25) / 2)
    # TP 1.5, FP 0.5, FN 0.5
    assert TverskyLoss(0.7, 0.3, 1.0)(P, T).item() == pytest.approx(-2.5 / (1.5 + 0.35 + 0.15 + 1))
    assert FocalTverskyLoss(0.7, 0.3, 2.0, 1.0)(P, T).item() == pytest.approx(math.sqrt(1 - 2.5 / 3))
    assert BinaryCrossEntropyLoss()(P, T).item() == pytest.approx(2 * math.log(2) / 4, rel=1e-5)
    # Two voxels of p_t = 0.5, weights 0.25 (foreground) and 0.75.
    focal = (0.25 + 0.75) * 0.5**2 * math.log(2)
    assert FocalLoss(gamma=2, alpha=0.25)(P, T).item() == pytest.approx(focal, rel=1e-5)
    expected = math.log(focal) - 0.5 * math.log(0.8)
    assert FocalDiceLoss(beta=0.5)(P, T).item() == pytest.approx(expected, rel=1e-5)


def test_generalised_dice_by_hand():
    # Volumes 1 and 2, weights 1 and 1/4; overlaps 0.5 and 1.
    p = torch.tensor([[0.5, 0.5, 0.0, 0.0], [0.0, 0.0, 0.5, 0.5]]).reshape(1, 2, 2, 2)
    t = torch.tensor([[1.0, 0.0, 0.0, 0.0], [0.0, 0.0, 1.0, 1.0]]).reshape(1, 2, 2, 2)
    expected = -2 * (0.5 + 0.25) / ((1 + 1) + (1 + 2) / 4)
    assert GeneralizedDiceLoss(include_background=False)(p, t).item() == pytest.approx(expected)
    # Background of the target: one voxel, weight 1; the prediction has none.
    expected = -2 * (0.5 + 0.25) / ((1 + 1) + (1 + 2) / 4 + 1)
    assert GeneralizedDiceLoss()(p, t).item() == pytest.approx(expected)


def test_adaptive_wing_by_hand():
    zero = torch.zeros(1, 1, 1, 1)
    near = 14 * math.log(1 + 0.2**2.1)
    assert AdapWingLoss()(zero + 0.2, zero).item() == pytest.approx(near, rel=1e-5)
    slope = 14 / (1 + 0.5**2.1) * 2.1 * 0.5**1.1
    far = slope * 0.8 - (0.5 * slope - 14 * math.log(1 + 0.5**2.1))
    assert AdapWingLoss()(zero + 0.8, zero).item() == pytest.approx(far, rel=1e-5)


@given(target=st.floats(0, 1), sign=st.sampled_from([-1, 1]))
@settings(deadline=None)
def test_adaptive_wing_is_continuous_and_smooth_at_theta(target, sign):
    t = torch.full((1,), target, dtype=torch.float64)
    p = (t + sign * torch.tensor([0.5 - 1e-7, 0.5 + 1e-7], dtype=torch.float64)).requires_grad_()
    values = torch.stack([AdapWingLoss()(x, t) for x in p.split(1)])
    assert abs(values[1] - values[0]).item() < 1e-4
    values.sum().backward()
    assert abs(p.grad[1] - p.grad[0]).item() < 1e-3


@pytest.mark.parametrize("name", SIMPLE)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_arrays_give_the_loss_of_tensors(name, dtype):
    loss = build_loss({"name": name})
    p, t = (x.to(getattr(torch, dtype)) for x in pair(0, channels=3))
    truth = t.numpy().astype("uint8")
    torch.testing.assert_close(loss(p.numpy(), truth), loss(p, t))
    torch.testing.assert_close(loss(p.numpy()[..., ::-1], truth[..., ::-1]), loss(p, t))
    assert float(DiceLoss()(truth, truth)) == pytest.approx(-1)


def test_multi_class_dice_averages_the_chosen_classes():
    p, t = pair(0, channels=3)
    each = [DiceLoss()(p[:, i], t[:, i]) for i in range(3)]
    torch.testing.assert_close(MultiClassDiceLoss()(p, t), sum(each) / 3)
    torch.testing.assert_close(MultiClassDiceLoss([0, 2])(p, t), (each[0] + each[2]) / 2)


@given(seed=st.integers(0, 10_000))
@settings(max_examples=25, deadline=None)
def test_cross_entropy_is_the_one_of_torch(seed):
    p, t = pair(seed)
    torch.testing.assert_close(
        BinaryCrossEntropyLoss()(p, t), F.binary_cross_entropy(p, t), rtol=1e-4, atol=1e-6
    )
    torch.testing.assert_close(
        FocalLoss(gamma=0, alpha=0.5)(p, t),
        0.5 * F.binary_cross_entropy(p, t, reduction="sum"),
        rtol=1e-4,
        atol=1e-5,
    )


@given(seed=st.integers(0, 10_000))
@settings(max_examples=25, deadline=None)
def test_tversky_with_equal_weights_is_dice(seed):
    p, t = pair(seed, channels=1)
    torch.testing.assert_close(TverskyLoss(0.5, 0.5, smooth=0.5)(p, t), DiceLoss(smooth=1.0)(p, t))


@pytest.mark.parametrize("name", SIMPLE)
def test_perfect_prediction_is_best(name):
    p, t = pair(3)
    loss = build_loss({"name": name})
    assert loss(t, t) < loss(p, t)


@pytest.mark.parametrize("name", SIMPLE)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("content", ["empty", "full", "perfect", "opposite", "random"])
def test_finite_with_finite_gradients(name, dtype, content):
    p, t = pair(1)
    p, t = {
        "empty": (torch.zeros_like(t), torch.zeros_like(t)),
        "full": (torch.ones_like(t), torch.ones_like(t)),
        "perfect": (t, t),
        "opposite": (1 - t, t),
        "random": (p, t),
    }[content]
    p = p.to(dtype).requires_grad_()
    loss = build_loss({"name": name})(p, t.to(dtype))
    loss.backward()
    assert loss.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    assert loss.isfinite()
    assert p.grad.isfinite().all()


@pytest.mark.parametrize("params", EXTREMES, ids=lambda p: "-".join(map(str, p.values()))[:40])
@given(
    seed=st.integers(0, 10_000),
    dtype=st.sampled_from([torch.float16, torch.bfloat16, torch.float32]),
    scale=st.sampled_from([1.0, 10.0, 100.0]),
    activation=st.sampled_from(["sigmoid", "softmax", "relu"]),
    empty=st.sampled_from(["nothing", "one class", "all"]),
)
@settings(max_examples=10, deadline=None)
def test_training_in_half_precision_stays_finite(params, seed, dtype, scale, activation, empty):
    """From logits as autocast gives them, through the end of a network, with and without a label."""
    generator = torch.Generator().manual_seed(seed)
    logits = (scale * torch.randn(2, 3, 5, 4, generator=generator)).to(dtype).requires_grad_()
    target = (torch.rand(2, 2, 5, 4, generator=generator) > 0.6).to(torch.float32)
    target[:, 0] *= empty == "nothing"
    target[:, 1] *= empty != "all"
    loss = build_loss(params)(activate(logits, activation), target)
    loss.backward()
    assert loss.isfinite()
    assert logits.grad.isfinite().all()


def test_empty_prediction_and_target_without_smoothing():
    empty = torch.zeros(1, 1, 4, 4)
    assert DiceLoss(smooth=0.0)(empty, empty).item() == 0
    assert TverskyLoss(smooth=0.0)(empty, empty).item() == 0


def test_weights_of_the_resolutions_halve():
    assert level_weights(1) == [1]
    assert level_weights(3) == pytest.approx([4 / 7, 2 / 7, 1 / 7])


def test_coarse_targets_are_means():
    target = torch.tensor([[1.0, 1.0, 0.0, 0.0], [1.0, 0.0, 0.0, 0.0]]).reshape(1, 1, 2, 4)
    assert coarsened(target, (1, 2)).flatten().tolist() == [0.75, 0.0]
    assert coarsened(target, (2, 4)) is target


def test_deep_supervision_by_hand():
    # Half the sum of squared differences: 0.25 at full resolution; 0.9 against the target's mean 0.5 below.
    loss = DeepSupervisionLoss(L2loss())
    levels = [P, torch.full((1, 1, 1, 1), 0.9)]
    assert loss(levels, T).item() == pytest.approx(2 / 3 * 0.25 + 1 / 3 * 0.4**2 / 2)
    assert loss(P, T).item() == L2loss()(P, T).item()
    assert full_resolution(levels) is P
    assert full_resolution(P) is P


@pytest.mark.parametrize("name", SIMPLE)
@pytest.mark.parametrize("size", [(7, 5), (8, 6, 5)])
def test_deep_supervision_of_every_loss(name, size):
    torch.manual_seed(0)
    target = (torch.rand(2, 2, *size) > 0.9).float()
    levels = [torch.rand(2, 2, *(-(-n // 2**level) for n in size), requires_grad=True) for level in range(3)]
    DeepSupervisionLoss(build_loss({"name": name}))(levels, target).backward()
    assert all(level.grad.isfinite().all() and level.grad.any() for level in levels)


def test_half_precision_sums_do_not_overflow():
    p = torch.ones(1, 1, 400, 400, dtype=torch.float16)
    assert DiceLoss()(p, p).item() == pytest.approx(-1)


@pytest.mark.parametrize("name", SIMPLE)
def test_gradient_is_the_numerical_one(name):
    p, t = pair(2)
    p = (0.05 + 0.9 * p[:1, :, :2, :2]).double().requires_grad_()
    assert torch.autograd.gradcheck(build_loss({"name": name}), (p, t[:1, :, :2, :2].double()))


@pytest.mark.parametrize("name", SIMPLE)
def test_arguments_are_not_changed(name):
    p, t = pair(4)
    before = p.clone(), t.clone()
    build_loss({"name": name})(p, t)
    assert torch.equal(p, before[0])
    assert torch.equal(t, before[1])


def test_combination_is_the_sum():
    p, t = pair(5)
    combined = LossCombination(["L2loss", "DiceLoss"], [None, {"smooth": 2.0}])
    torch.testing.assert_close(combined(p, t), L2loss()(p, t) + DiceLoss(2.0)(p, t))
    torch.testing.assert_close(LossCombination(["L2loss"])(p, t), L2loss()(p, t))


def test_combination_needs_one_item_per_loss():
    with pytest.raises(ConfigError, match="1 items, 2 losses"):
        LossCombination(["L2loss", "DiceLoss"], [None])


def test_build_loss_passes_arguments_and_keeps_its_own():
    params = {"name": "FocalLoss", "gamma": 0.5}
    assert build_loss(params).gamma == 0.5
    assert params == {"name": "FocalLoss", "gamma": 0.5}


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"name": "DiceLos"}, "did you mean 'DiceLoss'"),
        ({}, "None is unknown"),
        ({"name": "FocalLoss", "gama": 1}, "did you mean 'gamma'"),
        ({"name": "L2loss", "smooth": 1}, "Accepted: none"),
        ({"name": "LossCombination", "losses_list": ["Dice"]}, "'Dice' is unknown"),
    ],
)
def test_unknown_names_are_explained(params, message):
    with pytest.raises(ConfigError, match=message):
        build_loss(params)


# Without the upper right voxel: p 1, 0.5, 0 and t 1, 0, 0.
LEFT = torch.tensor([[[[True, False], [True, True]]]])


def test_ignored_voxels_by_hand():
    assert DiceLoss()(P, T, LEFT).item() == pytest.approx(-(2 + 1) / (2.5 + 1))
    assert DiceLoss(smooth=0.0)(P, T, LEFT).item() == pytest.approx(-2 / 2.5)
    assert MultiClassDiceLoss()(P, T, LEFT).item() == pytest.approx(-(2 + 1) / (2.5 + 1))
    assert L2loss()(P, T, LEFT).item() == pytest.approx(0.25 / 2)
    # TP 1, FP 0.5, FN 0
    assert TverskyLoss(0.7, 0.3, 1.0)(P, T, LEFT).item() == pytest.approx(-2 / (1 + 0.35 + 1))
    expected = math.sqrt(1 - 2 / 2.35)
    assert FocalTverskyLoss(0.7, 0.3, 2.0, 1.0)(P, T, LEFT).item() == pytest.approx(expected)
    assert BinaryCrossEntropyLoss()(P, T, LEFT).item() == pytest.approx(math.log(2) / 3, rel=1e-5)
    focal = 0.75 * 0.5**2 * math.log(2)
    assert FocalLoss(gamma=2, alpha=0.25)(P, T, LEFT).item() == pytest.approx(focal, rel=1e-5)
    expected = math.log(focal) - 0.5 * math.log(3 / 3.5)
    assert FocalDiceLoss(beta=0.5)(P, T, LEFT).item() == pytest.approx(expected, rel=1e-5)
    wing = 14 * math.log(1 + 0.5**2.1)
    assert AdapWingLoss()(P, T, LEFT).item() == pytest.approx(wing, rel=1e-5)
    both = LossCombination(["DiceLoss", "L2loss"])(P, T, LEFT).item()
    assert both == pytest.approx(-3 / 3.5 + 0.125)


def test_generalised_dice_with_ignored_voxels_by_hand():
    # Without the last voxel: volumes 1 and 1, overlaps 0.5 and 0.5.
    p = torch.tensor([[0.5, 0.5, 0.0, 0.0], [0.0, 0.0, 0.5, 0.5]]).reshape(1, 2, 2, 2)
    t = torch.tensor([[1.0, 0.0, 0.0, 0.0], [0.0, 0.0, 1.0, 1.0]]).reshape(1, 2, 2, 2)
    mask = torch.tensor([[True, True], [True, False]]).reshape(1, 1, 2, 2)
    expected = -2 * (0.5 + 0.5) / ((1 + 1) + (0.5 + 1))
    assert GeneralizedDiceLoss(include_background=False)(p, t, mask).item() == pytest.approx(expected)
    # The background of the target is the second voxel; the ignored one is none.
    expected = -2 * (0.5 + 0.5) / ((1 + 1) + (0.5 + 1) + 1)
    assert GeneralizedDiceLoss()(p, t, mask).item() == pytest.approx(expected)


def loss_and_gradient(loss, prediction, target, mask=None):
    p = prediction.clone().requires_grad_()
    value = loss(p, target) if mask is None else loss(p, target, mask)
    value.backward()
    return value.detach(), p.grad


@pytest.mark.parametrize("params", EXTREMES, ids=str)
@given(seed=st.integers(0, 10_000), garbage=st.sampled_from([0.0, 1.0, 0.3, 7.0, math.nan]))
@settings(max_examples=10, deadline=None)
def test_what_is_ignored_changes_neither_loss_nor_gradient(params, seed, garbage):
    loss, (p, t) = build_loss(params), pair(seed, channels=3)
    mask = torch.rand(2, 1, 6, 5, generator=torch.Generator().manual_seed(seed)) > 0.4
    value, gradient = loss_and_gradient(loss, p, t, mask)
    fill = torch.tensor(garbage)
    for changed in ((torch.where(mask, p, fill), t), (p, torch.where(mask, t, fill))):
        other, its_gradient = loss_and_gradient(loss, *changed, mask)
        assert torch.equal(other, value)
        assert torch.equal(its_gradient, gradient)
    assert not gradient[~mask.expand_as(gradient)].any()
    assert gradient[mask.expand_as(gradient)].any()


@pytest.mark.parametrize("params", EXTREMES, ids=str)
@given(seed=st.integers(0, 10_000))
@settings(max_examples=5, deadline=None)
def test_ignoring_nothing_is_the_loss_to_the_last_bit(params, seed):
    loss, (p, t) = DeepSupervisionLoss(build_loss(params)), pair(seed, channels=3)
    whole, masked = loss_and_gradient(loss, p, t), loss_and_gradient(loss, p, t, torch.ones(2, 1, 6, 5) > 0)
    assert all(map(torch.equal, whole, masked))


@pytest.mark.parametrize("params", EXTREMES, ids=str)
def test_a_batch_that_is_ignored_has_no_loss_and_no_gradient(params):
    loss, (p, t) = build_loss(params), pair(0, channels=3)
    nothing = torch.zeros(2, 1, 6, 5, dtype=torch.bool)
    for prediction, target in ((p, t), (torch.zeros_like(p), t), (torch.ones_like(p), torch.zeros_like(t))):
        value, gradient = loss_and_gradient(loss, prediction, target, nothing)
        assert value == 0
        assert torch.equal(gradient, torch.zeros_like(p))


@pytest.mark.parametrize("params", EXTREMES, ids=str)
def test_a_sample_that_is_ignored_is_as_if_it_were_not_there(params):
    loss, (p, t) = build_loss(params), pair(0, channels=3)
    mask = torch.tensor([True, False]).reshape(2, 1, 1, 1).expand(2, 1, 6, 5)
    torch.testing.assert_close(loss(p, t, mask), loss(p[:1], t[:1]))


def test_resolutions_leave_ignored_voxels_out_of_the_mean_of_a_coarse_voxel():
    target = torch.tensor([[[[1.0, 1.0, 1.0, 0.0], [0.0, 0.0, 1.0, 1.0]]]])
    mask = torch.tensor([[[[True, False, True, False], [True, True, False, False]]]])
    coarse, counted = coarsened_where(mask, target, (1, 2))
    torch.testing.assert_close(coarse, torch.tensor([[[[1 / 3, 1.0]]]]))
    assert counted.tolist() == [[[[True, False]]]]  # a quarter is too little
    loss = DeepSupervisionLoss(L2loss())
    fine, low = torch.zeros(1, 1, 2, 4), torch.zeros(1, 1, 1, 2)
    value = loss([fine, low], target, mask)
    assert value.item() == pytest.approx(2 / 3 * (1 + 1) / 2 + 1 / 3 * (1 / 3) ** 2 / 2)
    everything = torch.ones_like(mask)
    assert torch.equal(loss([fine, low], target, everything), loss([fine, low], target))


class WithoutMask(torch.nn.Module):
    def forward(self, prediction, target):
        return (prediction - target).sum()


def test_the_signature_says_which_losses_can_ignore():
    assert [name for name in LOSSES if losses_without_mask(name, {})] == []
    own = f"{__name__}:WithoutMask"
    assert losses_without_mask(own, {}) == [own]
    assert losses_without_mask("LossCombination", {"losses_list": ["DiceLoss", own]}) == [own]
    assert DeepSupervisionLoss(WithoutMask())(P, T) == 0
