"""Export to ONNX."""

import onnx
import onnxruntime
import pytest
import torch

from ivadomed.errors import ModelError, OutputError
from ivadomed.inference import onnx_inference
from ivadomed.models import (
    Countception,
    FiLMedUnet,
    FiLMgenerator,
    HeMISUnet,
    Modified3DUNet,
    Network,
    ResidualEncoderUnet,
    Unet,
    densenet121,
    resnet18,
)
from ivadomed.models.base import Inputs, example_inputs
from ivadomed.models.onnx import export_onnx, save_onnx_model

FILM = {"n_metadata": 3, "film_layers": [1] * 6}
FLAT = {"strides": [[1, 2, 2], [2, 2, 2]], "kernel_sizes": [[1, 3, 3], [3, 3, 3], [3, 3, 3]]}
# A network, whether it is 2D, and the name of its second input.
NETWORKS = {
    "Unet": (lambda: Unet(depth=2, n_filters=2), True, None),
    "Unet, channels and classes": (
        lambda: Unet(in_channel=2, out_channel=3, depth=1, n_filters=2, final_activation="softmax"),
        True,
        None,
    ),
    "Unet, relu": (lambda: Unet(depth=1, n_filters=2, final_activation="relu"), True, None),
    "Unet, deep": (lambda: Unet(depth=6, n_filters=1), True, None),
    "Unet 3D": (lambda: Unet(depth=1, n_filters=2, is_2d=False), False, None),
    "FiLMedUnet": (lambda: FiLMedUnet(depth=2, n_filters=2, **FILM), True, "metadata"),
    "FiLMedUnet without FiLM": (lambda: FiLMedUnet(depth=1, n_filters=2), True, None),
    "HeMISUnet": (lambda: HeMISUnet(["a", "b", "c"], depth=2, n_filters=2), True, "present_contrasts"),
    "HeMISUnet 3D": (
        lambda: HeMISUnet(["a", "b"], depth=1, n_filters=2, is_2d=False),
        False,
        "present_contrasts",
    ),
    "Modified3DUNet": (lambda: Modified3DUNet(1, 3, n_filters=2), False, None),
    "Modified3DUNet, FiLM and attention": (
        lambda: Modified3DUNet(1, 1, 2, attention=True, n_metadata=3, film_layers=[1] * 10),
        False,
        "metadata",
    ),
    "ResidualEncoderUnet": (
        lambda: ResidualEncoderUnet(depth=2, n_filters=2, n_blocks=[1, 2, 2]),
        True,
        None,
    ),
    "ResidualEncoderUnet 3D": (
        lambda: ResidualEncoderUnet(1, 3, depth=2, n_filters=2, n_blocks=[1, 1, 1], is_2d=False, **FLAT),
        False,
        None,
    ),
    "resnet18": (lambda: resnet18(in_channel=2), True, None),
    "densenet121": (densenet121, True, None),
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


class NormOnly(Network):
    def __init__(self):
        super().__init__()
        self.norms = torch.nn.Sequential(
            torch.nn.InstanceNorm3d(2, affine=True), torch.nn.ReLU(), torch.nn.InstanceNorm3d(2)
        )
        torch.nn.init.normal_(self.norms[0].weight)
        torch.nn.init.normal_(self.norms[0].bias)

    def forward(self, x):
        return self.norms(x)


class NotInOnnx(Scale):
    """Uses an operation that ONNX does not have."""

    def forward(self, x):
        return self.weight * torch.special.i1(x)


class BrokenInOnnx(Scale):
    """Finite in PyTorch, NaN once exported."""

    def forward(self, x):
        return x * (float("nan") if torch.onnx.is_in_onnx_export() else 1.0) * self.weight


def open_file(path):
    onnx.checker.check_model(str(path))
    return onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])


def channels_of(model):
    """Channels of the image, which the HeMIS network has one encoder for each of."""
    first = next(m for m in model.modules() if isinstance(m, torch.nn.Conv2d | torch.nn.Conv3d))
    return len(model.contrasts) if isinstance(model, HeMISUnet) else first.in_channels


def compare(model, session, batch, tolerance=1e-4):
    with torch.no_grad():
        expected = model(*model.inputs(batch))
    values = [batch.image] if batch.condition is None else [batch.image, batch.condition]
    feed = {entry.name: value.numpy() for entry, value in zip(session.get_inputs(), values, strict=True)}
    [answer] = session.run(None, feed)
    torch.testing.assert_close(torch.from_numpy(answer), expected, atol=tolerance, rtol=0)
    return answer


@pytest.mark.parametrize(("make", "is_2d", "condition"), NETWORKS.values(), ids=NETWORKS)
def test_every_architecture_agrees_on_any_batch_and_size(tmp_path, make, is_2d, condition):
    torch.manual_seed(0)
    model = make().eval()
    channels = channels_of(model)
    export_onnx(model, tmp_path / "m.onnx", channels, is_2d)
    session = open_file(tmp_path / "m.onnx")
    assert [entry.name for entry in session.get_inputs()] == ["input", *([condition] if condition else [])]
    assert [entry.name for entry in session.get_outputs()] == ["output"]
    smallest = model.example_size(2 if is_2d else 3)
    for batch, more in ((1, (16, 0, 0)), (2, (1, 5, 3))):
        size = [n + extra for n, extra in zip(smallest, more, strict=False)]
        answer = compare(model, session, example_inputs(model, (batch, channels, *size)))
        assert answer.shape[2:] in ((), tuple(size))  # a classifier has no map


@pytest.mark.slow
def test_countception_agrees(tmp_path):
    torch.manual_seed(0)
    model = Countception(in_channel=1).eval()
    export_onnx(model, tmp_path / "m.onnx", 1, is_2d=True)  # compares both, on two sizes
    open_file(tmp_path / "m.onnx")


@pytest.mark.parametrize("name", ["FiLMedUnet", "HeMISUnet"])
def test_the_second_input_decides(tmp_path, name):
    torch.manual_seed(0)
    model = NETWORKS[name][0]().eval()
    for module in model.modules():
        if isinstance(module, FiLMgenerator):
            torch.nn.init.normal_(module.linear1.weight, std=3)  # an untrained generator hardly looks at it
    channels = channels_of(model)
    export_onnx(model, tmp_path / "m.onnx", channels, is_2d=True)
    session, inputs = open_file(tmp_path / "m.onnx"), example_inputs(model, (2, channels, 32, 32))
    one = compare(model, session, inputs)
    other = compare(model, session, Inputs(inputs.image, inputs.condition.flip(0)))
    assert abs(one - other).max() > 1e-4


def test_large_volumes_are_normalised_as_well(tmp_path):
    """Where onnxruntime's own instance normalization is off by several 1e-4."""
    torch.manual_seed(0)
    model = NormOnly().eval()
    export_onnx(model, tmp_path / "m.onnx", 2, is_2d=False)
    inputs = Inputs(10 + torch.randn(1, 2, 256, 128, 32))
    compare(model, open_file(tmp_path / "m.onnx"), inputs, tolerance=2e-5)


def test_what_cannot_be_exported_is_an_error_of_one_line(tmp_path, capfd):
    with pytest.raises(
        ModelError, match=r"^[^\n]*m.onnx: the network cannot be exported to ONNX \([^\n]*\)$"
    ):
        export_onnx(NotInOnnx(), tmp_path / "m.onnx", 1, is_2d=True)
    assert capfd.readouterr().out == ""
    assert list(tmp_path.iterdir()) == []


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


@pytest.mark.parametrize("shape", [(2, 1, 16, 24), (1, 2, 16, 16, 8)])
def test_a_network_is_written_by_an_example_and_run_once(tmp_path, shape):
    torch.manual_seed(0)
    model = Unet(shape[1], 1, depth=2, n_filters=2, is_2d=len(shape) == 4).eval()
    x = torch.rand(shape)
    save_onnx_model(model, x, tmp_path / "a.onnx")
    with torch.no_grad():
        torch.testing.assert_close(onnx_inference(tmp_path / "a.onnx", x), model(x), atol=1e-5, rtol=1e-5)
