"""Metrics against hand-counted numbers, scikit-learn and scipy."""

from __future__ import annotations

import math
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.spatial.distance import directed_hausdorff
from sklearn import metrics as sk

from ivadomed import metrics
from ivadomed.metrics import METRICS

# TP 2, FP 1, FN 3, TN 4
PREDICTION = np.array([[1, 1, 1, 0, 0], [0, 0, 0, 0, 0]], np.float32)
TRUTH = np.array([[1, 1, 0, 1, 1], [1, 0, 0, 0, 0]], np.float32)
EMPTY = np.zeros((3, 4), np.float32)
FULL = np.ones((3, 4), np.float32)

masks = hnp.arrays(np.float32, (2, 5, 6), elements=st.sampled_from([0.0, 1.0]))


def test_numeric_score_counts():
    assert metrics.numeric_score(PREDICTION, TRUTH) == (1, 3, 2, 4)


def test_numeric_score_soft():
    assert metrics.numeric_score(np.array([0.25, 0.5]), np.array([1.0, 0.0])) == (0.5, 0.75, 0.25, 0.5)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("dice_score", 4 / 8),
        ("precision_score", 2 / 3),
        ("recall_score", 2 / 5),
        ("specificity_score", 4 / 5),
        ("intersection_over_union", 2 / 6),
        ("accuracy_score", 6 / 10),
        ("mse", 4 / 10),
    ],
)
def test_hand_counted(name, expected):
    assert getattr(metrics, name)(PREDICTION, TRUTH) == pytest.approx(expected)


@given(masks, masks)
@settings(max_examples=40, deadline=None)
def test_agrees_with_scikit_learn(prediction, truth):
    p, t = prediction.ravel(), truth.ravel()
    options = {"zero_division": 0.0}
    assert metrics.precision_score(prediction, truth) == pytest.approx(sk.precision_score(t, p, **options))
    assert metrics.recall_score(prediction, truth) == pytest.approx(sk.recall_score(t, p, **options))
    assert metrics.specificity_score(prediction, truth) == pytest.approx(
        sk.recall_score(t, p, pos_label=0, **options)
    )
    assert metrics.intersection_over_union(prediction, truth) == pytest.approx(
        sk.jaccard_score(t, p, **options)
    )
    assert metrics.accuracy_score(prediction, truth) == pytest.approx(sk.accuracy_score(t, p))
    assert metrics.dice_score(prediction, truth, empty_score=0.0) == pytest.approx(
        sk.f1_score(t, p, **options)
    )


@given(masks, masks)
@settings(max_examples=30, deadline=None)
def test_dice_is_symmetric_bounded_and_follows_from_iou(a, b):
    dice, iou = metrics.dice_score(a, b, empty_score=0.0), metrics.intersection_over_union(a, b)
    assert dice == metrics.dice_score(b, a, empty_score=0.0)
    assert 0 <= dice <= 1
    assert dice == pytest.approx(2 * iou / (1 + iou))


def test_empty_masks():
    assert np.isnan(metrics.dice_score(EMPTY, EMPTY))
    assert metrics.dice_score(EMPTY, EMPTY, empty_score=1.0) == 1.0
    assert metrics.dice_score(EMPTY, FULL) == 0
    assert metrics.precision_score(EMPTY, FULL) == 0
    assert np.isnan(metrics.precision_score(EMPTY, FULL, err_value=np.nan))
    assert np.isnan(metrics.recall_score(FULL, EMPTY, err_value=np.nan))
    assert np.isnan(metrics.specificity_score(FULL, FULL, err_value=np.nan))
    assert metrics.specificity_score(EMPTY, EMPTY) == 1
    assert metrics.intersection_over_union(EMPTY, EMPTY, err_value=-1) == -1


def test_integer_masks_do_not_wrap_around():
    prediction, truth = np.zeros((2, 2), np.uint8), np.ones((2, 2), np.uint8)
    assert metrics.mse(prediction, truth) == 1
    assert metrics.numeric_score(prediction, truth) == (0, 4, 0, 0)


def test_shapes_must_agree():
    with pytest.raises(ValueError, match=r"\(3, 4\) and \(4,\)"):
        metrics.dice_score(FULL, FULL[0])


def test_multi_class_dice_counts_a_class_that_is_empty_in_both_as_1():
    a = np.stack([PREDICTION, np.zeros_like(PREDICTION), PREDICTION])
    b = np.stack([TRUTH, np.zeros_like(TRUTH), PREDICTION])
    assert metrics.multi_class_dice_score(a, b) == pytest.approx((0.5 + 1 + 1) / 3)
    assert metrics.multi_class_dice_score(a[1:2], b[1:2]) == 1


def test_mse_of_a_volume_is_per_pixel_of_the_first_two_axes():
    assert metrics.mse(np.ones((2, 3, 5)), np.zeros((2, 3, 5))) == 5


@given(st.integers(0, 2**31 - 1))
@settings(max_examples=20, deadline=None)
def test_hausdorff_agrees_with_scipy(seed):
    rng = np.random.default_rng(seed)
    a, b = rng.random((2, 7, 4)), rng.random((2, 7, 4))
    assert metrics.hausdorff_score(a[0], b[0]) == pytest.approx(directed_hausdorff(a[0], b[0])[0])
    rows = [directed_hausdorff(a[:, i], b[:, i])[0] for i in range(7)]
    assert metrics.hausdorff_score(a, b) == pytest.approx(np.mean(rows))
    a, b = rng.random((3, 6, 5, 4)), rng.random((3, 6, 5, 4))
    sets = [directed_hausdorff(a[c, :, w], b[c, :, w])[0] for c in range(3) for w in range(5)]
    assert metrics.hausdorff_score(a, b) == pytest.approx(np.mean(sets))


def test_hausdorff_of_equal_and_empty_arrays_is_zero():
    volume = np.random.default_rng(0).random((1, 6, 5, 4))
    assert metrics.hausdorff_score(volume, volume) == 0
    assert metrics.hausdorff_score(volume, volume[:, ::-1]) == 0  # the same profiles in another order
    assert metrics.hausdorff_score(volume * 0, volume * 0) == 0
    with pytest.raises(ValueError, match="2 to 4 axes"):
        metrics.hausdorff_score(np.zeros(3), np.zeros(3))


def test_metric_manager_averages_samples_and_leaves_nan_out():
    manager = metrics.MetricManager([metrics.dice_score, metrics.recall_score])
    truth = np.stack([TRUTH, np.zeros_like(TRUTH), TRUTH])[:, None]
    prediction = np.stack([PREDICTION, np.zeros_like(PREDICTION), TRUTH])[:, None]
    manager(prediction[:2], truth[:2])
    manager(prediction[2:], truth[2:])
    assert manager.num_samples == 3
    assert manager.get_results() == {
        "dice_score": pytest.approx((0.5 + 1) / 2),
        "recall_score": pytest.approx((0.4 + 0 + 1) / 3),
    }
    manager.reset()
    assert manager.num_samples == 0
    assert np.isnan(manager.get_results()["dice_score"])


@given(hnp.arrays(np.float32, (6, 1, 4, 4), elements=st.floats(0, 1, width=32)))
@settings(max_examples=20, deadline=None)
def test_metric_manager_does_not_depend_on_the_batch_size(prediction):
    truth = np.round(prediction[::-1])
    results = []
    for size in (1, 4):
        manager = metrics.MetricManager(metrics.get_metric_fns("segmentation"))
        for start in range(0, 6, size):
            manager(prediction[start : start + size], truth[start : start + size])
        results.append(manager.get_results())
    assert results[0] == pytest.approx(results[1], nan_ok=True)


def test_metric_fns_of_tasks():
    names = [metric.__name__ for metric in metrics.get_metric_fns("segmentation")]
    assert names == [
        "dice_score",
        "multi_class_dice_score",
        "precision_score",
        "recall_score",
        "specificity_score",
        "intersection_over_union",
        "accuracy_score",
        "hausdorff_score",
    ]
    assert [m.__name__ for m in metrics.get_metric_fns("classification")] == names[:-1]
    with pytest.raises(ValueError, match="segmentation"):
        metrics.get_metric_fns("segmentaton")


def test_plots_are_written(tmp_path):
    metrics.plot_dice_thr([0.1, 0.5, 0.9], [0.2, 0.8, 0.3], 1, tmp_path / "thr.png")
    metrics.plot_roc_curve([0, 0.8, 1], [0, 0.1, 1], 1, str(tmp_path / "roc.png"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["roc.png", "thr.png"]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in tmp_path.iterdir())


def test_import_is_light():
    code = (
        "import sys, ivadomed.metrics; print({'matplotlib', 'scipy', 'torch', 'pandas'} & set(sys.modules))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "set()"


@given(seed=st.integers(0, 1000))
def test_a_mask_leaves_voxels_out_of_sums_and_denominators(seed):
    rng = np.random.default_rng(seed)
    a, b = rng.random((2, 2, 4, 5))
    mask = rng.random((1, 4, 5)) > 0.5
    mask[0, 0, 0] = True
    kept = np.broadcast_to(mask, a.shape)
    for name, function in METRICS.items():
        masked = function(a, b, mask=mask)
        assert function(np.where(kept, a, 9), np.where(kept, b, 5), mask=mask) == masked, name
        assert function(a, b, mask=np.ones_like(mask)) == function(a, b), name
        if name not in ("hausdorff_score", "multi_class_dice_score", "mse"):
            assert masked == pytest.approx(function(a[kept], b[kept])), name
    assert METRICS["mse"](a, b, mask=mask) == pytest.approx(((a - b)[kept] ** 2).mean() * 5)
    assert math.isnan(METRICS["mse"](a, b, mask=np.zeros_like(mask)))
