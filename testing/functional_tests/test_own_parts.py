"""One file outside the package adds a network, a loss, a transform, a metric and a postprocessing step."""

import json
import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import torch

from ivadomed.inference import segment_volume
from ivadomed.main import main

PARTS = '''
"""What a laboratory adds to ivadomed."""
from dataclasses import replace
from typing import Annotated

import torch

from ivadomed.registry.types import Doc, PositiveReal
from ivadomed.transforms import ImedTransform


class Net(torch.nn.Module):
    """A convolution, which knows nothing of ivadomed."""

    def __init__(self, in_channel, out_channel, width=4):
        super().__init__()
        self.first = torch.nn.Conv2d(in_channel, width, 3, padding=1)
        self.second = torch.nn.Conv2d(width, out_channel, 1)

    def forward(self, image):
        return torch.sigmoid(self.second(torch.relu(self.first(image))))


class SquaredLoss(torch.nn.Module):
    """Mean of the squared differences."""

    def __init__(self, weight: Annotated[PositiveReal, Doc("Factor (> 0).")] = 1.0):
        super().__init__()
        self.weight = weight

    def forward(self, prediction, target):
        return self.weight * (prediction - target).square().mean()


class Negate(ImedTransform):
    """Change the sign of intensities."""

    def __init__(self, factor: float = 1.0):
        self.factor = factor

    def __call__(self, sample, metadata=None):
        return [-self.factor * array for array in sample], metadata


def missed(prediction, truth):
    """Voxels of the truth that are not predicted."""
    return (truth > prediction).sum()


def upper_half(prediction, *, keep: float = 0.5):
    """Predict in the first rows only."""
    data = prediction.data_pred.copy()
    data[int(keep * data.shape[0]) :] = 0
    return data
'''


@pytest.fixture
def parts(tmp_path, monkeypatch):
    """A module that can be imported and has not been."""
    (tmp_path / "our_parts.py").write_text(PARTS)
    monkeypatch.syspath_prepend(tmp_path)
    yield "our_parts"
    sys.modules.pop("our_parts", None)


def with_parts(config: dict) -> dict:
    training = config["training_parameters"]
    return config | {
        "default_model": {"name": "our_parts:Net", "width": 3},
        "training_parameters": training
        | {"loss": {"name": "our_parts:SquaredLoss", "weight": 2.0}, "training_time": {"num_epochs": 1}},
        "transformation": config["transformation"]
        | {"our_parts:Negate": {"factor": 0.5, "applied_to": ["im"]}},
        "postprocessing": {"binarize_prediction": {"thr": 0.1}, "our_parts:upper_half": {"keep": 0.5}},
        "evaluation_parameters": {"metrics": ["our_parts:missed", "intersection_over_union"]},
    }


def run(command: str, config: dict, tmp_path) -> int:
    path = tmp_path / "config.json"
    path.write_text(json.dumps(config))
    return main([command, "-c", str(path)])


def test_parts_of_a_file_outside_the_package_from_training_to_prediction(config, parts, tmp_path, study):
    for command in ("--train", "--test", "--segment"):
        assert run(command, with_parts(config), tmp_path) == 0
    out = tmp_path / "out put"
    table = pd.read_csv(out / "results_eval" / "evaluation_3Dmetrics.csv")
    assert {"missed_class0", "intersection_over_union_class0", "dice_class0"} <= set(table.columns)
    assert (table["missed_class0"] >= 0).all()

    content = torch.load(out / "seg_sc" / "seg_sc.pt", weights_only=True)
    assert content["name"] == "our_parts:Net"
    assert content["arguments"]["width"] == 3
    log = (out / "log").read_text(encoding="utf-8")
    assert "opens only where our_parts, which defines its network, can be imported" in log
    packaged = json.loads((out / "seg_sc" / "seg_sc.json").read_text())
    assert packaged["training_parameters"]["loss"] == {"name": "our_parts:SquaredLoss", "weight": 2.0}
    assert packaged["transformation"]["our_parts:Negate"]["factor"] == 0.5
    assert list(packaged["postprocessing"]) == ["binarize_prediction", "our_parts:upper_half"]

    image = next(study.glob("sub-*/anat/*_T2w.nii.gz"))
    [found], _ = segment_volume(out / "seg_sc", [image], gpu_id=None)
    voxels = np.asanyarray(found.dataobj)
    assert not voxels[voxels.shape[0] // 2 :].any()

    # In a process of its own, which finds the module by its path.
    code = "import sys, our_parts, ivadomed.inference as i; i.segment_volume(sys.argv[1], sys.argv[2:])"
    paths = os.pathsep.join([str(tmp_path), *filter(None, sys.path)])
    command = [sys.executable, "-c", code, out / "seg_sc", image]
    subprocess.run(command, check=True, env={**os.environ, "PYTHONPATH": paths})


@pytest.mark.parametrize(
    ("section", "value", "message"),
    [
        ("loss", {"name": "our_parts:SquaredLoss", "wieght": 1}, "did you mean 'weight'"),
        ("loss", {"name": "our_parts:Absent"}, "cannot be imported"),
        ("loss", {"name": "no module"}, "'no module' is unknown"),
        ("transformation", {"our_parts:Negate": {"facto": 1}}, "did you mean 'factor'"),
        ("transformation", {"our_parts:missed": {}}, "is no transform"),
        ("postprocessing", {"our_parts:upper_half": {"kepe": 1}}, "did you mean 'keep'"),
        ("evaluation_parameters", {"metrics": ["our_parts:absent"]}, "cannot be imported"),
    ],
)
@pytest.mark.usefixtures("parts")
def test_what_is_wrong_with_parts_is_said_before_anything_is_written(
    config, tmp_path, capsys, section, value, message
):
    if section == "loss":
        section, value = "training_parameters", config["training_parameters"] | {"loss": value}
    assert run("--train", config | {section: value}, tmp_path) == 1
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out put").exists()
