"""From a folder to an ensemble: what is left at the end, also after the process was killed on the way."""

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

from ivadomed.config.tree import merged
from ivadomed.main import main
from ivadomed.scripts.create_phantom import create_phantom

TINY = {
    "training_parameters": {"num_workers": 0, "training_time": {"num_epochs": 2}},
    "default_model": {"n_filters": 2, "max_filters": 4},
    "evaluation_parameters": {"overlays": 1},
}


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    return create_phantom(
        tmp_path_factory.mktemp("auto") / "data", n=5, seed=2, size="tiny", contrasts=["T2w"]
    )


@pytest.fixture(scope="module")
def planned(data, tmp_path_factory) -> Path:
    """A folder with a plan of two candidates on two folds, the second one a user's own, of two short epochs each."""
    folder = tmp_path_factory.mktemp("planned") / "cord"
    options = ["--path-data", str(data), "--target-suffix", "_seg-manual", "--hours", "1"]
    assert main(["--auto", str(folder), *options, "--plan", "--quiet"]) == 0
    change(folder / "auto.json", {"candidates": ["3d", "mine"], "n_folds": 2, "minutes": 5})
    change(folder / "candidates/3d.json", TINY)
    shutil.copy(folder / "candidates/3d.json", folder / "candidates/mine.json")
    change(folder / "candidates/mine.json", {"default_model": {"n_filters": 4}})
    return folder


def change(file: Path, changes: dict) -> None:
    file.write_text(json.dumps(merged(json.loads(file.read_text()), changes)))


def test_killed_on_the_way_it_goes_on(planned, tmp_path):
    folder = shutil.copytree(planned, tmp_path / "cord")
    checkpoint = folder / "3d/fold_0/checkpoint.pth.tar"
    kill_when_there(folder, checkpoint)
    assert main(["--auto", str(folder)]) == 0
    table = pd.read_csv(folder / "candidates.csv")
    winner = table.loc[table["chosen"], "candidate"].item()
    assert set(table["candidate"]) == {"3d", "mine"}
    assert table["epochs"].tolist() == [2, 2]
    assert winner == table.sort_values("score")["candidate"].iloc[-1]
    summary = pd.read_csv(folder / winner / "cross_validation/results_eval/summary.csv")
    assert summary["n"].max() == 5  # each subject once, and no test set with so few
    packaged = {path.name for path in (folder / "cord").iterdir()}
    assert {"cord.json", "cord_0.pt", "cord_1.pt", "cord_0.onnx", "cord_1.onnx"} <= packaged
    log = (folder / "log").read_text()
    for text in ("Plan ", "on fold 0, then the rest of the 2 folds", "--train -c", "--test -c", "Winner"):
        assert text in log
    page = (folder / "summary.md").read_text()
    assert "| candidate |" in page
    assert f"ivadomed_segment_image -m {folder / 'cord'}" in page
    before = checkpoint.stat().st_mtime_ns, (folder / "candidates.csv").read_text()
    assert main(["--auto", str(folder)]) == 0
    assert (checkpoint.stat().st_mtime_ns, (folder / "candidates.csv").read_text()) == before


def kill_when_there(folder: Path, sign: Path) -> None:
    """Start the run in a process of its own, and end it without warning once a file is there."""
    process = subprocess.Popen([sys.executable, "-m", "ivadomed", "--auto", str(folder), "--quiet"])
    end = time.monotonic() + 120
    while not sign.exists():
        assert process.poll() is None
        assert time.monotonic() < end
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()


def test_one_training_for_whoever_has_little_time(data, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    arguments = [
        "--auto",
        "cord",
        "--path-data",
        str(data),
        "--target-suffix",
        "_seg-manual",
        "--hours",
        "0.001",
    ]
    assert main([*arguments, "--plan"]) == 0
    assert "one training" in Path("cord/log").read_text()
    change(Path("cord/candidates/3d.json"), TINY)
    assert main(arguments) == 0
    checkpoint = Path("cord/3d/checkpoint.pth.tar")
    before = checkpoint.stat().st_mtime_ns
    assert Path("cord/3d/results_eval/report.html").is_file()
    assert main(["--auto", "cord"]) == 0
    assert checkpoint.stat().st_mtime_ns == before
    new = tmp_path / "new"
    shutil.copytree(data, new, ignore=shutil.ignore_patterns("derivatives", "sub-00[2-9]"))
    assert main(["--segment", "-c", "cord/config_file.json", "--path-data", str(new), "--quiet"]) == 0
    assert [path.name for path in Path("cord/pred_masks").glob("*.nii.gz")] == [
        "sub-001_T2w_class-0_pred.nii.gz"
    ]
    assert main([*arguments[:-1], "8"]) == 1
    assert "--hours: 8, but cord/auto.json has 0.001" in capsys.readouterr().err


def test_a_training_that_fails_says_which_one_and_what_to_do(planned, tmp_path, capsys):
    folder = shutil.copytree(planned, tmp_path / "cord")
    change(folder / "auto.json", {"candidates": ["3d"]})
    change(folder / "candidates/3d.json", {"default_model": {"n_filterz": 3}})
    assert main(["--auto", str(folder)]) == 1
    error = capsys.readouterr().err
    assert "candidates/3d.json" in error
    assert "n_filterz" in error
