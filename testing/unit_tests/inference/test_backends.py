"""PyTorch and ONNX behind one call."""

import os

import numpy as np
import pytest
import torch

from ivadomed.errors import ModelError
from ivadomed.inference.backends import OnnxForward, TorchForward, _thread_limit, open_model
from ivadomed.loader.samples import Batch
from ivadomed.models import FiLMedUnet, HeMISUnet, Modified3DUNet, Unet, save_model
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
        assert prediction.dtype == np.float32
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


def test_half_precision_predictions_come_back_as_float32(model):
    class Half(torch.nn.Module):
        def inputs(self, batch):
            return (batch.image,)

        def forward(self, x):
            return x.to(torch.bfloat16)

    assert TorchForward(Half(), CPU)(batch_of(1, 1, 4, 4)).dtype == np.float32


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
