"""Metrics of volumes drawn by hand."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage

from ivadomed.errors import ConfigError, DataError
from ivadomed.evaluation import Evaluation3DMetrics, evaluate_pair

ZOOMS = (0.5, 2.0, 3.0)  # 3 mm3 per voxel
masks = hnp.arrays(np.uint8, (6, 5, 4, 1), elements=st.sampled_from([0, 0, 1]))


def scene() -> tuple[np.ndarray, np.ndarray]:
    """[20, 20, 4, 1] prediction and truth: one lesion found, one missed, one made up."""
    prediction, truth = np.zeros((2, 20, 20, 4, 1))
    truth[1:4, 1:5, 1] = 1  # 12 voxels
    prediction[2:5, 1:5, 1] = 1  # 12 voxels, 8 of them true
    truth[10:12, 10:13, 2] = 1  # 6 voxels, 2 predicted
    prediction[11, 11:13, 2] = 1  # 2 voxels, both true
    prediction[16:18, 16:19, 0] = 1  # 6 voxels, none true
    return prediction, truth


def test_voxel_metrics_by_hand():
    # TP 10, FP 10, FN 8, TN 1572
    values = evaluate_pair(*scene(), ZOOMS).metrics
    expected = {
        "vol_pred": 60,
        "vol_gt": 54,
        "rvd": -6 / 54,
        "avd": 6 / 54,
        "dice": 20 / 38,
        "precision": 10 / 20,
        "recall": 10 / 18,
        "specificity": 1572 / 1582,
        "mse": 18 / 400,
        "vs": 1 - 2 / 38,
    }
    assert {name: values[f"{name}_class0"] for name in expected} == pytest.approx(expected)


def test_objects_by_hand():
    values, painted = evaluate_pair(*scene(), ZOOMS)
    assert (values["n_pred_class0"], values["n_gt_class0"]) == (3, 2)
    assert values["ltpr_class0"] == 1 / 2
    assert values["lfdr_class0"] == pytest.approx(2 / 3)
    assert values["lf1_class0"] == pytest.approx(2 * (1 / 2) * (1 / 3) / (1 / 2 + 1 / 3))
    assert painted.shape == (20, 20, 4)
    assert np.bincount(painted.ravel())[1:].tolist() == [12, 8, 4]
    assert painted[2, 1, 1] == 1
    assert painted[16, 16, 0] == painted[11, 11, 2] == 2
    assert painted[10, 10, 2] == 3
    assert painted[1, 1, 1] == 0  # the missed voxels of a found lesion are no missed lesion


@pytest.mark.parametrize(
    ("overlap", "ltpr", "lfdr"),
    [
        ({"unit": "vox", "thr": 2}, 1, 1 / 3),
        ({"unit": "vox", "thr": 8}, 1 / 2, 2 / 3),
        ({"unit": "vox", "thr": 9}, 0, 1),
        ({"unit": "vox", "thr": 0}, 1, 1 / 3),
        ({"unit": "mm3", "thr": 6}, 1, 1 / 3),
        ({"unit": "mm3", "thr": 7}, 1 / 2, 2 / 3),  # 3 mm3 per voxel: three of them
        ({"unit": "ratio", "thr": 0.3}, 1, 1 / 3),
        ({"unit": "ratio", "thr": 0.5}, 1 / 2, 1 / 3),
        ({"unit": "ratio", "thr": 1}, 0, 2 / 3),
    ],
)
def test_overlap_that_counts_as_found(overlap, ltpr, lfdr):
    values = evaluate_pair(*scene(), ZOOMS, {"overlap": overlap}).metrics
    assert values["ltpr_class0"] == pytest.approx(ltpr)
    assert values["lfdr_class0"] == pytest.approx(lfdr)


def test_generous_outline_of_a_small_lesion_is_no_false_detection():
    prediction, truth = np.zeros((2, 9, 9, 1, 1))
    prediction[1:8, 1:8] = 1
    truth[3:5, 3:5] = 1
    values = evaluate_pair(prediction, truth, ZOOMS, {"overlap": {"unit": "ratio", "thr": 0.5}}).metrics
    assert (values["ltpr_class0"], values["lfdr_class0"]) == (1, 0)


def test_parts_of_one_lesion_count_together():
    prediction, truth = np.zeros((2, 9, 9, 1, 1))
    truth[2, 1:8] = 1
    prediction[2, [1, 2, 5, 6]] = 1
    values = evaluate_pair(prediction, truth, ZOOMS, {"overlap": {"unit": "ratio", "thr": 0.5}}).metrics
    assert (values["ltpr_class0"], values["n_pred_class0"], values["lfdr_class0"]) == (1, 2, 0)


def test_size_ranges_in_voxels():
    values = evaluate_pair(*scene(), ZOOMS, {"target_size": {"unit": "vox", "thr": [5, 6]}}).metrics
    sized = {name: value for name, value in values.items() if "vox" in name}
    assert sized == {
        "lfdr_0-5vox_class0": 1,
        "lf1_0-5vox_class0": 0,
        "lf1_6-6vox_class0": 0,
        "lf1_7-INFvox_class0": 1,
        "ltpr_6-6vox_class0": 0,
        "lfdr_6-6vox_class0": 1,
        "n_6-6vox": 1,
        "ltpr_7-INFvox_class0": 1,
        "lfdr_7-INFvox_class0": 0,
        "n_7-INFvox": 1,
    }


def test_size_ranges_in_volume_leave_no_gap():
    # 18 mm3 belongs to the first range, 36 mm3 to the second; names are in voxels
    sizes = {"unit": "mm3", "thr": [18]}
    values = evaluate_pair(*scene(), ZOOMS, {"target_size": sizes}).metrics
    assert values["n_0-6.0mm3"] == 1
    assert values["n_6.0-INFmm3"] == 1
    labels = Evaluation3DMetrics(*scene(), ZOOMS, {"target_size": sizes}).label_per_size(scene()[1][..., 0])
    assert np.bincount(labels.ravel())[1:].tolist() == [6, 12]


@pytest.mark.parametrize("key", ["remove_small", "removeSmall"])
@pytest.mark.parametrize(("unit", "thr"), [("vox", 7), ("mm3", 21), ("mm3", [19])])
def test_small_objects_are_removed_from_both(key, unit, thr):
    prediction, truth = scene()
    values, painted = evaluate_pair(prediction, truth, ZOOMS, {key: {"unit": unit, "thr": thr}})
    assert (values["n_pred_class0"], values["n_gt_class0"]) == (1, 1)
    assert values["vol_gt_class0"] == 36
    assert painted.sum() == 12
    assert prediction.sum() == 20


def test_classes_are_apart():
    prediction, truth = scene()
    both = [np.concatenate([a, b], axis=-1) for a, b in ((prediction, truth), (truth, truth))]
    sizes = {"target_size": {"unit": "vox", "thr": [7]}}
    values, painted = evaluate_pair(*both, ZOOMS, sizes)
    single = evaluate_pair(prediction, truth, ZOOMS, sizes).metrics
    assert painted.shape == (20, 20, 4, 2)
    assert values["dice_class0"] == single["dice_class0"]
    assert values["dice_class1"] == values["ltpr_class1"] == 1
    assert values["n_8-INFvox_class0"] == values["n_8-INFvox_class1"] == values["n_8-INFvox"] == 1


def test_without_object_detection():
    values, painted = evaluate_pair(*scene(), ZOOMS, {"object_detection_metrics": False})
    assert np.isnan(values["ltpr_class0"])
    assert np.isnan(values["lfdr_class0"])
    assert values["n_pred_class0"] == 3
    np.testing.assert_array_equal(painted, scene()[0][..., 0])


def test_surfaces_by_hand():
    # A wall of two slices against the one behind it: every distance across it is one slice of 3 mm.
    prediction, truth = np.zeros((2, 8, 8, 9, 1))
    prediction[:, :, 2:4] = truth[:, :, 3:5] = 1
    values = evaluate_pair(prediction, truth, ZOOMS, {"surface_tolerance_mm": 3}).metrics
    assert (values["hd_class0"], values["hd95_class0"], values["nsd_class0"]) == (3, 3, 1)
    assert (
        0 < evaluate_pair(prediction, truth, ZOOMS, {"surface_tolerance_mm": 2.9}).metrics["nsd_class0"] < 1
    )
    soft = evaluate_pair(prediction * 0.6, truth, ZOOMS).metrics
    assert soft["hd_class0"] == 3
    assert np.isnan(evaluate_pair(prediction * 0.4, truth, ZOOMS).metrics["hd_class0"])


def test_without_surfaces():
    values = evaluate_pair(*scene(), ZOOMS, {"surface_metrics": False}).metrics
    assert not [name for name in values if name.startswith(("hd", "assd", "nsd"))]


def documented_columns() -> dict[str, tuple[str, str, str]]:
    """Metric -> values for both empty, prediction empty, ground truth empty, from the documentation."""
    page = (Path(__file__).parents[3] / "docs" / "metrics.md").read_text(encoding="utf-8")
    rows = [
        line.replace("\\|", "").strip("| ").split("|") for line in page.splitlines() if line.count("|") > 6
    ]
    cells = [[cell.strip() for cell in row] for row in rows]
    return {row[0].strip("`"): (row[3], row[4], row[5]) for row in cells if row[0].startswith("`")}


def test_empty_masks_have_the_documented_values():
    empty, full = np.zeros((6, 6, 4, 1)), np.zeros((6, 6, 4, 1))
    full[1:4, 1:5, 1:3] = 1
    documented = documented_columns()
    for case, pair in enumerate([(empty, empty), (empty, full), (full, empty)]):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            values = evaluate_pair(*pair, ZOOMS).metrics
        assert {name.removesuffix("_class0") for name in values} == set(documented)
        for name, expected in documented.items():
            value = values[f"{name}_class0"]
            if expected[case] == "undefined":
                assert np.isnan(value), name
            elif expected[case] == "usual":
                assert 0 < value < np.inf, name
            else:
                assert value == float(expected[case]), name


def test_no_background_no_specificity():
    full = np.ones((4, 4, 2, 1))
    assert np.isnan(evaluate_pair(full, full, ZOOMS).metrics["specificity_class0"])


@given(masks, masks, st.integers(1, 4))
@settings(max_examples=40, deadline=None)
def test_objects_agree_with_a_search_object_by_object(prediction, truth, least):
    params = {"overlap": {"unit": "vox", "thr": least}}
    values, painted = evaluate_pair(prediction, truth, ZOOMS, params)
    structure = ndimage.generate_binary_structure(3, 2)
    expected = np.zeros(painted.shape, np.uint8)
    rates = {}
    for name, own, other in (("ltpr", truth, prediction), ("lfdr", prediction, truth)):
        labels, count = ndimage.label(own[..., 0], structure)
        found = [(other[..., 0][labels == i + 1] > 0).sum() >= least for i in range(count)]
        hits = found if name == "ltpr" else [not hit for hit in found]
        rates[name] = np.mean(hits) if count else np.nan
        for i, hit in enumerate(found):
            if name == "lfdr":
                expected[labels == i + 1] = 1 if hit else 2
            elif not hit:
                expected[labels == i + 1] = 3
    assert values["ltpr_class0"] == pytest.approx(rates["ltpr"], nan_ok=True)
    assert values["lfdr_class0"] == pytest.approx(rates["lfdr"], nan_ok=True)
    np.testing.assert_array_equal(painted, expected)


@given(masks, masks, st.sampled_from([{"unit": "vox", "thr": 2}, {"unit": "ratio", "thr": 0.4}]))
@settings(max_examples=25, deadline=None)
def test_mirrored_volumes_evaluate_the_same(prediction, truth, overlap):
    params = {"overlap": overlap, "target_size": {"unit": "vox", "thr": [2, 5]}}
    values, painted = evaluate_pair(prediction, truth, ZOOMS, params)
    mirrored = evaluate_pair(prediction[::-1, :, ::-1], truth[::-1, :, ::-1], ZOOMS, params)
    assert mirrored.metrics == pytest.approx(values, nan_ok=True)
    np.testing.assert_array_equal(mirrored.painted[::-1, :, ::-1], painted)


def test_attributes_of_the_class():
    evaluator = Evaluation3DMetrics(*scene(), ZOOMS)
    assert (evaluator.px, evaluator.py, evaluator.pz) == ZOOMS
    assert (evaluator.n_classes, evaluator.n_pred, evaluator.n_gt) == (1, [3], [2])
    assert (evaluator.overlap_vox, evaluator.overlap_ratio, evaluator.size_min) == (3, None, [0])
    assert evaluator.data_pred_label.max() == 3
    assert evaluator.data_gt_label.shape == (20, 20, 4, 1)
    assert evaluator.bin_struct.sum() == 19
    assert evaluator.get_vol(evaluator.data_gt) == 54
    assert evaluator.get_rvd() == pytest.approx(-6 / 54)
    assert evaluator.get_ltpr() == (0.5, 2)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"overlaps": {}}, "did you mean 'overlap'"),
        ({"overlap": {"unit": "mm", "thr": 3}}, "'vox', 'mm3' or 'ratio'"),
        ({"surface_tolerance_mm": -1}, "greater than or equal to 0"),
        ({"overlap": {"unit": "ratio", "thr": 3}}, "from 0 to 1"),
        ({"target_size": {"unit": "vox", "thr": [100, 20]}}, "does not increase"),
        ({"target_size": {"unit": "vox"}}, "thr: is missing"),
        ({"remove_small": {"unit": "vox", "thr": [1, 2]}}, "2 values for 1 classes"),
    ],
)
def test_parameters_that_make_no_sense(params, message):
    with pytest.raises(ConfigError, match=message):
        evaluate_pair(*scene(), ZOOMS, params)


def test_shapes_must_agree():
    prediction, truth = scene()
    with pytest.raises(DataError, match=r"\(20, 20, 4, 1\).*\(19, 20, 4, 1\)"):
        evaluate_pair(prediction, truth[1:], ZOOMS)
    with pytest.raises(DataError, match="classes"):
        evaluate_pair(prediction[..., 0], truth[..., 0], ZOOMS)
