"""Files in an output folder that belong to something else: they are never used, and that is said."""

import json
import os
import shutil
import time
from pathlib import Path

import nibabel as nib
import pandas as pd
import pytest

from ivadomed.main import main


def predictions(run: Path) -> list[Path]:
    return sorted((run / "pred_masks").glob("*_pred.nii.gz"))


def table(run: Path) -> pd.DataFrame:
    return pd.read_csv(run / "results_eval" / "evaluation_3Dmetrics.csv", index_col="image_id")


def log(run: Path) -> str:
    return (run / "log").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "name", ["sub-999_T2w_pred.nii.gz", "sub-0011_T2w_pred.nii.gz", "sub-00_T2w_pred.nii.gz", "a_pred.nii.gz"]
)
def test_a_prediction_of_no_subject_of_the_data_set(run, config, write, name):
    shutil.copy(predictions(run)[0], run / "pred_masks" / name)
    before = table(run)
    assert main(["--eval", str(write(config))]) == 0
    pd.testing.assert_frame_equal(table(run), before)
    assert f"left out: {name}" in log(run)


def test_a_prediction_of_a_subject_of_the_training_set(run, config, write):
    training = json.loads((run / "split_datasets.json").read_text())["train"][0]
    name = training.replace(".nii.gz", "_pred.nii.gz")
    shutil.copy(predictions(run)[0], run / "pred_masks" / name)
    before = table(run)
    assert main(["--eval", str(write(config))]) == 0
    pd.testing.assert_frame_equal(table(run), before)
    assert f"left out: {name}" in log(run)


def test_a_prediction_left_from_an_earlier_model(run, config, write, refused):
    """A folder that was trained again holds the predictions of before until it is tested."""
    path = write(config)
    kept = {file.name: file.read_bytes() for file in predictions(run)}
    assert main(["--train", "--overwrite", str(path)]) == 0
    assert {file.name: file.read_bytes() for file in predictions(run)} == kept
    refused(["--eval", path], r"_pred\.nii\.gz.*: is older than best_model\.pt, so another model made it")
    assert main(["--test", str(path)]) == 0
    assert main(["--eval", str(path)]) == 0


def test_a_clock_that_was_wrong_while_the_model_was_trained(run, config, write, refused):
    """A model of the future is tested and evaluated; predictions of the future do not pass for those of a new model."""
    path = write(config)
    tomorrow = time.time() + 86_400
    os.utime(run / "best_model.pt", (tomorrow, tomorrow))
    assert main(["--test", str(path)]) == 0
    assert main(["--eval", str(path)]) == 0
    for file in predictions(run):
        os.utime(file, (tomorrow, tomorrow))
    assert main(["--train", "--overwrite", str(path)]) == 0
    refused(["--eval", path], r"_pred\.nii\.gz.*: is older than best_model\.pt, so another model made it")
    assert main(["--test", str(path)]) == 0
    assert main(["--eval", str(path)]) == 0


def test_an_uncertainty_map_left_from_an_earlier_model(run, config, write, refused):
    """A step that reads the maps takes only those of the model that is there."""
    path = write({**config, "postprocessing": {"uncertainty": {"thr": 0.3, "suffix": "_unc-vox.nii.gz"}}})
    for file in predictions(run):
        old = file.with_name(file.name.replace("_pred", "_unc-vox"))
        shutil.copy(file, old)
        os.utime(old, (0, 0))
    refused(
        ["--test", path],
        r"_unc-vox\.nii\.gz.*: is older than best_model\.pt, so another model made it; set uncertainty\.n_it",
        keeps=[run / "pred_masks"],
    )
    for file in (run / "pred_masks").glob("*_unc-vox.nii.gz"):
        os.utime(file)
    assert main(["--test", str(path)]) == 0


def test_predictions_made_elsewhere_are_evaluated_where_no_model_is(run, config, write):
    for model in run.glob("*.pt"):
        model.unlink()
    for file in predictions(run):
        os.utime(file, (0, 0))
    assert main(["--eval", str(write(config))]) == 0


def test_a_prediction_on_the_grid_of_another_subject(run, config, write, refused):
    old = nib.load(file := predictions(run)[0])
    affine = old.affine.copy()
    affine[0, 3] += 30
    nib.save(nib.Nifti1Image(old.get_fdata(), affine), file)
    refused(
        ["--eval", write(config)], rf"{file.name} lies on another grid than", keeps=[run / "results_eval"]
    )


def test_a_damaged_prediction(run, config, write, refused):
    file = predictions(run)[0]
    file.write_bytes(file.read_bytes()[:-40])
    refused(["--eval", write(config)], file.name, keeps=[run / "results_eval"])


def test_a_split_of_another_data_set(run, config, write, refused):
    split = {side: [f"sub-9{n}_T2w.nii.gz"] for n, side in enumerate(("train", "valid", "test"))}
    (run / "split_datasets.json").write_text(json.dumps(split))
    refused(["--test", write(config)], "sub-9|testing set is empty|split")


def test_a_label_that_is_replaced_is_read_anew(run, config, write, study, tmp_path):
    """What is prepared goes by what a file is, not by its name: of a replaced file nothing old is used."""
    data = Path(shutil.copytree(study, tmp_path / "copy"))
    first = table(run)
    for label in data.rglob("*_T2w_seg-manual.nii.gz"):
        old = nib.load(label)
        voxels = old.get_fdata()
        voxels[: voxels.shape[0] // 2] = 0
        nib.save(nib.Nifti1Image(voxels, old.affine), label)
    config["loader_parameters"]["path_data"] = [str(data)]
    assert main(["--test", str(write(config))]) == 0
    assert (table(run)["vol_gt_class0"] < first["vol_gt_class0"]).all()
