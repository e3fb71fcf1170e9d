"""Old model files become packaged models."""

import json
import os
import shutil
import warnings

import nibabel as nib
import numpy as np
import onnxruntime
import pytest
import torch

from ivadomed.commands import convert
from ivadomed.errors import ModelError
from ivadomed.inference import segment_volume
from ivadomed.models import FiLMedUnet, HeMISUnet, Modified3DUNet, Unet, load_model
from ivadomed.models.base import example_inputs
from ivadomed.models.describe import Description
from ivadomed.scripts.convert_model import convert_model, main

NETWORKS = {
    "Unet": lambda: Unet(out_channel=3, depth=2, n_filters=2, final_activation="softmax"),
    "FiLMedUnet": lambda: FiLMedUnet(depth=1, n_filters=2, n_metadata=2, film_layers=[1, 0, 1, 1]),
    "HeMISUnet": lambda: HeMISUnet(["T1w", "T2w"], depth=1, n_filters=2),
    "Modified3DUNet": lambda: Modified3DUNet(1, 1, n_filters=2, attention=True),
}


class Malicious:
    """Pickles as a call of the shell."""

    def __init__(self, command):
        self.command = command

    def __reduce__(self):
        return os.system, (self.command,)


def pickled(model, path):
    """The whole module, as ivadomed 2.9.10 saved it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.save(model, path)
    return path


@pytest.fixture
def old(tmp_path):
    torch.manual_seed(0)
    return pickled(Unet(depth=1, n_filters=2), tmp_path / "old.pt")


@pytest.mark.parametrize("name", NETWORKS)
def test_files_give_the_output_of_the_old_one(tmp_path, name, capsys):
    torch.manual_seed(0)
    model = NETWORKS[name]().eval()
    path = pickled(model, tmp_path / "old.pt")
    assert main([str(path), str(tmp_path / "new.v2")]) == 0
    assert sorted(p.name for p in (tmp_path / "new.v2").iterdir()) == ["new.v2.onnx", "new.v2.pt"]
    shown = capsys.readouterr().out
    assert "new.v2.pt gives the same output as" in shown
    assert "No configuration was given" in shown
    channels = 2 if name == "HeMISUnet" else 1
    inputs = example_inputs(model, (2, channels, *[32] * (3 if name == "Modified3DUNet" else 2)))
    with torch.no_grad():
        expected = model(*model.inputs(inputs))
        again = load_model(tmp_path / "new.v2" / "new.v2.pt")
        torch.testing.assert_close(again(*again.inputs(inputs)), expected, rtol=0, atol=0)
    session = onnxruntime.InferenceSession(tmp_path / "new.v2" / "new.v2.onnx")
    values = [v.numpy() for v in (inputs.image, inputs.condition) if v is not None]
    [answer] = session.run(None, {e.name: v for e, v in zip(session.get_inputs(), values, strict=True)})
    np.testing.assert_allclose(answer, expected.numpy(), atol=1e-4)


@pytest.mark.parametrize("beside", [True, False])
def test_an_old_configuration_comes_along(old, tmp_path, beside):
    path = old.with_suffix(".json") if beside else tmp_path / "c.json"
    path.write_text(json.dumps({"gpu": 0, "log_directory": "x", "wandb": {"wandb_api_key": "c0ffee"}}))
    convert_model(old, tmp_path / "new", None if beside else path)
    written = json.loads((tmp_path / "new" / "new.json").read_text())
    assert written["path_output"] == "x"
    assert written["wandb"]["wandb_api_key"] == ""


def test_a_configuration_of_another_model_is_refused(old, tmp_path, capsys):
    path = tmp_path / "c.json"
    path.write_text(json.dumps({"loader_parameters": {"target_suffix": ["_a", "_b"]}}))
    assert main([str(old), str(tmp_path / "new"), "-c", str(path)]) == 1
    message = capsys.readouterr().err
    assert "Unet, 1 input and 3 output channels, 2D" in message
    assert "old.pt holds Unet, 1 input and 1 output channels, 2D" in message
    assert not (tmp_path / "new").exists()


def test_a_pickle_that_would_run_code_is_refused(tmp_path, capsys):
    flag = tmp_path / "flag"
    path = pickled(Malicious(f"touch {flag}"), tmp_path / "evil.pt")
    assert main([str(path), str(tmp_path / "new")]) == 1
    message = capsys.readouterr().err
    assert "evil.pt: refused, it asks for posix.system" in message
    assert "could run code" in message.replace("\n", " ")
    assert not flag.exists()
    assert not (tmp_path / "new").exists()


def test_nothing_is_overwritten(old, tmp_path, capsys):
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "new.onnx").write_text("mine")
    assert main([str(old), str(tmp_path / "new")]) == 1
    assert "new.onnx: exists already" in capsys.readouterr().err
    assert (tmp_path / "new" / "new.onnx").read_text() == "mine"


def test_another_output_is_refused(old, tmp_path, monkeypatch):
    wrong = {"depth": 1, "n_filters": 2, "final_activation": "relu"}
    monkeypatch.setattr(convert, "describe", lambda model: Description("Unet", wrong, 1, 1))
    with pytest.raises(ModelError, match=r"old.pt: rebuilt from .* its output differs by"):
        convert_model(old, tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_a_part_of_a_network_is_no_model(tmp_path, capsys):
    path = pickled(Unet(depth=1, n_filters=1).encoder, tmp_path / "old.pt")
    assert main([str(path), str(tmp_path / "new")]) == 1
    assert "old.pt: Encoder: its arguments cannot be inferred from" in capsys.readouterr().err


@pytest.mark.real_data
def test_published_model_segments_as_before(real_data, tmp_path):
    source, config = (real_data / "data_testing" / n for n in ("model_unet_test.pt", "model_config.json"))
    image = real_data / "data_testing" / "sub-unf01" / "anat" / "sub-unf01_T1w.nii.gz"
    assert main([str(source), str(tmp_path / "new"), "-c", str(config)]) == 0
    before = tmp_path / "before"
    before.mkdir()
    shutil.copy(source, before / "before.pt")
    shutil.copy(config, before / "before.json")
    shutil.copytree(tmp_path / "new", tmp_path / "exported" / "new")
    (tmp_path / "exported" / "new" / "new.pt").unlink()
    (tmp_path / "new" / "new.onnx").unlink()
    results = {}
    for folder in (before, tmp_path / "new", tmp_path / "exported" / "new"):
        [result], _ = segment_volume(folder, [image], gpu_id=None, options={"binarize_prediction": 0})
        results[folder.parent.name if folder.parent != tmp_path else folder.name] = np.asanyarray(
            result.dataobj
        )
    np.testing.assert_array_equal(results["new"], results["before"])
    np.testing.assert_allclose(results["exported"], results["before"], atol=1e-4)
    assert results["new"].shape == nib.load(image).shape
