"""What can befall a training: it is killed, the disk is full, a folder cannot be written, numbers explode."""

import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from ivadomed.images.files import leftovers
from ivadomed.loader.samples import SampleDataset
from ivadomed.main import main, run_main
from ivadomed.models import load_model
from ivadomed.training.checkpoint import read_checkpoint
from testing.functional_tests.faults.clear import contents

KILLS = 20


def longer(config: dict, epochs: int) -> dict:
    config["training_parameters"]["training_time"]["num_epochs"] = epochs
    return config


def weights(folder: Path, name: str) -> dict:
    return torch.load(folder / name, weights_only=True)["state_dict"]


@pytest.mark.slow
def test_no_kill_corrupts_a_checkpoint_or_changes_the_weights(config, tmp_path, write):
    short = write({**config, "path_output": str(tmp_path / "short")}, "short.json")
    config = longer(config, 1_000_000)
    config["training_parameters"]["batch_size"] = 64
    # The rate must not depend on the number of epochs, which is known only at the end.
    config["training_parameters"]["scheduler"] = {
        "initial_lr": 0.001,
        "lr_scheduler": {"name": "CosineAnnealingWarmRestarts", "T_0": 7},
    }
    config["transformation"]["CenterCrop"]["size"] = [16, 16]
    config["training_parameters"]["training_time"]["early_stopping_patience"] = 1_000_000
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    path = write({**config, "path_output": str(killed)})
    program = Path(__file__).with_name("kill_loop.py")
    done = subprocess.run(
        [sys.executable, str(program), str(path), str(short), str(KILLS)],
        capture_output=True,
        text=True,
        timeout=500,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["code"] == 0
    assert "ended" not in told["results"]
    assert "while writing" in told["results"]
    run_main({**longer(config, told["epochs"]), "path_output": str(whole)})
    for name in ("final_model.pt", "best_model.pt"):
        expected, actual = weights(whole, name), weights(killed, name)
        assert all(torch.equal(expected[key], actual[key]) for key in expected), name
    assert not [path for place in (killed, *killed.iterdir()) if place.is_dir() for path in leftovers(place)]


@pytest.mark.parametrize("share", [0, 0.4, 0.9])
def test_a_full_disk_leaves_the_last_checkpoint(run, config, write, refused, largest_file, share):
    path = write(longer(config, 2))
    checkpoint = contents(run)["checkpoint.pth.tar"]
    size = (run / "checkpoint.pth.tar").stat().st_size
    limit = max(int(size * share), (run / "log").stat().st_size + 4096 if share else 0)
    with largest_file(limit):
        refused(["--train", "--resume-training", path], r"cannot be written( or read)? \(.*too large")
    assert contents(run)["checkpoint.pth.tar"] == checkpoint
    load_model(run / "best_model.pt")
    assert main(["--train", "--resume-training", str(path)]) == 0
    assert read_checkpoint(run / "checkpoint.pth.tar")["epoch"] == 2


@pytest.mark.parametrize("step", ["--test", "--eval", "--segment"])
def test_a_full_disk_while_predictions_are_written(run, write, config, largest_file, step):
    path = write(config)
    shutil.rmtree(run / "results_eval")
    with largest_file((run / "log").stat().st_size + 3000 if step != "--segment" else 200):
        code = main([step, str(path)])
    assert code in (0, 1)
    for file in run.rglob("*.nii.gz"):
        assert len(file.read_bytes()) > 50
    assert not [p for place in (run, *run.rglob("*/")) for p in leftovers(place)]


def block(path: Path) -> None:
    """A file where a folder is expected, or the other way round."""
    if path.suffix or path.name == "log":  # a file
        path.mkdir(parents=True)
        (path / "kept").touch()
    else:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("of the user")


@pytest.mark.parametrize(
    ("steps", "name"),
    [
        (["--train"], ""),
        (["--train"], "log"),
        (["--train"], "cache"),
        (["--train"], "config_file.json"),
        (["--train"], "bids_dataframe.csv"),
        (["--train"], "split_datasets.json"),
        (["--train"], "manifest.json"),
        (["--train"], "seg_sc"),
        (["--train", "--overwrite"], "best_model.pt"),
        (["--train", "--overwrite"], "checkpoint.pth.tar"),
        (["--train", "--overwrite"], "final_model.pt"),
        (["--train", "--overwrite"], "seg_sc/seg_sc.onnx"),
    ],
)
def test_an_output_that_cannot_be_written(config, write, refused, steps, name):
    out = Path(config["path_output"])
    block(out / name if name else out)
    if name:
        kept = contents(out / name)
        refused([*steps, write(config)], name or "out put")
        assert contents(out / name) == kept
    else:
        refused([*steps, write(config)], r"out put: cannot be written \(File exists\); choose another")
        assert out.read_text() == "of the user"


@pytest.mark.parametrize(
    ("step", "name"),
    [
        ("--test", "pred_masks"),
        ("--eval", "results_eval"),
        ("--segment", "pred_masks"),
        ("--test", "results_eval"),
    ],
)
def test_results_that_cannot_be_written(run, config, write, refused, step, name):
    shutil.rmtree(run / name)
    block(run / name)
    refused([step, write(config)], name)
    assert (run / name).read_text() == "of the user"


def test_a_folder_that_no_one_may_write(config, write, refused):
    """Root may write everywhere but into an immutable folder."""
    out = Path(config["path_output"])
    out.mkdir()
    if (
        shutil.which("chattr") is None
        or subprocess.run(["chattr", "+i", out], capture_output=True).returncode
    ):
        pytest.skip("no folder can be made immutable here")
    try:
        refused(
            ["--train", write(config)],
            r"out put.*: cannot be written or read \(.*choose another --path-output",
        )
    finally:
        subprocess.run(["chattr", "-i", out], check=True)
    assert not list(out.iterdir())


def test_numbers_that_explode(config, write, refused):
    config["training_parameters"]["scheduler"]["initial_lr"] = 1e36
    refused(
        ["--train", write(longer(config, 5))],
        r"the loss became nan on a batch of sub-00.*Lower training_parameters.scheduler.initial_lr",
    )


def test_a_worker_that_dies(config, write, refused, monkeypatch):
    config["training_parameters"]["num_workers"] = 1
    trainer, plain = os.getpid(), SampleDataset.__getitem__

    def getitem(self, place):
        if os.getpid() != trainer:
            os.kill(os.getpid(), signal.SIGKILL)
        return plain(self, place)

    monkeypatch.setattr(SampleDataset, "__getitem__", getitem)
    refused(
        ["--train", write(config)],
        r"a process that loads data \(pid \d+\) was ended.*training_parameters.num_workers",
    )


def test_an_error_within_a_worker_is_told_as_elsewhere(config, write, refused, monkeypatch):
    """A prepared image that vanishes while a worker reads it."""
    config["training_parameters"]["num_workers"] = 1
    trainer, plain = os.getpid(), SampleDataset.__getitem__

    def getitem(self, place):
        if os.getpid() != trainer:
            for path in (Path(config["path_output"]) / "cache").glob("*.case"):
                path.unlink()
        return plain(self, place)

    monkeypatch.setattr(SampleDataset, "__getitem__", getitem)
    refused(["--train", write(config)], r"cache.*\.case")


def test_a_trained_model_is_kept(run, config, write, refused):
    config["training_parameters"]["batch_size"] = 3
    path = write(config)
    error = refused(["--train", path], f"{run}: already holds a trained model", keeps=[run])
    assert "--resume-training" in error
    assert "--overwrite" in error


class Call:
    """Pickles as a call."""

    def __init__(self, function, *args):
        self.call = function, args

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize(
    ("name", "breaks", "message"),
    [
        ("nothing", lambda path, flag: path.unlink(), "no checkpoint to resume from; start without"),
        ("empty", lambda path, flag: path.write_bytes(b""), "checkpoint.pth.tar: damaged"),
        (
            "truncated",
            lambda path, flag: path.write_bytes(path.read_bytes()[:-500]),
            "checkpoint.pth.tar: damaged",
        ),
        (
            "flipped",
            lambda path, flag: path.write_bytes(
                path.read_bytes()[:300] + b"\0" * 99 + path.read_bytes()[399:]
            ),
            "checkpoint.pth.tar: damaged",
        ),
        ("no checkpoint", lambda path, flag: torch.save({"a": 1}, path), "written by another version"),
        ("a list", lambda path, flag: torch.save([1], path), "written by another version"),
        (
            "parts missing",
            lambda path, flag: torch.save({"format_version": 2, "epoch": 1}, path),
            "checkpoint.pth.tar: has no configuration, best, optimization, stopping, rng",
        ),
        (
            "of another network",
            lambda path, flag: torch.save(read_checkpoint(path) | {"optimization": {}}, path),
            "checkpoint.pth.tar: does not fit the network",
        ),
        (
            "foreign code",
            lambda path, flag: torch.save({"format_version": 2, "x": Call(os.system, f"touch {flag}")}, path),
            "checkpoint.pth.tar: damaged",
        ),
        (
            "foreign code of the old format",
            lambda path, flag: path.write_bytes(pickle.dumps(Call(os.system, f"touch {flag}"))),
            "checkpoint.pth.tar: damaged",
        ),
    ],
)
def test_a_checkpoint_that_cannot_be_used(run, config, write, refused, tmp_path, name, breaks, message):
    flag = tmp_path / "flag"
    breaks(run / "checkpoint.pth.tar", flag)
    models = {name: digest for name, digest in contents(run).items() if name.endswith(".pt")}
    refused(["--train", "--resume-training", write(longer(config, 2))], message)
    assert not flag.exists()
    assert models.items() <= contents(run).items()


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("batch_size", 4, "training_parameters.batch_size was 8 and is 4"),
        ("seed", 5, r"training_parameters.seed was \d+ and is 5"),
        ("loss", {"name": "FocalLoss"}, "training_parameters.loss"),
        ("training_time", {"num_epochs": 0}, "num_epochs"),
    ],
)
def test_resuming_under_another_configuration(run, config, write, refused, key, value, message):
    config["training_parameters"][key] = value
    models = {name: digest for name, digest in contents(run).items() if name.endswith((".pt", ".tar"))}
    refused(["--train", "--resume-training", write(config)], message)
    assert models.items() <= contents(run).items()
