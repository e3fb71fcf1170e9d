"""Evaluation of volumes drawn by hand, and of prediction files."""

from __future__ import annotations

import logging
from pathlib import Path
from types import SimpleNamespace

import imageio.v3 as iio
import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage

from ivadomed import evaluation
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
    }
    assert {name: values[f"{name}_class0"] for name in expected} == pytest.approx(expected)


def test_objects_by_hand():
    values, painted = evaluate_pair(*scene(), ZOOMS)
    assert (values["n_pred_class0"], values["n_gt_class0"]) == (3, 2)
    assert values["ltpr_class0"] == 1 / 2
    assert values["lfdr_class0"] == pytest.approx(2 / 3)
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


def undefined(prediction: np.ndarray, truth: np.ndarray) -> set[str]:
    values = evaluate_pair(prediction, truth, ZOOMS).metrics
    return {name.removesuffix("_class0") for name, value in values.items() if np.isnan(value)}


def test_what_does_not_exist_is_nan():
    empty, full = np.zeros((4, 4, 2, 1)), np.ones((4, 4, 2, 1))
    of_truth, of_prediction = {"recall", "rvd", "avd", "ltpr"}, {"precision", "lfdr"}
    assert undefined(empty, empty) == {"dice"} | of_truth | of_prediction
    assert undefined(full, empty) == of_truth
    assert undefined(empty, full) == of_prediction | {"specificity"}
    values = evaluate_pair(empty, full, ZOOMS).metrics
    assert (values["dice_class0"], values["recall_class0"], values["rvd_class0"]) == (0, 0, 1)
    assert (values["ltpr_class0"], values["n_pred_class0"]) == (0, 0)


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
        ({"overlap": {"unit": "mm3", "thr": 3}}, '"vox" or "ratio"'),
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


class Run:
    """A data set and the folder of a run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.output = folder / "out"
        (self.output / "pred_masks").mkdir(parents=True)
        self.rows: list[tuple[str, str]] = []
        self.derivatives: list[str] = []

    def save(self, path: Path, data: np.ndarray, affine: np.ndarray | None = None) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        affine = np.diag([*ZOOMS, 1]) if affine is None else affine
        if path.suffix == ".png":
            iio.imwrite(path, (data * 255).astype(np.uint8))
        else:
            nib.save(nib.Nifti1Image(data.astype(np.float32), affine), path)
        return path

    def image(self, name: str, folder: str = "raw") -> None:
        self.rows.append((str(self.folder / folder / name), name))

    def label(
        self, name: str, data: np.ndarray, affine: np.ndarray | None = None, where: str = "labels"
    ) -> None:
        self.rows.append((str(self.save(self.folder / where / name, data, affine)), name))
        self.derivatives.append(name)

    def prediction(self, name: str, data: np.ndarray) -> Path:
        return self.save(self.output / "pred_masks" / name, data)

    def evaluate(self, suffixes=("_seg",), params=None) -> pd.DataFrame:
        table = pd.DataFrame(self.rows, columns=["path", "filename"])
        bids_df = SimpleNamespace(df=table, get_deriv_fnames=lambda: self.derivatives)
        return evaluation.evaluate(bids_df, self.output, suffixes, params)


@pytest.fixture
def run(tmp_path):
    return Run(tmp_path)


def test_table_and_painted_image_of_a_run(run):
    prediction, truth = (mask[..., 0] for mask in scene())
    for subject, mask in (("sub-02_T1w", truth), ("sub-01_T1w", prediction)):
        run.image(f"{subject}.nii.gz")
        run.label(f"{subject}_seg.nii.gz", truth)
        run.prediction(f"{subject}_pred.nii.gz", mask)
    table = run.evaluate()
    assert table.index.name == "image_id"
    assert table.index.tolist() == ["sub-01_T1w", "sub-02_T1w"]
    assert table.columns.tolist() == sorted(table.columns)
    assert table["dice_class0"].tolist() == pytest.approx([20 / 38, 1])
    assert table["vol_gt_class0"].tolist() == pytest.approx([54, 54])
    saved = pd.read_csv(run.output / "results_eval" / "evaluation_3Dmetrics.csv", index_col="image_id")
    pd.testing.assert_frame_equal(saved, table)
    painted = nib.load(run.output / "pred_masks" / "sub-01_T1w_pred-TP-FP-FN.nii.gz")
    assert painted.get_data_dtype() == np.uint8
    np.testing.assert_allclose(painted.affine, np.diag([*ZOOMS, 1]))
    assert np.bincount(np.asanyarray(painted.dataobj).ravel())[1:].tolist() == [12, 8, 4]
    assert run.evaluate().index.tolist() == table.index.tolist()  # the painted images are no predictions


def test_no_painted_image_without_object_detection(run):
    run.image("sub-01_T1w.nii.gz")
    run.label("sub-01_T1w_seg.nii.gz", scene()[1][..., 0])
    run.prediction("sub-01_T1w_pred.nii.gz", scene()[0][..., 0])
    run.evaluate(params={"object_detection_metrics": False})
    assert [p.name for p in (run.output / "pred_masks").iterdir()] == ["sub-01_T1w_pred.nii.gz"]


def test_ground_truth_is_matched_by_its_whole_name(run):
    truth = scene()[1][..., 0]
    for name in ("sub-1_T1w", "sub-11_T1w", "sub-1_T1w_acq"):
        run.image(f"{name}.nii.gz")
    run.label("sub-11_T1w_seg.nii.gz", 1 - truth)
    run.label("sub-1_T1w_seg-manual.nii.gz", 1 - truth)
    run.label("sub-1_T1w_seg.nii.gz", truth)
    run.prediction("sub-1_T1w_pred.nii.gz", truth)
    assert run.evaluate()["dice_class0"].to_dict() == {"sub-1_T1w": 1}


def test_classes_missing_labels_and_raters(run, caplog):
    truth = scene()[1][..., 0]
    run.image("sub-01_T1w.nii.gz")
    run.label("sub-01_T1w_cord.nii.gz", truth)
    run.label("sub-01_T1w_rater2.nii.gz", truth)
    run.label("sub-01_T1w_rater3.nii.gz", 1 - truth)
    run.prediction("sub-01_T1w_pred.nii.gz", np.stack([truth] * 3, axis=-1))
    with caplog.at_level(logging.WARNING):
        row = run.evaluate(["_cord", "_lesion", ["_rater1", "_rater2", "_rater3"]]).loc["sub-01_T1w"]
    assert (row["dice_class0"], row["dice_class1"], row["dice_class2"]) == (1, 0, 1)
    assert np.isnan(row["recall_class1"])
    assert "no ground truth _lesion" in caplog.text
    painted = nib.load(run.output / "pred_masks" / "sub-01_T1w_pred-TP-FP-FN.nii.gz")
    assert painted.shape == (20, 20, 4, 3)


def test_prediction_of_another_data_set_is_not_evaluated(run, caplog):
    truth = scene()[1][..., 0]
    run.image("sub-01_T1w.nii.gz")
    run.label("sub-01_T1w_seg.nii.gz", truth)
    run.prediction("sub-01_T1w_pred.nii.gz", truth)
    run.prediction("sub-0_T1w_pred.nii.gz", truth)
    with caplog.at_level(logging.WARNING):
        assert run.evaluate().index.tolist() == ["sub-01_T1w"]
    assert "no image sub-0_T1w" in caplog.text


def test_shape_mismatch_names_both_files(run):
    truth = scene()[1][..., 0]
    run.image("sub-01_T1w.nii.gz")
    run.label("sub-01_T1w_seg.nii.gz", truth[1:])
    run.prediction("sub-01_T1w_pred.nii.gz", truth)
    with pytest.raises(DataError, match=r"_pred.nii.gz: shape \(20, 20, 4\).*\(19, 20, 4\).*_seg.nii.gz"):
        run.evaluate()


def test_mirrored_ground_truth_is_refused(run):
    truth = scene()[1][..., 0]
    run.image("sub-01_T1w.nii.gz")
    run.label("sub-01_T1w_seg.nii.gz", truth, affine=np.diag([-0.5, 2, 3, 1]))
    run.prediction("sub-01_T1w_pred.nii.gz", truth)
    with pytest.raises(DataError, match=r"axes RAS.*axes LAS"):
        run.evaluate()


def test_ambiguous_labels_and_wrong_number_of_classes(run):
    truth = scene()[1][..., 0]
    run.image("sub-01_T1w.nii.gz")
    run.label("sub-01_T1w_seg.nii.gz", truth)
    run.prediction("sub-01_T1w_pred.nii.gz", truth)
    with pytest.raises(DataError, match=r"1 classes.*names 2"):
        run.evaluate(["_seg", "_lesion"])
    run.label("sub-01_T1w_seg.nii.gz", truth, where="labels2")
    with pytest.raises(DataError, match="label 2 times"):
        run.evaluate()


def test_damaged_prediction_is_named(run):
    run.image("sub-01_T1w.nii.gz")
    (run.output / "pred_masks" / "sub-01_T1w_pred.nii.gz").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"sub-01_T1w_pred\.nii\.gz"):
        run.evaluate()


def test_pictures(run):
    truth = scene()[1][..., 2, 0]
    run.image("sub-01_SEM.png")
    run.label("sub-01_SEM_seg.png", truth)
    run.prediction("sub-01_SEM_pred.nii.gz", truth[..., None])
    run.prediction("sub-01_SEM_seg_pred.png", truth)  # the class as a picture, for viewing
    table = run.evaluate()
    assert table["dice_class0"].to_dict() == {"sub-01_SEM": 1}
    (run.output / "pred_masks" / "sub-01_SEM_pred.nii.gz").unlink()
    (run.output / "pred_masks" / "sub-01_SEM_seg_pred.png").rename(
        run.output / "pred_masks" / "sub-01_SEM_pred.png"
    )
    assert run.evaluate()["dice_class0"].to_dict() == {"sub-01_SEM": 1}


def test_no_predictions_give_an_empty_table(run):
    run.image("sub-01_T1w.nii.gz")
    table = run.evaluate()
    assert table.empty
    assert table.index.name == "image_id"


def test_processes_give_the_same_table(run):
    truth = scene()[1][..., 0]
    files = [run.prediction(f"sub-{i}_pred.nii.gz", np.roll(truth, i, 0)) for i in range(3)]
    target = run.save(run.folder / "truth.nii.gz", truth)
    pairs = [evaluation.PredictionPair(f.name.split("_")[0], f, (target,)) for f in files]
    one = evaluation.evaluate_predictions(pairs, run.output, {})
    pd.testing.assert_frame_equal(evaluation.evaluate_predictions(pairs, run.output, {}, n_jobs=2), one)


def test_preview_shows_first_rows_and_outer_columns():
    table = pd.DataFrame(np.arange(160).reshape(10, 16), columns=[f"m{i}" for i in range(16)])
    table.index = pd.Index([f"sub-{i}" for i in range(10)], name="image_id")
    lines = evaluation.preview(table).splitlines()
    assert lines[0].split() == [f"m{i}" for i in range(7)] + ["..."] + [f"m{i}" for i in range(9, 16)]
    assert lines[2].startswith("sub-0")
    assert lines[-1] == "[5 rows x 16 columns]"
