"""Sweeps as a user runs them: interrupted, continued, on a cluster whose worker dies; the same seam for commands."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from ivadomed.main import main as ivadomed_main
from ivadomed.scripts.automate_training import main
from ivadomed.sweep.member import SCORES

GRID = {"default_model": {"depth": [1, 2, 3]}, "training_parameters": {"batch_size": [4, 8]}}


def small(study: Path, epochs: int = 1) -> dict:
    return {
        "gpu_ids": [],
        "model_name": "seg",
        "loader_parameters": {
            "path_data": [str(study)],
            "target_suffix": ["_seg-manual"],
            "contrast_params": {"training_validation": ["T1w"], "testing": ["T1w"]},
        },
        "split_dataset": {"random_seed": 6, "train_fraction": 0.5, "test_fraction": 0.2},
        "training_parameters": {
            "batch_size": 8,
            "num_workers": 0,
            "training_time": {"num_epochs": epochs},
            "scheduler": {"initial_lr": 0.01},
        },
        "default_model": {"name": "Unet", "depth": 1, "n_filters": 4},
        "postprocessing": {"binarize_prediction": {"thr": 0.5}},
        "evaluation_parameters": {"overlays": 0, "report": False},
        "transformation": {
            "Resample": {"hspace": 1.5, "wspace": 1.5, "dspace": 3},
            "CenterCrop": {"size": [32, 32]},
            "NormalizeInstance": {"applied_to": ["im"]},
        },
    }


def write(folder: Path, config: dict, parameters: dict) -> list[str]:
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps({**config, "path_output": str(folder / "out")}))
    (folder / "parameters.json").write_text(json.dumps(parameters))
    return ["-c", str(folder / "config.json"), "-ch", str(folder / "parameters.json")]


def records(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in (folder / "out" / "jobs").glob("*.json")}


@pytest.fixture(scope="module")
def interrupted(study, tmp_path_factory):
    """A sweep of six configurations by two processes that got SIGINT when the first ones were done, and continued."""
    folder = tmp_path_factory.mktemp("sweep")
    arguments = write(folder, small(study), GRID)
    command = [
        sys.executable,
        "-m",
        "ivadomed.scripts.automate_training",
        *arguments,
        "--all-combin",
        "-j",
        "2",
    ]
    command += ["--run-test", "--plot-comparison"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    while not records(folder) and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, stopped = process.communicate(timeout=60)
    before = records(folder)
    second = subprocess.run(command, capture_output=True, text=True, timeout=240)
    return folder, process.returncode, stopped, before, second


def test_interrupted_sweep_says_how_to_go_on(interrupted):
    _, code, message, before, _ = interrupted
    assert code == 130, message
    assert "SIGINT" in message
    assert "the same command continues" in message
    assert "Traceback" not in message
    assert 1 <= len(before) < 12  # six trainings and six tests in all


def test_continued_sweep_does_nothing_twice(interrupted):
    folder, _, _, before, second = interrupted
    assert second.returncode == 0, second.stderr
    after = records(folder)
    assert len(after) == 12
    assert {name: after[name] for name in before} == before
    assert not list((folder / "out" / "jobs").glob("*.lock"))


def test_tables_are_those_of_the_runs(interrupted):
    folder = interrupted[0]
    table = pd.read_csv(folder / "out" / "detailed_results.csv", index_col=0)
    assert len(table) == 6
    assert list(table["best_validation_loss"]) == sorted(table["best_validation_loss"])
    seen = set()
    for _, row in table.iterrows():
        run = Path(row["path_output"])
        config = json.loads((run / "config_file.json").read_text())
        depth, batch = config["default_model"]["depth"], config["training_parameters"]["batch_size"]
        assert (row["default_model.depth"], row["training_parameters.batch_size"]) == (depth, batch)
        assert run.name == f"out-depth={depth},batch_size={batch}"
        seen.add((depth, batch))
        best = torch.load(run / "checkpoint.pth.tar", weights_only=False)["best"]
        assert row["best_validation_loss"] == pytest.approx(best["validation_loss"])
        assert row["best_training_dice"] == pytest.approx(-best["training_dice"])  # of a loss
    assert seen == {(depth, batch) for depth in (1, 2, 3) for batch in (4, 8)}
    temporary = pd.read_csv(folder / "out" / "temporary_results.csv")
    assert set(temporary["path_output"]) == set(table["path_output"])


def test_average_is_that_of_the_test_images(interrupted):
    folder = interrupted[0]
    average = pd.read_csv(folder / "out" / "average_eval.csv", index_col="metric")
    runs = sorted(folder.glob("out-*"))
    assert len(runs) == 6
    assert len(average.columns) == 12
    for run in runs:
        images = pd.read_csv(run / "results_eval" / "evaluation_3Dmetrics.csv", index_col="image_id")
        metrics = [name for name in average.index if name in images]
        assert set(average.index) - set(metrics) == {*SCORES, "test_dice"}
        for name, expected in (("mean", images.mean()), ("std", images.std())):
            np.testing.assert_allclose(average.loc[metrics, f"{name}_{run}"], expected[metrics], rtol=1e-6)


def test_pictures_are_drawn(interrupted):
    for name in ("comparison.png", "comparison_test.png"):
        with Image.open(interrupted[0] / "out" / name) as picture:
            assert len(picture.convert("RGB").getcolors(maxcolors=1 << 20)) > 6


def test_images_are_prepared_once_for_all_members(interrupted):
    folder = interrupted[0]
    prepared = list((folder / "out" / "cache").glob("*"))
    # The split puts three of six subjects into training and two into validation, one image each.
    assert len(prepared) == 5
    asked = [
        int(count)
        for log in folder.glob("out-*/log")
        for count in re.findall(r"Prepare +(\d+) images", log.read_text())
    ]
    assert sum(asked) >= 5
    assert len([log for log in folder.glob("out-*/log") if re.search(r"Prepare +\d", log.read_text())]) <= 2


def test_failed_member_stops_no_other(study, tmp_path, capsys):
    parameters = {"loader_parameters": {"target_suffix": [["_seg-nothing"], ["_seg-manual"]]}}
    code = main([*write(tmp_path, small(study), parameters), "-j", "1"])
    message = capsys.readouterr().err
    assert code == 1
    assert "1 of 2 runs failed" in message
    [log] = re.findall(r"\(log: (.*)\)", message)
    assert "No usable image: searched for images" in message
    assert "no label sub-001_T1w_seg-nothing" in Path(log).read_text().splitlines()[-1]
    assert len(pd.read_csv(tmp_path / "out" / "detailed_results.csv")) == 1
    average = pd.read_csv(tmp_path / "out" / "average_eval.csv", index_col="metric")  # without tests too
    assert list(average.index) == list(SCORES)
    assert average.filter(like="mean_").notna().all(axis=None)


def test_dead_worker_of_a_cluster_loses_nothing(study, tmp_path):
    distributed = pytest.importorskip("distributed")
    arguments = write(tmp_path, small(study, epochs=2), {"default_model": {"depth": [1, 2]}})
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, silence_logs=50
    ) as cluster:
        killed = []

        def kill() -> None:
            deadline = time.monotonic() + 120
            while time.monotonic() < deadline and not killed:
                time.sleep(0.02)
                for checkpoint in tmp_path.glob("out-*/checkpoint.pth.tar"):
                    run = json.loads((checkpoint.parent / "run.lock").read_text())
                    os.kill(run["pid"], signal.SIGKILL)
                    killed.append(checkpoint.parent)
                    return

        killer = threading.Thread(target=kill)
        killer.start()
        code = main([*arguments, "--cluster", cluster.scheduler_address])
        killer.join()
    assert code == 0
    assert re.search("Resumed +after epoch", (killed[0] / "log").read_text())
    table = pd.read_csv(tmp_path / "out" / "detailed_results.csv")
    assert sorted(table["default_model.depth"]) == [1, 2]
    assert len(records(tmp_path)) == 2
    for run in tmp_path.glob("out-*"):
        assert (run / "log").read_text().count("Packaged model") == 1


@pytest.mark.parametrize("sampler", ["random", "tpe"])
def test_search_goes_on_with_its_study(sampler, study, tmp_path):
    pytest.importorskip("optuna")
    space = {"training_parameters": {"scheduler": {"initial_lr": {"low": 1e-4, "high": 1e-1, "log": True}}}}
    arguments = [*write(tmp_path, small(study), space), "--search", sampler, "-j", "1"]
    assert main([*arguments, "--n-trials", "1"]) == 0
    first = records(tmp_path)
    assert main([*arguments, "--n-trials", "2"]) == 0
    table = pd.read_csv(tmp_path / "out" / "detailed_results.csv")
    rates = table["training_parameters.scheduler.initial_lr"]
    assert len(set(rates)) == 2
    assert rates.between(1e-4, 1e-1).all()
    assert list(table["state"]) == ["complete", "complete"]
    assert first.items() <= records(tmp_path).items()


@pytest.fixture(scope="module")
def trained(study, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("commands")
    (folder / "config.json").write_text(
        json.dumps({**small(study), "postprocessing": {}, "path_output": str(folder / "run")})
    )
    assert ivadomed_main(["--train", str(folder / "config.json")]) == 0
    return folder


def test_processes_segment_as_one(trained):
    config = str(trained / "config.json")
    found = {}
    for jobs in ([], ["-j", "2"]):
        assert ivadomed_main(["--segment", config, *jobs]) == 0
        files = sorted((trained / "run" / "pred_masks").glob("*_class-0_pred.nii.gz"))
        found[bool(jobs)] = {path.name: np.asarray(nib.load(path).dataobj) for path in files}
        for path in files:
            path.unlink()
    assert len(found[False]) == 6
    assert found[False].keys() == found[True].keys()
    for name, soft in found[False].items():
        assert 0 < soft.max() < 1
        np.testing.assert_array_equal(found[True][name], soft)


def test_processes_evaluate_as_one(trained):
    config, table = (
        str(trained / "config.json"),
        trained / "run" / "results_eval" / "evaluation_3Dmetrics.csv",
    )
    assert ivadomed_main(["--test", config]) == 0
    alone = table.read_bytes()
    table.unlink()
    assert ivadomed_main(["--eval", config, "-j", "2"]) == 0
    assert table.read_bytes() == alone


def test_processes_prepare_images_as_one(trained):
    config, cache = str(trained / "config.json"), trained / "run" / "cache"
    alone = {path.name: path.read_bytes() for path in cache.iterdir()}
    assert len(alone) == 5
    for path in cache.iterdir():
        path.unlink()
    assert ivadomed_main(["--train", config, "--overwrite", "-j", "2"]) == 0
    assert {path.name: path.read_bytes() for path in cache.iterdir()} == alone
