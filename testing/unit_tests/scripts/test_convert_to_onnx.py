"""A model file becomes an ONNX file beside it."""

import onnxruntime
import pytest
import torch

from ivadomed.errors import ConfigError
from ivadomed.models import Modified3DUNet, Unet, save_model
from ivadomed.scripts.convert_to_onnx import convert_pytorch_to_onnx, main


def saved(path, network, **arguments):
    torch.manual_seed(0)
    save_model(path, network(**arguments), network.__name__, arguments)
    return str(path)


@pytest.mark.parametrize(
    ("network", "dimension", "channels"), [(Unet, 2, 1), (Unet, 2, 3), (Modified3DUNet, 3, 1)]
)
def test_two_and_three_dimensions(tmp_path, capsys, network, dimension, channels):
    depth = {"depth": 1} if network is Unet else {"out_channel": 1}
    path = saved(tmp_path / "a.b.pt", network, in_channel=channels, n_filters=2, **depth)
    more = ["-n", str(channels)] if channels > 1 else []
    assert main(["-m", path, "-d", str(dimension), *more]) == 0
    assert "a.b.onnx (opset 18) agrees with" in capsys.readouterr().out
    [image] = onnxruntime.InferenceSession(tmp_path / "a.b.onnx").get_inputs()
    assert image.shape == ["batch", channels, "height", "width", "depth"][: dimension + 2]


def test_a_wrong_number_of_channels_or_dimensions(tmp_path, capsys):
    path = saved(tmp_path / "m.pt", Unet, in_channel=2, depth=1, n_filters=1)
    assert main(["-m", path, "-d", "2"]) == 1
    error = capsys.readouterr().err
    assert "m.onnx: the network cannot be exported to ONNX" in error
    assert "to have 2 channels, but got 1" in error
    assert main(["-m", path, "-d", "3", "-n", "2"]) == 1
    for arguments in ({"dimension": 4}, {"dimension": 2, "n_channels": 0}):
        with pytest.raises(ConfigError, match="expected"):
            convert_pytorch_to_onnx(path, **arguments)


def test_an_absent_file(tmp_path, capsys):
    assert main(["-m", str(tmp_path / "no.pt"), "-d", "2"]) == 1
    assert "no.pt: no such model file" in capsys.readouterr().err
