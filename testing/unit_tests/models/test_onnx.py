"""Export to ONNX."""

import onnx
import onnxruntime
import pytest
import torch

from ivadomed.errors import ModelError, OutputError
from ivadomed.models import Modified3DUNet, Network, Unet
from ivadomed.models.onnx import export_onnx

NETWORKS = {
    "2D": (Unet, {"in_channel": 1, "out_channel": 1, "depth": 2, "n_filters": 2}, True),
    "2D, channels and classes": (
        Unet,
        {"in_channel": 2, "out_channel": 3, "depth": 1, "n_filters": 2, "final_activation": "softmax"},
        True,
    ),
    "3D U-Net": (
        Unet,
        {"in_channel": 1, "out_channel": 1, "depth": 1, "n_filters": 2, "is_2d": False},
        False,
    ),
    "3D": (Modified3DUNet, {"in_channel": 1, "out_channel": 1, "n_filters": 2}, False),
    "3D, attention": (
        Modified3DUNet,
        {"in_channel": 1, "out_channel": 1, "n_filters": 2, "attention": True},
        False,
    ),
}


class Scale(Network):
    """The smallest network: one weight."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.tensor([2.0]))

    def forward(self, x):
        return x * self.weight


class FrozenSize(Scale):
    """The tracer takes the size of the example for a constant."""

    def forward(self, x):
        rows = int(x.shape[2])
        return x * self.weight + rows


class BrokenInOnnx(Scale):
    """Finite in PyTorch, NaN once exported."""

    def forward(self, x):
        return x * (float("nan") if torch.onnx.is_in_onnx_export() else 1.0) * self.weight


@pytest.mark.parametrize(("network", "arguments", "is_2d"), NETWORKS.values(), ids=NETWORKS)
def test_batch_and_size_stay_free(tmp_path, network, arguments, is_2d):
    torch.manual_seed(0)
    model, channels = network(**arguments).eval(), arguments["in_channel"]
    export_onnx(model, tmp_path / "m.onnx", channels, is_2d)
    onnx.checker.check_model(str(tmp_path / "m.onnx"))
    session = onnxruntime.InferenceSession(str(tmp_path / "m.onnx"), providers=["CPUExecutionProvider"])
    assert [i.name for i in session.get_inputs()] == ["input"]
    assert [o.name for o in session.get_outputs()] == ["output"]
    for batch, size in ((1, (48, 32, 16)), (3, (16, 32, 32))):
        image = torch.rand(batch, channels, *size[: 2 if is_2d else 3])
        with torch.no_grad():
            expected = model(image)
        [answer] = session.run(None, {"input": image.numpy()})
        torch.testing.assert_close(torch.from_numpy(answer), expected, atol=1e-4, rtol=0)


def test_dropout_is_off_in_the_file(tmp_path):
    torch.manual_seed(0)
    model = Unet(depth=1, n_filters=2, dropout_rate=0.9).train()
    export_onnx(model, tmp_path / "m.onnx", 1, is_2d=True)
    image = torch.rand(1, 1, 32, 32)
    with torch.no_grad():
        expected = model.eval()(image).numpy()
    session = onnxruntime.InferenceSession(str(tmp_path / "m.onnx"), providers=["CPUExecutionProvider"])
    assert abs(session.run(None, {"input": image.numpy()})[0] - expected).max() < 1e-4


def test_channels_last_weights_are_exported_too(tmp_path):
    model = Unet(depth=1, n_filters=2).to(memory_format=torch.channels_last)
    export_onnx(model, tmp_path / "m.onnx", 1, is_2d=True)
    assert (tmp_path / "m.onnx").is_file()


def test_a_file_that_differs_on_another_size_is_refused_and_not_kept(tmp_path):
    old = tmp_path / "m.onnx"
    old.write_bytes(b"the model before")
    with pytest.raises(
        ModelError, match=r"m.onnx: the ONNX model differs .* by 16 on an image of shape \(2, 1, 48"
    ):
        export_onnx(FrozenSize(), old, 1, is_2d=True)
    assert old.read_bytes() == b"the model before"
    assert [p.name for p in tmp_path.iterdir()] == ["m.onnx"]


def test_a_file_that_answers_nan_is_refused(tmp_path):
    with pytest.raises(ModelError, match="the ONNX model differs"):
        export_onnx(BrokenInOnnx(), tmp_path / "m.onnx", 1, is_2d=True)


def test_the_model_of_the_caller_stays_in_training_mode(tmp_path):
    model = Unet(depth=1, n_filters=2).train()
    export_onnx(model, tmp_path / "m.onnx", 1, is_2d=True)
    assert model.training


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be written"):
        export_onnx(Scale(), tmp_path / "file" / "m.onnx", 1, is_2d=True)
