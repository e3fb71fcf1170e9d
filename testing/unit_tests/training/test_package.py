"""The packaged model."""

import json

import numpy as np
import onnxruntime
import pytest
import torch

from ivadomed.config import load_config
from ivadomed.errors import ModelError
from ivadomed.models import build_model, get_model_filenames, load_model, save_model
from ivadomed.training.outputs import package_model


@pytest.fixture
def make(tmp_path):
    def make(contrasts=("T1w",), classes=("_seg-manual",), name="my.model v2", **model):
        config = load_config(
            {
                "command": "train",
                "model_name": name,
                "loader_parameters": {
                    "path_data": ["somewhere"],
                    "target_suffix": list(classes),
                    "contrast_params": {"training_validation": list(contrasts)},
                    "multichannel": len(contrasts) > 1,
                },
                "default_model": {"name": "Unet", "depth": 1, "n_filters": 2},
                **model,
            }
        )
        torch.manual_seed(0)
        arguments = config.architecture.arguments
        model = build_model(config.architecture.name, arguments)
        save_model(tmp_path / "best_model.pt", model, config.architecture.name, arguments)
        package_model(config, tmp_path / "best_model.pt", tmp_path / name)
        return config, tmp_path / name, model.eval()

    return make


def test_three_files_named_as_the_folder_and_nothing_else(make):
    _, folder, _ = make()
    assert sorted(p.name for p in folder.iterdir()) == [
        "my.model v2.json",
        "my.model v2.onnx",
        "my.model v2.pt",
    ]
    model, config = get_model_filenames(folder)
    assert config.endswith("my.model v2.json")
    assert model.endswith(".pt" if torch.cuda.is_available() else ".onnx")


def test_all_files_describe_one_and_the_same_network(make):
    config, folder, model = make(contrasts=("T1w", "T2w"), classes=("_a", "_b"))
    again = load_config(folder / f"{folder.name}.json")
    assert again.architecture == config.architecture
    assert (again.in_channel, again.out_channel) == (2, 3)
    image = torch.rand(2, 2, 20, 36)
    with torch.no_grad():
        expected = model(image).numpy()
        packaged = load_model(folder / f"{folder.name}.pt")(image).numpy()
    np.testing.assert_array_equal(packaged, expected)
    session = onnxruntime.InferenceSession(
        str(folder / f"{folder.name}.onnx"), providers=["CPUExecutionProvider"]
    )
    [answer] = session.run(None, {"input": image.numpy()})
    np.testing.assert_allclose(answer, expected, atol=1e-4)


def test_a_three_dimensional_model(make):
    section = {"applied": True, "length_3D": [32, 16, 16], "stride_3D": [32, 16, 16], "n_filters": 2}
    _, folder, model = make(Modified3DUNet=section)
    session = onnxruntime.InferenceSession(
        str(folder / f"{folder.name}.onnx"), providers=["CPUExecutionProvider"]
    )
    image = torch.rand(1, 1, 16, 32, 16)
    with torch.no_grad():
        expected = model(image).numpy()
    np.testing.assert_allclose(session.run(None, {"input": image.numpy()})[0], expected, atol=1e-4)


def test_secrets_stay_out(make):
    _, folder, _ = make(wandb={"wandb_api_key": "c0ffee", "project_name": "p"})
    text = (folder / f"{folder.name}.json").read_text()
    assert "c0ffee" not in text
    assert json.loads(text)["model_name"] == folder.name


def test_packaging_again_replaces_the_files(make):
    _, folder, _ = make()
    stale = folder / f"{folder.name}.json"
    stale.write_text("{}")
    make()
    assert json.loads(stale.read_text())["model_name"] == folder.name
    assert len(list(folder.iterdir())) == 3


def test_absent_weights_are_named(make, tmp_path):
    config, folder, _ = make()
    with pytest.raises(ModelError, match=r"nowhere.pt: no such model file"):
        package_model(config, tmp_path / "nowhere.pt", folder)


@pytest.mark.parametrize(
    ("chosen", "blend", "anchor"), [({}, "gaussian", "center"), ({"blend": "mean"}, "mean", "center")]
)
def test_the_package_says_how_patches_are_used(make, chosen, blend, anchor):
    """Because one that does not say is taken for a model of ivadomed 2."""
    _, folder, _ = make(**chosen)
    packaged = json.loads((folder / f"{folder.name}.json").read_text())
    assert (packaged["blend"], packaged["object_detection_params"]["anchor"]) == (blend, anchor)
    _, folder, _ = make(object_detection_params={"object_detection_path": "first", "anchor": "corner"})
    assert (
        json.loads((folder / f"{folder.name}.json").read_text())["object_detection_params"]["anchor"]
        == "corner"
    )
