"""Several processes train one network, on the CPU."""

import json
import subprocess
import sys

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from ivadomed.commands import train
from ivadomed.errors import ConfigError
from ivadomed.main import run_main
from ivadomed.runtime.ranks import World

FAILING = """
import os, signal, sys
from ivadomed.main import main
from ivadomed.training.loop import Trainer

validate = Trainer._validate

def fail(self, *args):
    if self.processes.world.rank == 1:
        if sys.argv[2] == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        raise ZeroDivisionError("a fault of the second process")
    return validate(self, *args)

Trainer._validate = fail
sys.exit(main(["--train", sys.argv[1]]))
"""


@pytest.fixture
def processes_config(config):
    """A network that computes the same from a part of a batch as from the whole: no batch norm, no dropout."""
    config["Modified3DUNet"] = {
        "applied": True,
        "length_3D": [32, 32, 16],
        "stride_3D": [32, 32, 16],
        "n_filters": 2,
    }
    config["default_model"]["dropout_rate"] = 0.0
    config["transformation"]["CenterCrop"]["size"] = [32, 32, 16]
    config["training_parameters"] |= {"batch_size": 3, "precision": "32", "mixup_alpha": 0.3}
    config["training_parameters"] |= {"accumulate_batches": 2, "gradient_clipping": 1.0, "ema_decay": 0.9}
    config["training_parameters"]["balance_samples"] = {"applied": True, "type": "gt"}
    # A schedule that does not depend on the length: a shorter run is the beginning of a longer one.
    schedule = {"initial_lr": 0.01, "lr_scheduler": {"name": "CosineAnnealingWarmRestarts", "T_0": 2}}
    config["training_parameters"]["scheduler"] = schedule
    return config


def together(program, *arguments):
    """Run a program in two processes."""
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    return subprocess.run(
        [*launcher, *program, *map(str, arguments)], capture_output=True, text=True, timeout=500
    )


def losses(folder, kind):
    events = EventAccumulator(str(folder)).Reload().Scalars(f"losses/{kind}_loss")
    return [event.value for event in events]


def test_two_processes_have_the_losses_of_one_and_can_be_resumed(processes_config, tmp_path, monkeypatch):
    config = processes_config
    config["training_parameters"]["training_time"]["num_epochs"] = 3
    one = run_main({**config, "path_output": str(tmp_path / "one")})
    out = tmp_path / "two"
    # With a budget in time, whose rehearsal and clock they share, and of which nothing shows.
    config["training_parameters"]["training_time"] |= {"num_epochs": 2, "max_minutes": 60}
    file = tmp_path / "config.json"
    file.write_text(json.dumps({**config, "path_output": str(out)}))
    done = together(["-m", "ivadomed"], "--train", file)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("1/2  loss") == 1  # one of them talks
    assert len(list(out.glob("events.out.tfevents.*"))) == 1  # and writes
    assert not (out / "run.lock").exists()
    # The next epoch: by as many processes as there are devices, which this process starts itself.
    monkeypatch.setattr(train, "training_devices", lambda ids, world: (torch.device("cpu"),) * 2)
    config["training_parameters"]["training_time"] |= {"num_epochs": 3, "max_minutes": None}
    two = run_main({**config, "path_output": str(out)}, resume_training=True)
    assert two == pytest.approx(one, abs=1e-4)
    for kind in ("train", "val"):
        assert losses(out, kind) == pytest.approx(losses(tmp_path / "one", kind), abs=1e-4)
    assert len(torch.load(out / "checkpoint.pth.tar", weights_only=True)["rng"]) == 2
    assert (out / "seg_sc" / "seg_sc.pt").is_file()


@pytest.mark.parametrize("how", ["raised", "killed"])
def test_a_process_that_ends_ends_the_others(processes_config, tmp_path, how):
    processes_config["training_parameters"]["training_time"]["num_epochs"] = 500
    file, script = tmp_path / "config.json", tmp_path / "failing.py"
    file.write_text(json.dumps(processes_config))
    script.write_text(FAILING)
    done = together([str(script)], file, how)
    assert done.returncode != 0  # and it has ended, long before the last epoch
    traceback = "ZeroDivisionError: a fault of the second process"
    assert (traceback in done.stderr) == (how == "raised")


def test_only_training_takes_several_processes(processes_config, monkeypatch):
    for key, value in World(1, 2, 1, 2).environment().items():
        monkeypatch.setenv(key, value)
    with pytest.raises(ConfigError, match="--test runs in one process, but 2 were started"):
        run_main({**processes_config, "command": "test"})


def test_voxels_that_are_ignored_in_one_process_are_ignored_in_the_batch(processes_config, tmp_path):
    processes_config["training_parameters"]["training_time"]["num_epochs"] = 1
    processes_config["loader_parameters"]["ignore_label"] = "_gmseg-manual"
    one = run_main({**processes_config, "path_output": str(tmp_path / "one")})
    file = tmp_path / "config.json"
    file.write_text(json.dumps({**processes_config, "path_output": str(tmp_path / "two")}))
    done = together(["-m", "ivadomed"], "--train", file)
    assert done.returncode == 0, done.stderr
    for place, kind in ((1, "train"), (3, "val")):
        assert losses(tmp_path / "two", kind) == pytest.approx(losses(tmp_path / "one", kind), abs=1e-4)
        assert losses(tmp_path / "one", kind)[0] == pytest.approx(one[place], abs=1e-6)
