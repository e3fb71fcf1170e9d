"""``split_dataset.fold`` "all" as a user runs it: folds, ensemble, cross-validated table, test set."""

import json
from pathlib import Path

import pandas as pd
import pytest

from ivadomed.commands.run import run_command
from ivadomed.config import load_config
from ivadomed.config.run_files import CHECKPOINT
from ivadomed.inference import segment_volume
from ivadomed.main import main, run_main

N_FOLDS = 2


def configuration(study: Path, folder: Path) -> dict:
    from testing.conftest import config as make

    config = make.__wrapped__(study, folder)
    config["split_dataset"] = {"n_folds": N_FOLDS, "fold": "all", "test_fraction": 0.2}
    config["loader_parameters"]["contrast_params"] = {"training_validation": ["T2w"]}
    config["training_parameters"]["training_time"]["num_epochs"] = 1
    config["default_model"] |= {"depth": 1}
    config["evaluation_parameters"] = {"overlays": 0}
    return config


@pytest.fixture(scope="module")
def folds(study, tmp_path_factory):
    """Fold 0 is trained first, then the command line trains the rest, joins, tests and segments."""
    folder = tmp_path_factory.mktemp("folds")
    config = configuration(study, folder)
    file, out = folder / "config.json", Path(config["path_output"])
    file.write_text(json.dumps(config))
    [first] = run_command(load_config(file), folds=[0])
    before = (out / "fold_0" / CHECKPOINT).stat().st_mtime_ns
    for command in ("--train", "--test", "--eval"):
        assert main([command, "-c", str(file), "--quiet"]) == 0
    return config, out, first, before


def test_a_trained_fold_is_not_trained_again(folds):
    config, out, first, before = folds
    assert (out / "fold_0" / CHECKPOINT).stat().st_mtime_ns == before
    assert run_main(config)[0] == first
    assert (out / "fold_1" / CHECKPOINT).is_file()
    assert [path for path in out.rglob("cache") if path.is_dir()] == [
        out / "cache"
    ]  # prepared images are shared


def test_every_subject_is_predicted_once_by_a_model_that_did_not_see_it(folds):
    _, out, _, _ = folds
    splits = json.loads((out / "splits.json").read_text())
    table = pd.read_csv(out / "cross_validation" / "results_eval" / "evaluation_3Dmetrics.csv")
    held_out = sorted(name.split(".")[0] for split in splits for name in split["valid"] if "T2w" in name)
    assert sorted(table["image_id"]) == held_out
    tested = pd.read_csv(out / "results_eval" / "evaluation_3Dmetrics.csv")
    assert sorted(tested["image_id"]) == sorted(n.split(".")[0] for n in splits[0]["test"] if "T2w" in n)
    summary = pd.read_csv(out / "cross_validation" / "results_eval" / "summary.csv")
    dice = summary[summary["metric"] == "dice"].iloc[0]
    assert dice["n"] == len(held_out)
    assert dice["ci95_low"] <= dice["mean"] <= dice["ci95_high"]


def test_the_ensemble_is_a_packaged_model_of_all_folds(folds, study):
    config, out, _, _ = folds
    package = out / "seg_sc"
    assert {path.name for path in package.iterdir()} >= {"seg_sc.json", "seg_sc_0.pt", "seg_sc_1.pt"}
    images, _ = segment_volume(str(package), [str(next(study.glob("sub-*/anat/*_T2w.nii.gz")))])
    assert len(images) == 1
    files = run_main({**config, "command": "segment"})
    assert len(files) == len(list(study.glob("sub-*/anat/*_T2w.nii.gz")))


def test_a_fold_is_a_run_that_can_be_tested_alone(folds):
    _, out, _, _ = folds
    table, _ = run_command(load_config(out / "fold_1" / "config_file.json", {"command": "test"}))
    tested = pd.read_csv(out / "results_eval" / "evaluation_3Dmetrics.csv")
    assert sorted(table.index) == sorted(tested["image_id"])


def test_new_models_make_predictions_outdated(folds, capsys):
    _, out, _, _ = folds
    (out / "seg_sc" / "seg_sc.json").touch()
    assert main(["--eval", "-c", str(out / "config_file.json")]) == 1
    assert "another model made it; run --test again" in capsys.readouterr().err
