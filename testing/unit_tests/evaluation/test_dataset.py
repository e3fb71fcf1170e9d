"""Evaluation of prediction files: which belong together, what is refused, what is written."""

from __future__ import annotations

import logging
from pathlib import Path
from types import SimpleNamespace

import imageio.v3 as iio
import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from ivadomed import evaluation
from ivadomed.errors import DataError
from ivadomed.evaluation import PredictionPair
from ivadomed.images.labels import LabelFile

ZOOMS = (0.5, 2.0, 3.0)  # 3 mm3 per voxel


def scene() -> tuple[np.ndarray, np.ndarray]:
    """[20, 20, 4] prediction and truth: one lesion found, one missed, one made up."""
    prediction, truth = np.zeros((2, 20, 20, 4))
    truth[1:4, 1:5, 1] = 1  # 12 voxels
    prediction[2:5, 1:5, 1] = 1  # 12 voxels, 8 of them true
    truth[10:12, 10:13, 2] = 1  # 6 voxels, 2 predicted
    prediction[11, 11:13, 2] = 1  # 2 voxels, both true
    prediction[16:18, 16:19, 0] = 1  # 6 voxels, none true
    return prediction, truth


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
    prediction, truth = scene()
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
    painted = nib.load(run.output / "pred_masks" / "sub-01_T1w_pred_TP-FP-FN.nii.gz")
    assert painted.get_data_dtype() == np.uint8
    np.testing.assert_allclose(painted.affine, np.diag([*ZOOMS, 1]))
    assert np.bincount(np.asanyarray(painted.dataobj).ravel())[1:].tolist() == [12, 8, 4]
    assert painted.header["descrip"].item().startswith(b"objects: 1 true positive")
    voxels = nib.load(run.output / "results_eval/voxelwise/sub-01_T1w_pred_TP-FP-FN_voxelwise.nii.gz")
    assert np.bincount(np.asanyarray(voxels.dataobj).ravel())[1:].tolist() == [10, 10, 8]
    legend = pd.read_csv(run.output / "results_eval" / "TP-FP-FN.tsv", sep="\t", index_col="value")
    assert legend["name"].to_dict() == {1: "true positive", 2: "false positive", 3: "false negative"}
    assert legend.columns[-2:].tolist() == ["*_TP-FP-FN: objects", "*_TP-FP-FN_voxelwise: voxels"]
    assert run.evaluate().index.tolist() == table.index.tolist()  # the painted images are no predictions


def test_no_painted_image_without_object_detection(run):
    run.image("sub-01_T1w.nii.gz")
    run.label("sub-01_T1w_seg.nii.gz", scene()[1])
    run.prediction("sub-01_T1w_pred.nii.gz", scene()[0])
    run.evaluate(params={"object_detection_metrics": False})
    assert [p.name for p in (run.output / "pred_masks").iterdir()] == ["sub-01_T1w_pred.nii.gz"]


def test_ground_truth_is_matched_by_its_whole_name(run):
    truth = scene()[1]
    for name in ("sub-1_T1w", "sub-11_T1w", "sub-1_T1w_acq"):
        run.image(f"{name}.nii.gz")
    run.label("sub-11_T1w_seg.nii.gz", 1 - truth)
    run.label("sub-1_T1w_seg-manual.nii.gz", 1 - truth)
    run.label("sub-1_T1w_seg.nii.gz", truth)
    run.prediction("sub-1_T1w_pred.nii.gz", truth)
    assert run.evaluate()["dice_class0"].to_dict() == {"sub-1_T1w": 1}


def test_classes_missing_labels_and_raters(run, caplog):
    truth = scene()[1]
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
    painted = nib.load(run.output / "pred_masks" / "sub-01_T1w_pred_TP-FP-FN.nii.gz")
    assert painted.shape == (20, 20, 4, 3)


def test_prediction_of_another_data_set_is_not_evaluated(run, caplog):
    truth = scene()[1]
    run.image("sub-01_T1w.nii.gz")
    run.label("sub-01_T1w_seg.nii.gz", truth)
    run.prediction("sub-01_T1w_pred.nii.gz", truth)
    run.prediction("sub-0_T1w_pred.nii.gz", truth)
    with caplog.at_level(logging.WARNING):
        assert run.evaluate().index.tolist() == ["sub-01_T1w"]
    assert "1 prediction(s) match no evaluated image" in caplog.text
    assert "sub-0_T1w_pred.nii.gz" in caplog.text


@pytest.mark.parametrize(
    ("label", "affine"),
    [
        (scene()[1][1:], np.diag([*ZOOMS, 1])),
        (scene()[1], np.diag([-0.5, 2, 3, 1])),  # mirrored
        (scene()[1], [[0.5, 0, 0, 0.6], [0, 2, 0, 0], [0, 0, 3, 0], [0, 0, 0, 1]]),  # shifted by a voxel
    ],
)
def test_all_files_on_another_grid_are_named_before_anything_is_written(run, label, affine):
    for i in range(7):
        run.image(f"sub-{i}_T1w.nii.gz")
        run.label(f"sub-{i}_T1w_seg.nii.gz", label, affine=np.array(affine))
        run.prediction(f"sub-{i}_T1w_pred.nii.gz", scene()[1])
    with pytest.raises(DataError) as error:
        run.evaluate()
    lines = str(error.value).splitlines()
    assert len(lines) == 6
    assert "sub-0_T1w_pred.nii.gz lies on another grid than" in lines[0]
    assert "sub-0_T1w_seg.nii.gz" in lines[0]
    assert lines[-1] == "and 2 more images"
    assert not (run.output / "results_eval").exists()
    assert len(list((run.output / "pred_masks").iterdir())) == 7


def test_ambiguous_labels_and_wrong_number_of_classes(run):
    truth = scene()[1]
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
    truth = scene()[1][..., 2]
    run.image("sub-01_SEM.png")
    run.label("sub-01_SEM_seg.png", truth)
    run.prediction("sub-01_SEM_pred.nii.gz", truth[..., None])
    run.prediction("sub-01_SEM_seg_pred.png", 1 - truth)  # the class as a picture, for viewing
    assert run.evaluate()["dice_class0"].to_dict() == {"sub-01_SEM": 1}
    folder = run.output / "pred_masks"
    (folder / "sub-01_SEM_pred.nii.gz").unlink()
    assert run.evaluate()["dice_class0"].to_dict() == {"sub-01_SEM": 0}
    run.prediction("sub-01_SEM_pred.png", truth)
    assert run.evaluate()["dice_class0"].to_dict() == {"sub-01_SEM": 1}


def test_objects_of_a_picture_are_painted_as_a_picture(run):
    prediction, truth = (mask[..., [0, 1, 2]].max(axis=-1) for mask in scene())
    run.image("sub-01_SEM.png")
    run.label("sub-01_SEM_seg.png", truth)
    run.prediction("sub-01_SEM_pred.png", prediction)
    run.evaluate()
    [painted] = (run.output / "pred_masks").glob("*TP-FP-FN*")
    assert painted.name == "sub-01_SEM_class-0_pred_TP-FP-FN.png"
    [voxels] = (run.output / "results_eval" / "voxelwise").iterdir()
    assert voxels.name == "sub-01_SEM_class-0_pred_TP-FP-FN_voxelwise.png"
    counts = np.bincount(iio.imread(painted).ravel())
    assert {value: counts[value] for value in np.flatnonzero(counts)} == {0: 376, 85: 12, 170: 8, 255: 4}


def test_one_file_per_class(run):
    truth = scene()[1]
    run.image("sub-01_T1w.nii.gz")
    run.label("sub-01_T1w_cord.nii.gz", truth)
    run.label("sub-01_T1w_lesion.nii.gz", 1 - truth)
    run.prediction("sub-01_T1w_class-1_pred.nii.gz", 1 - truth)
    with pytest.raises(DataError, match=r"sub-01_T1w has predictions of the classes 1; expected 2"):
        run.evaluate(["_cord", "_lesion"])
    run.prediction("sub-01_T1w_class-0_pred.nii.gz", np.zeros_like(truth))
    row = run.evaluate(["_cord", "_lesion"]).loc["sub-01_T1w"]
    assert (row["dice_class0"], row["dice_class1"]) == (0, 1)
    for k, values in ((0, {0, 3}), (1, {0, 1})):
        painted = nib.load(run.output / "pred_masks" / f"sub-01_T1w_class-{k}_pred_TP-FP-FN.nii.gz")
        assert painted.shape == truth.shape
        assert set(np.unique(painted.dataobj)) == values
    run.prediction("sub-01_T1w_pred.nii.gz", np.stack([truth, truth], axis=-1))  # all classes in one go first
    assert run.evaluate(["_cord", "_lesion"]).loc["sub-01_T1w", "dice_class0"] == 1


@pytest.mark.parametrize(
    ("prediction", "message"),
    [
        (3 * scene()[0], r"whole numbers up to 3; .*_class-0_pred"),
        (-1.0 * scene()[0], r"whole numbers from -1; expected values from 0 to 1"),
        (np.where(scene()[0], np.nan, 0), "NaN"),
    ],
)
def test_predictions_that_are_no_masks_are_refused(run, prediction, message):
    run.image("sub-01_T1w.nii.gz")
    run.label("sub-01_T1w_seg.nii.gz", scene()[1])
    run.prediction("sub-01_T1w_pred.nii.gz", prediction)
    with pytest.raises(DataError, match=rf"sub-01_T1w_pred.nii.gz: .*{message}"):
        run.evaluate()


def test_soft_values_outside_0_and_1_are_a_warning(run, caplog):
    run.image("sub-01_T1w.nii.gz")
    run.label("sub-01_T1w_seg.nii.gz", scene()[1])
    run.prediction("sub-01_T1w_pred.nii.gz", 1.5 * scene()[1])
    assert len(run.evaluate()) == 1
    assert "values from 0 to 1.5, expected 0 to 1" in caplog.text


def test_labels_of_0_and_255_are_masks(run):
    run.image("sub-01_T1w.nii.gz")
    run.label("sub-01_T1w_seg.nii.gz", 255 * scene()[1])
    run.prediction("sub-01_T1w_pred.nii.gz", scene()[1])
    assert run.evaluate().loc["sub-01_T1w", "dice_class0"] == 1


def test_pixel_size_of_a_picture_gives_mm(run, caplog):
    truth = np.zeros((30, 30))
    truth[5:15, 5:15] = 1
    prediction = run.prediction("a_pred.png", np.roll(truth, 4, 0))
    target = run.save(run.folder / "a_seg.png", truth)
    pair = PredictionPair("a", (prediction,), (LabelFile(target),), pixel_size=(0.1, 0.2))
    row = evaluation.evaluate_predictions([pair], run.output, {"surface_tolerance_mm": 0.01}).loc["a"]
    assert "surface_tolerance_mm" not in caplog.text
    assert row["hd_class0"] == pytest.approx(0.4)
    assert row["vol_gt_class0"] == pytest.approx(100 * 0.1 * 0.2)
    evaluation.evaluate_predictions([pair], run.output, None)
    assert "surface_tolerance_mm: 1 mm are 10 voxels of a," in caplog.text


def test_no_predictions_give_an_empty_table(run):
    run.image("sub-01_T1w.nii.gz")
    table = run.evaluate()
    assert table.empty
    assert table.index.name == "image_id"


def test_threads_give_the_same_table(run):
    truth = scene()[1]
    files = [run.prediction(f"sub-{i}_pred.nii.gz", np.roll(truth, i, 0)) for i in range(3)]
    target = run.save(run.folder / "truth.nii.gz", truth)
    pairs = [PredictionPair(f.name.split("_")[0], (f,), (LabelFile(target),)) for f in files]
    one = evaluation.evaluate_predictions(pairs, run.output, {}, n_jobs=1)
    pd.testing.assert_frame_equal(evaluation.evaluate_predictions(pairs, run.output, {}, n_jobs=2), one)


def test_preview_shows_first_rows_and_outer_columns():
    table = pd.DataFrame(np.arange(160).reshape(10, 16), columns=[f"m{i}" for i in range(16)])
    table.index = pd.Index([f"sub-{i}" for i in range(10)], name="image_id")
    lines = evaluation.preview(table).splitlines()
    assert lines[0].split() == [f"m{i}" for i in range(7)] + ["..."] + [f"m{i}" for i in range(9, 16)]
    assert lines[2].startswith("sub-0")
    assert lines[-1] == "[5 rows x 16 columns]"
