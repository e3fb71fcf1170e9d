"""`training_parameters.channels_last` is decided once, and kept by a run that is resumed."""

import pytest
import torch

from ivadomed.config.load import load_section
from ivadomed.config.run_files import CHECKPOINT
from ivadomed.config.schema.run import Architecture
from ivadomed.errors import ConfigError, ModelNotFoundError
from ivadomed.training.checkpoint import KEYS, save_checkpoint
from ivadomed.training.memory_format import memory_format_text, resolve_channels_last

CPU, UNET = torch.device("cpu"), Architecture("Unet", {"n_filters": 8})


@pytest.fixture
def capability(monkeypatch):
    return lambda name: monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: name)


@pytest.mark.parametrize("wanted", [True, False])
def test_what_is_asked_for_is_done(capability, wanted):
    capability("AVX2")
    assert resolve_channels_last(wanted, CPU, 2, "32", UNET) is wanted
    assert "auto" not in memory_format_text(wanted, wanted)


def test_auto_follows_the_rule(capability):
    capability("AVX2")
    assert resolve_channels_last("auto", CPU, 2, "32", UNET) is False
    assert resolve_channels_last("auto", CPU, 3, "32", UNET) is True
    for arguments, expected in ({"n_filters": 8}, True), ({}, False):
        residual = Architecture("ResidualEncoderUnet", arguments)
        assert resolve_channels_last("auto", CPU, 2, "32", residual) is expected
    assert memory_format_text(True, "auto") == "channels last (auto)"
    assert memory_format_text(False, "auto") == "contiguous (auto)"


@pytest.mark.parametrize("kept", [True, False])
def test_a_resumed_run_keeps_its_format_on_another_machine(tmp_path, capability, kept):
    save_checkpoint(tmp_path / CHECKPOINT, {**dict.fromkeys(KEYS), "channels_last": kept})
    for name in ("AVX2", "AVX512"):
        capability(name)
        assert resolve_channels_last("auto", CPU, 2, "32", UNET, tmp_path) is kept


def test_a_checkpoint_without_the_format_follows_the_rule(tmp_path, capability):
    save_checkpoint(tmp_path / CHECKPOINT, dict.fromkeys(KEYS))
    capability("AVX2")
    assert resolve_channels_last("auto", CPU, 2, "32", UNET, tmp_path) is False


def test_nothing_to_resume_from(tmp_path):
    with pytest.raises(ModelNotFoundError, match=CHECKPOINT):
        resolve_channels_last("auto", CPU, 2, "32", UNET, tmp_path)


@pytest.mark.parametrize("value", ["yes", None, 2])
def test_other_values_are_refused_as_json_has_them(value):
    with pytest.raises(ConfigError, match=r"channels_last.*expected true, false or 'auto'"):
        load_section("training_parameters", {"channels_last": value})
