"""What goes wrong in a run is said before it does harm: paths at home, batches of one, networks that diverged."""

import json
from pathlib import Path

import pytest
import torch

from ivadomed.config import CONFIG_DIR
from ivadomed.main import main
from ivadomed.scripts.create_phantom import create_phantom

CROP = {"CenterCrop": {"size": [16, 16]}, "NormalizeInstance": {"applied_to": ["im"]}}


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A home folder with a data set, and the folder of a training in it: 20 samples in batches of 19."""
    home = tmp_path_factory.mktemp("home")
    create_phantom(home / "data", n=6, seed=0, size="tiny", contrasts=["T1w", "T2w", "T2star"])
    config = json.loads((Path(CONFIG_DIR) / "config_small.json").read_text())
    config["loader_parameters"]["path_data"] = "~/data"
    config["path_output"] = "~/run"
    config["transformation"] = CROP
    config["default_model"]["depth"] = 4  # of 16 x 16 voxels one is left
    config["training_parameters"] |= {"batch_size": 19, "num_workers": 0}
    config["training_parameters"]["training_time"]["num_epochs"] = 1
    (home / "c.json").write_text(json.dumps(config))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(home))
        patch.chdir(home)
        assert main(["--train", "-c", "~/c.json", "--quiet"]) == 0
    return home


@pytest.fixture
def fails(home, monkeypatch, capsys):
    """Run a command that fails; its message."""
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(home)

    def fails(*arguments):
        assert main([*arguments]) == 1
        return capsys.readouterr().err

    return fails


def changed(home, **keys):
    config = json.loads((home / "c.json").read_text())
    config["training_parameters"] |= keys.pop("training_parameters", {})
    (home / "changed.json").write_text(json.dumps(config | keys))
    return "changed.json"


def test_paths_in_the_home_folder_and_a_last_batch_of_one(home):
    assert not (home / "~").exists()
    assert "20 slices of 16x16 to train, 30 to validate; 19 a batch" in (home / "run/log").read_text()
    written = json.loads((home / "run/config_file.json").read_text())
    assert written["path_output"] == str(home / "run")
    assert written["loader_parameters"]["path_data"] == [str(home / "data")]


def test_batches_of_one_are_refused_before_anything_is_written(home, fails):
    file = changed(home, training_parameters={"batch_size": 1}, path_output="~/never")
    message = fails("--train", "-c", file)
    assert "training_parameters.batch_size: 1, but a sample of 16x16 voxels leaves Unet" in message
    assert not (home / "never").exists()


@pytest.mark.parametrize("jobs", ["0", "-2"])
def test_a_number_of_processes_that_is_none(fails, jobs):
    assert f"--jobs: {jobs}; expected 1 or more, or -1 for one per core" in fails(
        "--eval", "c.json", "-j", jobs
    )


def test_a_network_that_diverged_gives_no_masks(home, fails):
    for model in (home / "run/best_model.pt", *(home / "run").glob("*/*.pt")):
        state = torch.load(model, weights_only=True)
        dicts = (value for value in state.values() if isinstance(value, dict))
        weights = next(
            one for one in dicts if all(isinstance(tensor, torch.Tensor) for tensor in one.values())
        )
        list(weights.values())[-1].fill_(torch.nan)
        torch.save(state, model)
    for onnx in (home / "run").glob("*/*.onnx"):
        onnx.unlink()
    for command in (["--test"], ["--test", "-t", "0.5"], ["--segment"]):
        message = fails(*command, "-c", "c.json")
        assert "predicts nan, which is not a probability" in message, command
        assert "initial_lr" in message
        assert "sub-" in message
    assert not list((home / "run").glob("pred_masks/*"))


def test_a_training_of_some_seconds_can_be_given_more(home, monkeypatch):
    """The user wants a model in three seconds, then a better one."""
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(home)

    def train(minutes, *options):
        time = {"max_minutes": minutes, "early_stopping_patience": 1000}
        file = changed(home, training_parameters={"training_time": time}, path_output="~/quick")
        assert main(["--train", "-c", file, *options]) == 0
        return (home / "quick/log").read_text()

    screen = train(0.05)
    assert "as many epochs as fit within 0.05 min on cpu" in screen
    assert "within 0.05 min, estimated from the first batches; the first epochs will confirm it" in screen
    checkpoint = torch.load(home / "quick/checkpoint.pth.tar", weights_only=True)
    manifest = json.loads((home / "quick/manifest.json").read_text())
    assert list(manifest["epochs"].values())[-1] == checkpoint["epoch"] == checkpoint["budget"]["epochs"]
    written = json.loads((home / "quick/config_file.json").read_text())["training_parameters"]
    assert written["training_time"]["num_epochs"] is None
    assert train(0.05) == screen  # it is finished
    screen = train(0.12, "--resume-training")
    more = torch.load(home / "quick/checkpoint.pth.tar", weights_only=True)["epoch"]
    assert f"Epoch     {more}/{more}" in screen
    assert more > checkpoint["epoch"]
