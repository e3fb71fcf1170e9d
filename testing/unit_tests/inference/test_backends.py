"""PyTorch and ONNX behind one call."""

import os
from dataclasses import replace

import numpy as np
import pytest
import torch

from ivadomed.errors import ModelError
from ivadomed.inference import backends as module
from ivadomed.inference.backends import OnnxForward, TorchForward, _thread_limit, open_model
from ivadomed.loader.samples import Batch
from ivadomed.models import (
    FiLMedUnet,
    HeMISUnet,
    Modified3DUNet,
    Network,
    ResidualEncoderUnet,
    Unet,
    densenet121,
    save_model,
)
from ivadomed.models.onnx import export_onnx

CPU = torch.device("cpu")
ARGUMENTS = {"depth": 1, "n_filters": 2, "in_channel": 2, "out_channel": 3, "final_activation": "softmax"}


def batch_of(*shape, condition=None):
    return Batch(torch.rand(*shape, generator=torch.Generator().manual_seed(1)), None, condition, ())


@pytest.fixture
def model():
    torch.manual_seed(0)
    return Unet(**ARGUMENTS)


@pytest.fixture
def files(model, tmp_path):
    save_model(tmp_path / "m.pt", model, "Unet", ARGUMENTS)
    export_onnx(model, tmp_path / "m.onnx", 2, is_2d=True)
    return tmp_path


@pytest.mark.parametrize("shape", [(1, 2, 32, 32), (3, 2, 40, 28)])
def test_both_kinds_of_file_give_the_network_s_numbers(files, model, shape):
    batch = batch_of(*shape)
    with torch.no_grad():
        expected = model.eval()(batch.image).numpy()
    for suffix, kind in ((".pt", TorchForward), (".onnx", OnnxForward)):
        forward = open_model(files / f"m{suffix}", CPU)
        assert isinstance(forward, kind)
        prediction = forward(batch)
        assert prediction.dtype == torch.float32
        assert prediction.shape == (shape[0], 2, *shape[2:])  # the background is left out
        np.testing.assert_allclose(prediction, expected, atol=1e-4)


def test_three_dimensional_onnx(tmp_path):
    torch.manual_seed(0)
    model = Modified3DUNet(in_channel=1, out_channel=1, n_filters=2).eval()
    export_onnx(model, tmp_path / "m.onnx", 1, is_2d=False)
    batch = batch_of(1, 1, 16, 32, 16)
    with torch.no_grad():
        expected = model(batch.image).numpy()
    np.testing.assert_allclose(open_model(tmp_path / "m.onnx", CPU)(batch), expected, atol=1e-4)


@pytest.mark.parametrize(
    ("make", "channels", "condition"),
    [
        (lambda: FiLMedUnet(depth=1, n_filters=2, n_metadata=3, film_layers=[1] * 4), 1, torch.eye(3)[:2]),
        (
            lambda: HeMISUnet(["T1w", "T2w"], depth=1, n_filters=2),
            2,
            torch.tensor([[True, False], [True, True]]),
        ),
        (lambda: HeMISUnet(["T1w", "T2w"], depth=1, n_filters=2), 2, None),
    ],
    ids=["metadata", "present contrasts", "all contrasts"],
)
def test_the_condition_of_a_batch_reaches_the_network(tmp_path, make, channels, condition):
    torch.manual_seed(0)
    model = make()
    export_onnx(model, tmp_path / "m.onnx", channels, is_2d=True)
    batch = batch_of(2, channels, 20, 24, condition=condition)
    expected = TorchForward(model, CPU)(batch)
    np.testing.assert_allclose(open_model(tmp_path / "m.onnx", CPU)(batch), expected, atol=1e-5)


def test_missing_metadata_are_named(tmp_path):
    export_onnx(
        FiLMedUnet(depth=1, n_filters=2, n_metadata=3, film_layers=[1] * 4),
        tmp_path / "m.onnx",
        1,
        is_2d=True,
    )
    with pytest.raises(ModelError, match=r"m.onnx: the model needs metadata in addition to the image"):
        open_model(tmp_path / "m.onnx", CPU)(batch_of(1, 1, 16, 16))


def test_dropout_is_off_and_no_gradient_is_kept(model):
    forward = TorchForward(model.train(), CPU)
    batch = batch_of(1, 2, 16, 16)
    np.testing.assert_array_equal(forward(batch), forward(batch))


NETWORKS = {
    "Unet": (lambda: Unet(depth=2, n_filters=4, out_channel=3, final_activation="softmax"), (1, 32, 32)),
    "Modified3DUNet": (lambda: Modified3DUNet(1, 2, n_filters=4), (1, 32, 32, 16)),
    "ResidualEncoderUnet": (
        lambda: ResidualEncoderUnet(1, 2, n_filters=4, is_2d=False, depth=2),
        (1, 32, 32, 16),
    ),
    "densenet121": (lambda: densenet121(out_channel=2), (1, 64, 64)),
}


@pytest.fixture
def half(monkeypatch):
    """The CPU computes in half precision, as a GPU does."""
    monkeypatch.setattr(module, "predicts_in_half", lambda device, precision: precision != "32")


@pytest.mark.parametrize(("make", "shape"), NETWORKS.values(), ids=NETWORKS)
def test_in_half_precision_predictions_are_nearly_those_of_float32(make, shape, half, caplog):
    torch.manual_seed(0)
    model, batch = make(), batch_of(2, *shape)
    batch = replace(batch, image=batch.image * 4 - 2)
    expected, found = (TorchForward(model, CPU, precision)(batch) for precision in ("32", "auto"))
    assert found.dtype == torch.float32
    difference = float((found - expected).norm() / expected.norm())
    assert 0 < difference < 0.005  # 11 bits: 0.0005 of each value
    assert not caplog.records


@pytest.mark.parametrize("factor", [1e5, 1e-4])
def test_images_outside_the_range_of_fp16_are_predicted_in_float32(factor, half, caplog):
    torch.manual_seed(0)
    model, batch = Unet(depth=1, n_filters=4), batch_of(2, 1, 16, 16)
    batch = replace(batch, image=batch.image * factor)
    forward = TorchForward(model, CPU)
    expected = TorchForward(model, CPU, "32")(batch)
    for _ in range(2):
        torch.testing.assert_close(forward(batch), expected, rtol=0, atol=0)
    assert [record.message for record in caplog.records] == [
        "An image, the network or its prediction does not fit into fp16; predicting in float32."
    ]


def test_a_network_that_overflows_goes_on_in_float32(half):
    class Large(Network):
        def __init__(self):
            super().__init__()
            self.conv = torch.nn.Conv2d(1, 1, 1)
            torch.nn.init.constant_(self.conv.weight, 7e4)

        def forward(self, x):
            return self.conv(x) / 1e5

    network, batch = Large(), batch_of(1, 1, 8, 8)
    torch.testing.assert_close(TorchForward(network, CPU)(batch), TorchForward(network, CPU, "32")(batch))


def test_a_network_that_does_not_support_half_precision_goes_on_in_float32(half):
    class Strict(Network):
        def __init__(self):
            super().__init__()
            self.conv = torch.nn.Conv2d(1, 1, 1)

        def forward(self, x):
            y = torch.zeros_like(x)
            y[x > 0.5] = self.conv(x)[x > 0.5]  # fails for values of another type
            return y

    network, batch = Strict(), batch_of(1, 1, 8, 8)
    torch.testing.assert_close(TorchForward(network, CPU)(batch), TorchForward(network, CPU, "32")(batch))


def test_every_channel_must_fit_into_fp16(half, caplog):
    image = batch_of(1, 2, 16, 16).image
    image[:, 1] *= 1e-6
    TorchForward(Unet(depth=1, n_filters=4, in_channel=2), CPU)(Batch(image, None, None, ()))
    assert len(caplog.records) == 1


def test_empty_samples_are_in_the_range_of_fp16(half, caplog):
    TorchForward(Unet(depth=1, n_filters=4), CPU)(Batch(torch.zeros(2, 1, 16, 16), None, None, ()))
    assert not caplog.records


@pytest.mark.parametrize("name", ["m.onnx", "m.pt"])
@pytest.mark.parametrize("content", [b"", b"garbage", None])
def test_a_damaged_or_absent_file_is_named(tmp_path, name, content):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(ModelError, match=name):
        open_model(tmp_path / name, CPU)


def test_threads_follow_the_environment_then_the_affinity(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert _thread_limit() == 3
    for unusable in ("", "0", "many"):
        monkeypatch.setenv("OMP_NUM_THREADS", unusable)
        monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 2, 4, 6, 8}, raising=False)
        assert _thread_limit() == 5
