"""Architectures beyond the U-Net through the command line: a class of the user's own, the residual-encoder U-Net."""

import json
import sys

import nibabel as nib
import numpy as np
import pytest
import torch

from ivadomed.errors import ModelError
from ivadomed.inference import segment_volume
from ivadomed.main import main

OWN = '''
"""Two convolutions."""
import torch
from ivadomed.models import Network


class TwoConvs(Network):
    def __init__(self, in_channel, out_channel, width=4, sharp=1.0):
        super().__init__()
        self.sharp = sharp
        self.first = torch.nn.Conv2d(in_channel, width, 3, padding=1)
        self.second = torch.nn.Conv2d(width, out_channel, 3, padding=1)

    def forward(self, x):
        return torch.sigmoid(self.sharp * self.second(torch.relu(self.first(x))))
'''


@pytest.fixture
def run(config, tmp_path):
    """A function that runs a command with the configuration, changed, and gives its exit code."""

    def run(command, **changes):
        path = tmp_path / "config.json"
        path.write_text(json.dumps(config | changes))
        return main([command, "-c", str(path)])

    return run


@pytest.fixture
def own_module(tmp_path, monkeypatch):
    """A module that can be imported and has not been."""
    (tmp_path / "my_nets.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    yield "my_nets"
    sys.modules.pop("my_nets", None)


def test_own_class_from_training_to_segmentation(run, own_module, config, tmp_path, study):
    model = {"name": "my_nets:TwoConvs", "width": 3, "sharp": 2.0}
    for command in ("--train", "--test", "--segment"):
        assert run(command, default_model=model) == 0
    out = tmp_path / "out put"
    content = torch.load(out / "seg_sc" / "seg_sc.pt", weights_only=True)
    assert content["name"] == "my_nets:TwoConvs"
    assert content["arguments"] == {
        "in_channel": 1,
        "out_channel": 1,
        "is_2d": True,
        "width": 3,
        "sharp": 2.0,
    }
    assert content["state_dict"]["first.weight"].shape == (3, 1, 3, 3)
    assert json.loads((out / "seg_sc" / "seg_sc.json").read_text())["default_model"]["width"] == 3
    assert list((out / "pred_masks").glob("*_class-0_pred.nii.gz"))
    assert "seg_sc.pt: opens only where my_nets, which defines its network, can be imported" in (
        out / "log"
    ).read_text(encoding="utf-8")

    image = next(study.glob("sub-*/anat/*_T2w.nii.gz"))
    [from_onnx], _ = segment_volume(out / "seg_sc", [image], gpu_id=None)
    (out / "seg_sc" / "seg_sc.onnx").unlink()
    [from_pt], _ = segment_volume(out / "seg_sc", [image], gpu_id=None)
    assert from_pt.shape == nib.load(image).shape
    assert np.mean(from_pt.get_fdata() != from_onnx.get_fdata()) < 1e-3

    # A process that has not imported the class: neither the .pt nor the .json beside it may do so.
    sys.modules.pop(own_module)
    with pytest.raises(ModelError, match=r"seg_sc.pt: .*not allowed to import one; .*`import my_nets`"):
        segment_volume(out / "seg_sc", [image], gpu_id=None)
    assert own_module not in sys.modules


@pytest.mark.usefixtures("own_module")
def test_arguments_of_an_own_class_are_checked_before_anything_is_written(run, tmp_path, capsys):
    assert run("--train", default_model={"name": "my_nets:TwoConvs", "widht": 3}) == 1
    message = capsys.readouterr().err
    assert "my_nets:TwoConvs: unknown argument 'widht'; did you mean 'width'?" in message
    assert not (tmp_path / "out put").exists()


def test_an_own_class_that_cannot_be_imported(run, capsys):
    assert run("--train", default_model={"name": "no_such_nets:Net"}) == 1
    assert "No module named 'no_such_nets'" in capsys.readouterr().err


def test_residual_encoder_unet(run, tmp_path):
    section = {"applied": True, "n_filters": 2, "n_blocks": [1, 1, 1, 1], "deep_supervision": False}
    for command in ("--train", "--test", "--segment"):
        assert run(command, ResidualEncoderUnet=section) == 0
    out = tmp_path / "out put"
    arguments = torch.load(out / "seg_sc" / "seg_sc.pt", weights_only=True)["arguments"]
    # Slices are cropped to 32 x 32: three times halved, 4 x 4 are left.
    assert arguments["depth"] == 3
    assert (out / "seg_sc" / "seg_sc.onnx").is_file()
    assert "No ONNX model" not in (out / "log").read_text(encoding="utf-8")
