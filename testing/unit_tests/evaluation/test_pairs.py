"""Predictions of the cases of a test set."""

import logging
from pathlib import Path

import imageio.v3 as iio
import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from ivadomed.errors import DataError
from ivadomed.evaluation import evaluate_pair, pairs_of_cases
from ivadomed.evaluation.dataset import worst_first
from ivadomed.evaluation.pairs import PredictionPair, job_count, read_pair
from ivadomed.evaluation.pictures import paint_cases
from ivadomed.images.labels import LabelFile
from ivadomed.loader.cases.case import Case
from ivadomed.loader.cases.volumes import read_volume


@pytest.fixture
def folder(tmp_path) -> Path:
    return tmp_path / "pred_masks"


def save(path: Path, data: np.ndarray, shift: float = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    affine = np.eye(4)
    affine[0, 3] = shift
    nib.save(nib.Nifti1Image(data.astype(np.float32), affine), path)
    return path


def case(name: str, **more) -> Case:
    raters = (LabelFile(Path("rater1.nii.gz")), LabelFile(Path("rater2.nii.gz")))
    return Case(name, (Path(f"{name}.nii.gz"),), (raters, None), **more)


def test_cases_get_their_predictions_and_the_first_rater(folder, caplog):
    for name in ("b_pred.nii.gz", "a_class-0_pred.nii.gz", "a_class-1_pred.nii.gz", "x_pred.nii.gz"):
        save(folder / name, np.zeros((2, 2, 2)))
    (folder / "notes_pred.txt").touch()
    for name in ("b_pred_TP-FP-FN.nii.gz", "b_class-0_pred_TP-FP-FN.png"):
        (folder / name).touch()
    cases = [case("b", subject="s", contrasts=("T1w", "T2w")), case("a"), case("c")]
    with caplog.at_level(logging.WARNING):
        second, first = pairs_of_cases(cases, folder, ["_cord", "_lesion"])
    assert (second.image_id, second.subject, second.contrast) == ("b", "s", "T1w+T2w")
    assert second.predictions == (folder / "b_pred.nii.gz",)
    assert first.predictions == (folder / "a_class-0_pred.nii.gz", folder / "a_class-1_pred.nii.gz")
    assert first.targets == (LabelFile(Path("rater1.nii.gz")), None)
    assert first.image == Path("a.nii.gz")
    stranger, missing = (record.getMessage() for record in caplog.records)
    assert "1 prediction(s) match no evaluated image, and are left out: x_pred.nii.gz" in stranger
    assert "no prediction for 1 image(s) of the test set, which are left out: c" in missing


@pytest.mark.parametrize("soft_gt", [False, True])
def test_truth_is_as_soft_as_in_training(folder, soft_gt):
    image = save(folder / "a_pred.nii.gz", np.zeros((3, 1, 1)))
    truth = LabelFile(save(folder / "truth.nii.gz", np.array([0, 0.4, 0.6]).reshape(3, 1, 1)))
    [pair] = pairs_of_cases([Case("a", (image,), ((truth,),))], folder, ["_seg"], soft_gt)
    np.testing.assert_allclose(
        read_pair(pair).target.ravel(), [0, 0.4, 0.6] if soft_gt else [0, 0, 1], rtol=1e-6
    )


def test_hidden_files_are_no_predictions(folder, caplog):
    save(folder / "a_pred.nii.gz", np.zeros((2, 2, 2)))
    (folder / "._a_pred.nii.gz").write_bytes(b"attributes of macOS")
    [pair] = pairs_of_cases([case("a")], folder, ["_cord", "_lesion"])
    assert pair.predictions == (folder / "a_pred.nii.gz",)
    assert caplog.records == []


def test_a_suffix_of_the_configuration_may_have_an_extension(folder):
    for suffix in ("_cord", "_lesion"):
        save(folder / f"a{suffix}_pred.nii.gz", np.zeros((2, 2, 2)))
    [pair] = pairs_of_cases([case("a")], folder, ["_cord.nii.gz", "_lesion.nii.gz"])
    assert pair.predictions == (folder / "a_cord_pred.nii.gz", folder / "a_lesion_pred.nii.gz")


@pytest.mark.parametrize("order", [("_seg", "_lesion_seg"), ("_lesion_seg", "_seg")])
def test_a_suffix_may_end_like_another_one(folder, order):
    for name in ("a_seg", "a_lesion_seg", "a_lesion_lesion_seg", "a_lesion_seg_seg"):
        save(folder / f"{name}_pred.nii.gz", np.zeros((2, 2, 2)))
    [pair] = pairs_of_cases([case("a")], folder, order)
    assert pair.predictions == tuple(folder / f"a{suffix}_pred.nii.gz" for suffix in order)
    (folder / "a_lesion_seg_pred.nii.gz").unlink()
    with pytest.raises(DataError, match="a has predictions of the classes"):
        pairs_of_cases([case("a")], folder, order)


def test_a_warning_names_a_few(folder, caplog):
    save(folder / "a_pred.nii.gz", np.zeros((2, 2, 2)))
    pairs_of_cases([case("a"), *(case(f"c{i}") for i in range(8))], folder, ["_cord", "_lesion"])
    assert caplog.records[-1].getMessage().endswith("c0, c1, c2, c3, c4 and 3 more")


def test_names_that_begin_alike_are_apart(folder):
    for name in ("sub-1_class-0_pred.nii.gz", "sub-11_pred.nii.gz", "sub-1_class-0_class-0_pred.nii.gz"):
        save(folder / name, np.zeros((2, 2, 2)))
    names = [
        pair.image_id for pair in pairs_of_cases([case("sub-1_class-0"), case("sub-11")], folder, ["_s"])
    ]
    assert names == ["sub-1_class-0", "sub-11"]


def test_no_prediction_is_an_error(folder):
    with pytest.raises(DataError, match=r"pred_masks: no prediction of the test set; run --test first"):
        pairs_of_cases([case("a")], folder, ["_cord"])


def test_the_image_decides_the_grid(tmp_path):
    image = save(tmp_path / "image.nii.gz", np.zeros((4, 4, 4)), shift=2)
    prediction = save(tmp_path / "a_pred.nii.gz", np.zeros((4, 4, 4)))
    pair = PredictionPair("a", (prediction,), (None,), image)
    with pytest.raises(DataError, match=r"a_pred.nii.gz lies on another grid than .*image.nii.gz"):
        pair.check_grid()


def test_files_stored_in_another_order_have_the_numbers_and_the_picture_of_one_order(tmp_path, stored_as):
    truth = np.zeros((80, 70, 5))
    truth[30:40, 20:40, 2] = 1
    files = [save(tmp_path / f"{name}.nii.gz", truth) for name in ("image", "label")]
    files += [save(tmp_path / f"a_class-{k}_pred.nii.gz", np.roll(truth, 3 * k, 0)) for k in (0, 1)]
    pair = PredictionPair("a", tuple(files[2:]), (LabelFile(files[1]), LabelFile(files[1])), files[0])

    def results(folder: Path):
        pair.check_grid()
        [painted] = paint_cases([pair], ["a"], tmp_path / folder, 0, 1).values()
        data = read_pair(pair)
        return (
            evaluate_pair(data.prediction, data.target, data.zooms).metrics,
            iio.imread(painted.file),
            painted.slices,
        )

    expected, picture, slices = results(tmp_path / "before")
    for path in files[1::2]:  # the label, and the second class of the prediction
        stored_as(path)
    measured, other, stack = results(tmp_path / "after")
    assert measured == pytest.approx(expected, nan_ok=True)
    assert stack == slices != ""
    np.testing.assert_array_equal(other, picture)
    stored_as(files[2])
    np.testing.assert_array_equal(results(tmp_path / "first class")[1], picture)


def test_memory_bounds_the_jobs(tmp_path, monkeypatch):
    monkeypatch.setattr("ivadomed.evaluation.pairs.available_cores", lambda: 8)
    pairs = [PredictionPair("a", (save(tmp_path / "a_pred.nii.gz", np.zeros((10, 10, 10))),), (None,))]
    assert job_count(pairs) == 8
    monkeypatch.setattr("ivadomed.evaluation.pairs._MEMORY", 1000 * 32 * 3)
    assert job_count(pairs) == 3
    monkeypatch.setattr("ivadomed.evaluation.pairs._MEMORY", 1)
    assert job_count(pairs) == 1


def test_worst_first_by_the_mean_over_classes():
    table = pd.DataFrame(
        {
            "dice_class0": [0.9, np.nan, 0.95, np.nan],
            "dice_class1": [0.8, np.nan, 0.1, 0.5],
            "mse_class0": 0.0,
        },
        index=["a", "b", "c", "d"],
    )
    assert worst_first(table) == ["d", "c", "a", "b"]


def test_chosen_images_are_painted(tmp_path):
    mask = np.zeros((80, 70, 5))
    mask[30:40, 30:40, 2] = 1
    file = save(tmp_path / "mask.nii.gz", mask)
    pairs = [PredictionPair(name, (file,), (LabelFile(file),), file) for name in ("a", "b é#")]
    pairs.append(PredictionPair("without image", (file,), (LabelFile(file),)))
    painted = paint_cases(pairs, ["b é#", "without image"], tmp_path, 2)
    assert painted.keys() == {"b é#"}
    assert (painted["b é#"].file, painted["b é#"].slices) == (
        tmp_path / "results_eval" / "overlays" / "b é#.png",
        "",
    )
    picture = iio.imread(painted["b é#"].file)
    assert (picture == (255, 255, 0)).all(axis=2).any()
    assert [path.name for path in (tmp_path / "results_eval" / "overlays").iterdir()] == ["b é#.png"]


def test_values_that_other_labels_of_the_case_name_are_no_fault(tmp_path):
    """As in training: 255 of a map is the region of interest, or a class of the second rater."""
    image = save(tmp_path / "a_T1w.nii.gz", np.arange(8.0).reshape(2, 2, 2))
    values = np.zeros((2, 2, 2))
    values[0], values[1, 0] = 1, 255
    path = save(tmp_path / "a_T1w_dseg.nii.gz", values)
    save(tmp_path / "a_T1w_pred.nii.gz", np.zeros((2, 2, 2)))
    first, second = LabelFile(path, (1,)), LabelFile(path, (255,))
    for labelled in (
        Case("a_T1w", (image,), ((first,),), contrasts=("T1w",), roi=second),
        Case("a_T1w", (image,), ((first, second),), contrasts=("T1w",)),
    ):
        [pair] = pairs_of_cases([labelled], tmp_path, ["_dseg:1"])
        np.testing.assert_array_equal(read_pair(pair).target[..., 0], values == 1)
        assert read_volume(labelled, 2).target[0].sum() == 4
