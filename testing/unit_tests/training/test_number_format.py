"""Which number format a training computes in."""

import pytest
import torch

from ivadomed.config.schema.run import Architecture
from ivadomed.errors import ConfigError
from ivadomed.training import number_format
from ivadomed.training.number_format import (
    Convolution,
    convolutions,
    has_right_gradient,
    precision_text,
    resolve_precision,
)

CPU = torch.device("cpu")
UNET = Architecture("Modified3DUNet", {"in_channel": 1, "out_channel": 1, "n_filters": 2})


@pytest.fixture(autouse=True)
def fast_cpu(monkeypatch):
    """A CPU that computes in bfloat16, whatever this one does."""
    monkeypatch.setattr("ivadomed.runtime.device._cpu_has_bf16", lambda device: True)


@pytest.fixture
def said(monkeypatch) -> list[str]:
    lines: list[str] = []
    monkeypatch.setattr(number_format, "say", lambda title, text: lines.append(f"{title}: {text}"))
    return lines


@pytest.mark.parametrize("size", [(32, 32, 32), (32, 32, 16), (32, 16, 32)])
def test_tiny_feature_maps_are_computed_in_32_bits(said, size):
    assert resolve_precision("auto", CPU, UNET, size, 2) == "32"
    [line] = said
    assert "feature maps as small as" in line
    with pytest.raises(
        ConfigError, match=r'precision: "bf16", but feature maps as small as .*larger patches'
    ):
        resolve_precision("bf16", CPU, UNET, size, 2)
    assert resolve_precision("32", CPU, UNET, size, 2) == "32"


@pytest.mark.parametrize("size", [(48, 48, 48), (48, 32, 32)])
def test_larger_ones_in_bfloat16(said, size):
    assert resolve_precision("auto", CPU, UNET, size, 2) == "bf16"
    assert resolve_precision("bf16", CPU, UNET, size, 2) == "bf16"
    assert said == []


def test_slices_and_gpus_are_not_concerned(said):
    unet = Architecture("Unet", {"in_channel": 1, "out_channel": 1, "depth": 4})
    assert resolve_precision("auto", CPU, unet, (32, 32), 2) == "bf16"
    assert resolve_precision("bf16", torch.device("cuda"), UNET, (32, 32, 32), 2) == "bf16"
    assert said == []


@pytest.mark.parametrize("fault", ["noise", "nan", "changes"])
def test_a_kernel_that_computes_wrong_is_found(monkeypatch, said, fault):
    right, calls = number_format._gradient, []

    def wrong(convolution, image, weight):
        gradient = right(convolution, image, weight)
        if weight.dtype == torch.bfloat16:
            calls.append(convolution.size)
            if fault == "changes":
                gradient.view(-1)[0] *= 1 + 0.01 * (len(calls) % 2)
            else:
                gradient.view(-1)[-1] = 1e30 if fault == "noise" else float("nan")
        return gradient

    assert resolve_precision("auto", CPU, UNET, (48, 48, 48), 2) == "bf16"
    monkeypatch.setattr(number_format, "_gradient", wrong)
    assert resolve_precision("auto", CPU, UNET, (48, 48, 48), 2) == "32"
    assert "feature maps of 3x3x3 have a wrong gradient in bfloat16 on this CPU" in said[0]


def test_convolutions_of_a_network():
    arguments = {"in_channel": 2, "out_channel": 1, "depth": 2, "n_filters": 4, "is_2d": False}
    found = convolutions(Architecture("Unet", arguments), (16, 12, 8))
    assert Convolution((2, 4), 1, (3, 3, 3), (1, 1, 1), (1, 1, 1), (16, 12, 8)) in found
    assert {convolution.size for convolution in found} == {(16, 12, 8), (8, 6, 4), (4, 3, 2)}


@pytest.mark.parametrize("size", [(3, 3, 3), (4, 4, 4), (4, 2, 2), (3, 4, 3)])
def test_right_gradients_pass(size):
    assert has_right_gradient(Convolution((8, 4), 1, (3, 3, 3), (1, 1, 1), (1, 1, 1), size), 2)
    assert has_right_gradient(Convolution((8, 8), 2, (3, 3, 3), (2, 2, 1), (1, 1, 1), size), 1)


def test_an_unknown_network_in_3d_is_computed_in_32_bits(said):
    model = Architecture("no_such_package:Net", {"in_channel": 1, "out_channel": 1})
    assert resolve_precision("auto", CPU, model, (64, 64, 64), 2) == "32"
    assert "unknown" in said[0]


@pytest.mark.parametrize(
    ("precision", "wanted", "text"),
    [
        ("bf16", "auto", "bf16 mixed with 32 bits (auto)"),
        ("32", "auto", "32 bits (auto)"),
        ("32", "32", "32 bits"),
    ],
)
def test_in_words(precision, wanted, text):
    assert precision_text(precision, wanted) == text
