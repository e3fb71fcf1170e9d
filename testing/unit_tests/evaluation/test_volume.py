"""Metrics of volumes drawn by hand."""

from __future__ import annotations

import os
import re
import warnings
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage

from ivadomed.errors import ConfigError, DataError
from ivadomed.evaluation import Evaluation3DMetrics, evaluate_pair
from ivadomed.metrics.descriptions import COLUMNS

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
        ({"unit": "mm3", "thr": 7}, 1, 1 / 3),  # 3 mm3 per voxel: rounded to two of them
        ({"unit": "mm3", "thr": 8}, 1 / 2, 2 / 3),
        ({"unit": "ratio", "thr": 0.3}, 1, 1 / 3),
        ({"unit": "ratio", "thr": 0.5}, 1 / 2, 2 / 3),
        ({"unit": "ratio", "thr": 1}, 0, 1),
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


def test_ratio_is_one_of_true_lesions_in_whole_voxels():
    prediction, truth = np.zeros((2, 9, 9, 1, 1))
    truth[2, 1:8] = 1  # 7 voxels, of which a half are round(3.5) = 4
    prediction[2, [1, 2, 5, 6]] = 1
    half = {"overlap": {"unit": "ratio", "thr": 0.5}}
    values = evaluate_pair(prediction, truth, ZOOMS, half).metrics
    # Both parts together find the lesion; none of them holds half of it.
    assert (values["ltpr_class0"], values["n_pred_class0"], values["lfdr_class0"]) == (1, 2, 2 / 3)
    truth[2, 7] = 0  # 6 voxels, of which a half are 3
    prediction[2, 3] = 1
    assert evaluate_pair(prediction, truth, ZOOMS, half).metrics["lfdr_class0"] == 1 / 2


def test_false_detections_are_counted_beside_the_lesions_that_are_found():
    prediction, truth = np.zeros((2, 20, 9, 1, 1))
    truth[1:4, 1:3] = truth[6:9, 1:3] = 1
    prediction[1:9, 1:3] = 1  # one object that finds two lesions
    prediction[15:17, 1:3] = 1
    values = evaluate_pair(prediction, truth, ZOOMS).metrics
    assert (values["ltpr_class0"], values["lfdr_class0"]) == (1, pytest.approx(1 / 3))
    assert values["lf1_class0"] == pytest.approx(2 * 2 / (2 * 2 + 1))


def test_size_ranges_in_voxels():
    values = evaluate_pair(*scene(), ZOOMS, {"target_size": {"unit": "vox", "thr": [5, 6]}}).metrics
    sized = {name: value for name, value in values.items() if "vox" in name}
    assert sized == pytest.approx(
        {
            "ltpr_0-5vox_class0": np.nan,
            "lfdr_0-5vox_class0": 1,
            "lf1_0-5vox_class0": 0,
            "n_0-5vox": 0,
            "ltpr_6-6vox_class0": 0,
            "lfdr_6-6vox_class0": 1,
            "lf1_6-6vox_class0": 0,
            "n_6-6vox": 1,
            "ltpr_7-INFvox_class0": 1,
            "lfdr_7-INFvox_class0": 0,
            "lf1_7-INFvox_class0": 1,
            "n_7-INFvox": 1,
        },
        nan_ok=True,
    )


@pytest.mark.parametrize("detection", [True, False])
def test_columns_by_size_are_the_same_for_all_images(detection):
    params = {"target_size": {"unit": "vox", "thr": [5, 100]}, "object_detection_metrics": detection}
    prediction, truth = scene()
    empty = np.zeros_like(truth)
    pairs = [(prediction, truth), (empty, truth), (prediction, empty), (empty, empty)]
    tables = [evaluate_pair(*pair, ZOOMS, params).metrics for pair in pairs]
    assert len({tuple(table) for table in tables}) == 1
    none = {name: value for name, value in tables[3].items() if "vox" in name}
    assert set(none) == {
        f"{name}_{sizes}{'' if name == 'n' else '_class0'}"
        for name in ("n", "ltpr", "lfdr", "lf1")
        for sizes in ("0-5vox", "6-100vox", "101-INFvox")
    }
    assert all(value == 0 if name.startswith("n_") else np.isnan(value) for name, value in none.items())


def test_number_by_size_is_that_of_the_last_class_and_of_each_class():
    prediction, truth = scene()
    pairs = [
        np.concatenate([a, b], axis=-1) for a, b in ((prediction, prediction), (truth, np.zeros_like(truth)))
    ]
    values = evaluate_pair(*pairs, ZOOMS, {"target_size": {"unit": "vox", "thr": [7]}}).metrics
    assert (values["n_8-INFvox"], values["n_8-INFvox_class0"], values["n_8-INFvox_class1"]) == (0, 1, 0)
    assert values["lfdr_8-INFvox_class1"] == 1
    assert np.isnan(values["ltpr_8-INFvox_class1"])


def test_size_ranges_in_volume_leave_no_gap():
    # 18 mm3 belongs to the first range, 36 mm3 to the second; names are in voxels
    sizes = {"unit": "mm3", "thr": [18]}
    values = evaluate_pair(*scene(), ZOOMS, {"target_size": sizes}).metrics
    assert values["n_0.0-6.0mm3"] == 1
    assert values["n_6.0-INFmm3"] == 1
    labels = Evaluation3DMetrics(*scene(), ZOOMS, {"target_size": sizes}).label_per_size(scene()[1][..., 0])
    assert np.bincount(labels.ravel())[1:].tolist() == [6, 12]


def test_limits_in_volume_are_whole_voxels():
    # Of 0.75 mm3 each, 200 mm3 are 266.7 voxels: 267 of them belong to the range below.
    prediction, truth = np.zeros((2, 30, 10, 1, 1))
    truth.reshape(-1)[:267] = 1
    params = {"target_size": {"unit": "mm3", "thr": [30, 200]}, "remove_small": {"unit": "vox", "thr": 20}}
    values = evaluate_pair(prediction, truth, (0.5, 0.75, 2.0), params).metrics
    assert {name: value for name, value in values.items() if name.startswith("n_") and "mm3" in name} == {
        "n_27.0-40.0mm3": 0,
        "n_41.0-267.0mm3": 1,
        "n_268.0-INFmm3": 0,
    }


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


def test_small_objects_of_one_class_or_all():
    prediction, truth = (np.concatenate([mask, mask], axis=-1) for mask in scene())
    evaluator = Evaluation3DMetrics(
        prediction, truth, ZOOMS, {"remove_small": {"unit": "vox", "thr": [0, 7]}}
    )
    assert evaluator.remove_small_objects(truth).sum(axis=(0, 1, 2)).tolist() == [18, 12]
    assert evaluator.remove_small_objects(truth[..., 1]).sum() == 18
    assert evaluator.remove_small_objects(truth[..., 1], class_idx=1).sum() == 12


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


def test_empty_masks_have_the_documented_values():
    empty, full = np.zeros((6, 6, 4, 1)), np.zeros((6, 6, 4, 1))
    full[1:4, 1:5, 1:3] = 1
    for case, pair in enumerate([(empty, empty), (empty, full), (full, empty)]):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            values = evaluate_pair(*pair, ZOOMS).metrics
        assert {name.removesuffix("_class0") for name in values} == set(COLUMNS)
        for name, described in COLUMNS.items():
            expected = described.empty
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


def detections(prediction, truth, overlap):
    """Object by object: which true ones are found, which predicted ones are none, and both labelled."""
    structure = ndimage.generate_binary_structure(3, 2)
    (guesses, n_guesses), (lesions, n_lesions) = (
        ndimage.label(mask, structure) for mask in (prediction, truth)
    )
    sizes = [int((lesions == lesion).sum()) for lesion in range(1, n_lesions + 1)]

    def least(size):
        return max(round(overlap["thr"] * size), 1) if overlap["unit"] == "ratio" else overlap["thr"]

    found = [(prediction[lesions == n + 1] > 0).sum() >= least(sizes[n]) for n in range(n_lesions)]
    false = []
    for n in range(n_guesses):
        inside = guesses == n + 1
        if overlap["unit"] == "ratio":
            false.append(
                not any((lesions[inside] == k + 1).sum() >= least(size) for k, size in enumerate(sizes))
            )
        else:
            false.append((truth[inside] > 0).sum() < least(0))
    return found, false, lesions, guesses


@given(
    masks,
    masks,
    st.sampled_from([("vox", 1), ("vox", 2), ("vox", 4), ("ratio", 0.25), ("ratio", 0.5), ("ratio", 1)]),
)
@settings(max_examples=60, deadline=None)
def test_objects_agree_with_a_search_object_by_object(prediction, truth, limit):
    overlap = dict(zip(("unit", "thr"), limit, strict=True))
    params = {"overlap": overlap, "target_size": {"unit": "vox", "thr": [2, 5]}}
    values, painted = evaluate_pair(prediction, truth, ZOOMS, params)
    found, false, lesions, guesses = detections(prediction[..., 0], truth[..., 0], overlap)
    expected = np.zeros(painted.shape, np.uint8)
    for n, hit in enumerate(found):
        expected[(lesions == n + 1) & (not hit)] = 3
    for n, wrong in enumerate(false):
        expected[guesses == n + 1] = 2 if wrong else 1
    np.testing.assert_array_equal(painted, expected)

    def of_size(labels, hits, low, high):
        return [hit for n, hit in enumerate(hits) if low <= (labels == n + 1).sum() <= high]

    for part, low, high in (("", 0, 999), ("_0-2vox", 0, 2), ("_3-5vox", 3, 5), ("_6-INFvox", 6, 999)):
        hits, wrong = of_size(lesions, found, low, high), of_size(guesses, false, low, high)
        n_found, n_false = sum(hits), sum(wrong)
        assert values[f"ltpr{part}_class0"] == pytest.approx(np.mean(hits) if hits else np.nan, nan_ok=True)
        rate = n_false / (n_found + n_false) if n_found + n_false else np.nan
        assert values[f"lfdr{part}_class0"] == pytest.approx(rate, nan_ok=True)
        if part:
            assert values[f"n{part}"] == len(hits)


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
        ({"metrics": ["dice_scor"]}, "'dice_scor' is unknown; did you mean 'dice_score'"),
        ({"metrics": ["nowhere:metric"]}, "'nowhere:metric' cannot be imported"),
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


def test_small_objects_are_removed_from_masks_of_either_shape():
    mask = np.zeros((6, 6, 3))
    mask[0, 0, 0] = 1  # one voxel
    mask[3:5, 3:5, 1] = 1  # four
    metrics = Evaluation3DMetrics(
        mask[..., None], mask[..., None], [1, 1, 1], {"remove_small": {"unit": "vox", "thr": 3}}
    )
    expected = mask.copy()
    expected[0, 0, 0] = 0
    np.testing.assert_array_equal(metrics.remove_small_objects(mask), expected)
    np.testing.assert_array_equal(metrics.remove_small_objects(mask[..., None]), expected[..., None])


@pytest.mark.real_data
@pytest.mark.parametrize("run", ["run_2d", "run_3d"])
def test_a_run_of_2_9_10_is_evaluated_as_there(run):
    folder = os.environ.get("IVADOMED_TEST_DATA")
    runs = Path(folder).parent / "contract" / "runs_of_2.9.10" if folder else None
    if runs is None or not runs.is_dir():
        pytest.skip("IVADOMED_TEST_DATA is not set, or has no runs of 2.9.10 beside it")
    table = pd.read_csv(runs / run / "results_eval" / "evaluation_3Dmetrics.csv", index_col="image_id")
    for image_id, row in table.iterrows():
        label = f"derivatives/labels/sub-003/anat/{image_id}_seg-manual.nii.gz"
        masks = [
            nib.load(runs / run / "pred_masks" / f"{image_id}_pred.nii.gz"),
            nib.load(runs / "data" / label),
        ]
        zooms = masks[0].header.get_zooms()[:3]
        arrays = [mask.get_fdata().reshape(*mask.shape[:3], 1) for mask in masks]
        values = evaluate_pair(*arrays, zooms, {"target_size": {"unit": "vox", "thr": [20, 100]}}).metrics
        # The rates of 2.9.10 by size count false objects in a range that is not theirs.
        same = [name for name in row.index if not re.match(r"lfdr_.*vox", name)]
        assert {name: values[name] for name in same} == pytest.approx(dict(row[same]), rel=1e-5, nan_ok=True)
        assert set(row.index) <= set(values)


def test_further_metrics_are_columns_of_their_own(tmp_path, monkeypatch):
    (tmp_path / "our_metrics.py").write_text(
        "def missed(prediction, truth):\n    return (truth > prediction).sum()\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    prediction, truth = scene()
    plain = evaluate_pair(prediction, truth, ZOOMS).metrics
    found = evaluate_pair(
        prediction, truth, ZOOMS, {"metrics": ["intersection_over_union", "our_metrics:missed"]}
    ).metrics
    further = {key: found.pop(key) for key in ("intersection_over_union_class0", "missed_class0")}
    assert further == {"intersection_over_union_class0": pytest.approx(10 / 28), "missed_class0": 8}
    assert found == pytest.approx(plain, nan_ok=True)


def ignored_scene() -> np.ndarray:
    """[20, 20, 4] the lesion that is made up, and the unpredicted half of the one with 6 voxels."""
    ignore = np.zeros((20, 20, 4), bool)
    ignore[16:18, 16:19, 0] = True
    ignore[10, 10:13, 2] = True
    return ignore


def test_ignored_voxels_by_hand():
    # Of 1591 voxels: TP 10, FP 4, FN 5, TN 1572
    values, painted = evaluate_pair(
        *scene(), ZOOMS, {"metrics": ["accuracy_score"], "surface_metrics": True}, ignored_scene()
    )
    expected = {
        "vol_pred": 42,
        "vol_gt": 45,
        "rvd": 3 / 45,
        "avd": 3 / 45,
        "dice": 20 / 29,
        "precision": 10 / 14,
        "recall": 10 / 15,
        "specificity": 1572 / 1576,
        "mse": 9 / (400 * 1591 / 1600),
        "vs": 1 - 1 / 29,
        "accuracy_score": 1582 / 1591,
        "n_pred": 2,
        "n_gt": 2,
        "ltpr": 1 / 2,  # 2 voxels are no overlap
        "lfdr": 1 / 2,
    }
    assert {name: values[f"{name}_class0"] for name in expected} == pytest.approx(expected)
    assert not painted[ignored_scene()].any()


def test_surfaces_have_no_ignored_voxels():
    prediction, truth = np.zeros((2, 8, 8, 8, 1))
    truth[2:5, 2:5, 2:5] = 1
    prediction[2:5, 2:5, 2:5] = 1
    prediction[2:5, 2:5, 5:] = 1  # reaches into what nobody drew
    ignore = np.zeros((8, 8, 8), bool)
    ignore[:, :, 5:] = True
    values = evaluate_pair(prediction, truth, (1, 1, 1), {}, ignore).metrics
    assert (values["hd_class0"], values["nsd_class0"], values["dice_class0"]) == (0, 1, 1)
    assert evaluate_pair(prediction, truth, (1, 1, 1), {}).metrics["hd_class0"] == 3


@given(pred=masks, truth=masks, ignore=hnp.arrays(bool, (6, 5, 4)), garbage=st.sampled_from([0, 1]))
@settings(max_examples=30, deadline=None)
def test_what_is_ignored_changes_no_metric(pred, truth, ignore, garbage):
    first = evaluate_pair(pred, truth, ZOOMS, {}, ignore)
    changed = (np.where(ignore[..., None], garbage, mask).astype(np.uint8) for mask in (pred, truth))
    second = evaluate_pair(*changed, ZOOMS, {}, ignore)
    np.testing.assert_equal(second.metrics, first.metrics)
    np.testing.assert_array_equal(second.painted, first.painted)
    nothing = evaluate_pair(pred, truth, ZOOMS, {}, np.zeros_like(ignore))
    np.testing.assert_equal(nothing.metrics, evaluate_pair(pred, truth, ZOOMS, {}).metrics)
