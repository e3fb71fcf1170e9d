"""Weights & Biases, by a module that stands in for it and writes down what it is told."""

import logging
import sys
from types import SimpleNamespace

import pytest
import torch

from ivadomed.training.monitor import Monitor, initialize_wandb

SECTION = {"wandb_api_key": "", "project_name": "p", "group_name": "g", "run_name": "r", "log_grads_every": 5}


class Unreachable(Exception):
    pass


class Run:
    id = "abc123"

    def __init__(self, folder):
        self.dir, self.logged, self.finished = f"{folder}/wandb/offline-run-1/files", [], False

    def log(self, values):
        self.logged.append(values)

    def finish(self):
        self.finished = True


@pytest.fixture
def wandb(monkeypatch, tmp_path):
    fake = SimpleNamespace(
        calls=[],
        refuse=False,
        errors=SimpleNamespace(Error=Unreachable),
        Settings=lambda **settings: SimpleNamespace(**settings),
        Image=lambda picture: ("picture", tuple(picture.shape)),
    )

    def init(**options):
        fake.calls.append(options)
        if fake.refuse and options["mode"] == "online":
            raise Unreachable("no route to host")
        return Run(tmp_path)

    fake.init = init
    monkeypatch.setitem(sys.modules, "wandb", fake)
    for name in ("WANDB_API_KEY", "WANDB_MODE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    return fake


def test_without_a_key_the_run_is_not_tracked(wandb, tmp_path, caplog):
    assert initialize_wandb(SECTION, tmp_path) is None
    assert not wandb.calls
    [record] = caplog.records
    assert "there is no key, so the run is not tracked" in record.getMessage()


def test_without_a_key_the_user_may_keep_it_offline(wandb, tmp_path, caplog, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    with caplog.at_level(logging.INFO, "ivadomed"):
        initialize_wandb(SECTION, tmp_path)
    [call] = wandb.calls
    assert (call["mode"], call["project"], call["group"], call["name"]) == ("offline", "p", "g", "r")
    assert call["dir"] == str(tmp_path)
    assert f"wandb sync {tmp_path}/wandb/offline-run-1" in caplog.text


@pytest.mark.parametrize("place", ["section", "environment", "login"])
def test_with_a_key_it_is_online(wandb, tmp_path, monkeypatch, place):
    section = dict(SECTION)
    if place == "section":
        section["wandb_api_key"] = "c0ffee"
    elif place == "environment":
        monkeypatch.setenv("WANDB_API_KEY", "c0ffee")
    else:
        file = tmp_path / ".netrc"
        file.write_text("machine api.wandb.ai login user password c0ffee\n")
        file.chmod(0o600)
    initialize_wandb(section, tmp_path)
    assert wandb.calls[0]["mode"] == "online"
    assert wandb.calls[0]["settings"].api_key == "c0ffee"


def test_without_the_service_it_goes_on_offline(wandb, tmp_path, caplog):
    wandb.refuse = True
    assert initialize_wandb({**SECTION, "wandb_api_key": "c0ffee"}, tmp_path) is not None
    assert [call["mode"] for call in wandb.calls] == ["online", "offline"]
    assert "no route to host" in caplog.text
    assert "c0ffee" not in caplog.text


def test_a_resumed_training_goes_on_with_its_run(wandb, tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    initialize_wandb(SECTION, tmp_path)
    initialize_wandb(SECTION, tmp_path, resume=True)
    initialize_wandb(SECTION, tmp_path)
    assert [(c["id"], c["resume"]) for c in wandb.calls] == [(None, None), ("abc123", "allow"), (None, None)]


def test_the_user_decides_by_the_variable(wandb, tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "disabled")
    initialize_wandb({**SECTION, "wandb_api_key": "c0ffee"}, tmp_path)
    assert wandb.calls[0]["mode"] == "disabled"


def test_without_the_package_it_is_not_tracked(tmp_path, monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, "wandb", None)
    assert initialize_wandb({**SECTION, "wandb_api_key": "c0ffee"}, tmp_path) is None
    [record] = caplog.records
    assert "pip install 'ivadomed[wandb]'" in record.getMessage()
    assert initialize_wandb(None, tmp_path) is None


def test_losses_metrics_and_pictures_are_sent(wandb, tmp_path):
    run = Run(tmp_path)
    monitor = Monitor(tmp_path, 1, 1, tracker=run)
    monitor.losses(1, 0.5, 0.25, 0.01)
    monitor.metrics(1, {"dice_score": 0.75})
    x = torch.rand(2, 1, 8, 8)
    monitor.images(1, "Validation", x, x, x)
    monitor.close()
    sent = {key: value for values in run.logged for key, value in values.items()}
    assert sent == {
        "losses/train_loss": 0.5,
        "losses/val_loss": 0.25,
        "learning_rate": 0.01,
        "Validation/Metrics/dice_score": 0.75,
        "Validation/Input": ("picture", (3, 8, 16)),
        "Validation/Ground Truth": ("picture", (3, 8, 16)),
        "Validation/Predictions": ("picture", (3, 8, 16)),
        "epoch": 1,
    }
    assert run.finished
