import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from ivadomed.errors import ModelError
from ivadomed.models import (
    FiLMedUnet,
    Unet,
    frozen_parameters,
    get_model_filenames,
    load_model,
    save_model,
    set_model_for_retrain,
)

ARGUMENTS = {"in_channel": 1, "depth": 1, "n_filters": 2, "out_channel": 3, "final_activation": "softmax"}


@pytest.fixture
def model():
    torch.manual_seed(0)
    return Unet(**ARGUMENTS)


@pytest.fixture
def saved(model, tmp_path):
    path = tmp_path / "model.pt"
    save_model(path, model, "Unet", ARGUMENTS)
    return path


def test_round_trip(model, saved):
    loaded = load_model(saved)
    x = torch.rand(1, 1, 9, 10)
    with torch.no_grad():
        torch.testing.assert_close(loaded(x), model.eval()(x), rtol=0, atol=0)
    assert not loaded.training


def test_the_file_is_plain_data_and_alone(saved):
    content = torch.load(saved, weights_only=True)
    assert set(content) == {"format_version", "name", "arguments", "state_dict"}
    assert (content["name"], content["arguments"]) == ("Unet", ARGUMENTS)
    assert os.listdir(saved.parent) == [saved.name]


def test_numpy_and_tuples_become_plain(model, tmp_path):
    arguments = {**ARGUMENTS, "depth": np.int64(1), "length_2D": (np.int32(8), 8)}
    save_model(tmp_path / "m.pt", model, "Unet", arguments)
    content = torch.load(tmp_path / "m.pt", weights_only=True)
    assert content["arguments"] == {**ARGUMENTS, "length_2D": [8, 8]}


def test_unstorable_argument_is_named(model, tmp_path):
    with pytest.raises(ModelError, match=r"a\.b\[1\].*Path"):
        save_model(tmp_path / "m.pt", model, "Unet", {"a": {"b": [1, Path()]}})
    assert os.listdir(tmp_path) == []


def test_a_failed_write_leaves_the_old_file(model, saved, monkeypatch):
    before = saved.read_bytes()

    def fail(*args, **kwargs):
        raise RuntimeError("disk on fire")

    monkeypatch.setattr(torch, "save", fail)
    with pytest.raises(RuntimeError, match="on fire"):
        save_model(saved, model, "Unet", ARGUMENTS)
    assert saved.read_bytes() == before
    assert os.listdir(saved.parent) == [saved.name]


def _change(saved, **changes):
    torch.save({**torch.load(saved, weights_only=True), **changes}, saved)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format_version": 99}, "update ivadomed"),
        ({"name": "Unot"}, "did you mean 'Unet'"),
        ({"arguments": {**ARGUMENTS, "n_filters": 4}}, "do not fit"),
        ({"arguments": {"dpeth": 1}}, "did you mean 'depth'"),
        ({"arguments": [1]}, "wrong type"),
        ({"name": "antigravity:Model"}, "trust"),
    ],
)
def test_wrong_content_names_file_and_reason(saved, changes, message):
    _change(saved, **changes)
    with pytest.raises(ModelError, match=message) as info:
        load_model(saved)
    assert str(saved) in str(info.value)


@pytest.mark.parametrize(
    "content", [b"", b"hello world", b"PK\x03\x04 no archive", b'{"a": 1}', b"\x80\x02."]
)
def test_no_model_file(tmp_path, content):
    path = tmp_path / "x.pt"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=r"expected a .*\.pt") as info:
        load_model(path)
    assert str(path) in str(info.value)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
@pytest.mark.parametrize("new_format", [True, False])
def test_truncated(model, saved, share, new_format):
    if not new_format:
        torch.save(model, saved, _use_new_zipfile_serialization=False)
    data = saved.read_bytes()
    saved.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(ModelError, match="damaged"):
        load_model(saved)


def test_foreign_torch_files(model, tmp_path):
    path = tmp_path / "x.pt"
    torch.save(model.state_dict(), path)
    with pytest.raises(ModelError, match=r"holds a dict with encoder.*expected a packaged model"):
        load_model(path)
    torch.save(torch.nn.Linear(1, 1), path)
    with pytest.raises(ModelError, match="expected an ivadomed model"):
        load_model(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x/constants.pkl", b"")
    with pytest.raises(ModelError, match="TorchScript"):
        load_model(path)


def test_missing_file_and_folder_are_also_file_not_found_errors(tmp_path):
    for call in (load_model, get_model_filenames):
        with pytest.raises(ModelError, match="no such model") as info:
            call(tmp_path / "nowhere")
        assert isinstance(info.value, FileNotFoundError)


@pytest.mark.parametrize(
    ("files", "cuda", "expected"),
    [
        (["pt", "onnx"], True, "pt"),
        (["pt", "onnx"], False, "onnx"),
        (["pt"], False, "pt"),
        (["onnx"], True, "onnx"),
    ],
)
def test_choice_between_formats(tmp_path, monkeypatch, files, cuda, expected):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    folder = tmp_path / "model_v1.2"
    folder.mkdir()
    for suffix in [*files, "json"]:
        (folder / f"model_v1.2.{suffix}").touch()
    base = str(folder / "model_v1.2")
    assert get_model_filenames(folder) == (f"{base}.{expected}", f"{base}.json")


def test_incomplete_folder(tmp_path):
    folder = tmp_path / "m"
    folder.mkdir()
    with pytest.raises(ModelError, match=r"neither m\.pt nor m\.onnx"):
        get_model_filenames(folder)
    (folder / "m.pt").touch()
    with pytest.raises(ModelError, match=r"m\.json not found"):
        get_model_filenames(folder)


def test_second_half_is_retrained(model, saved):
    # 13 layers: 6 blocks of convolution and normalization, and the last convolution.
    tuned = set_model_for_retrain(saved, 0.5, "cpu", reset=True)
    names = [name for name, _ in model.named_parameters()]
    frozen = frozen_parameters(tuned)
    assert frozen == names[: len(frozen)]
    assert len(frozen) == 2 * 6
    old, new = dict(model.named_parameters()), dict(tuned.named_parameters())
    changed = {n.rsplit(".", 1)[0] for n in names if n not in frozen and not torch.equal(old[n], new[n])}
    assert "decoder.last_conv" in changed
    assert all(torch.equal(old[n], new[n]) for n in frozen)


@pytest.mark.parametrize(("fraction", "n_frozen"), [(0.0, 26), (1.0, 0)])
def test_without_reset_weights_stay(model, saved, fraction, n_frozen):
    tuned = set_model_for_retrain(saved, fraction, "cpu", reset=False)
    assert len(frozen_parameters(tuned)) == n_frozen
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), tuned.parameters(), strict=True))


def test_fraction_is_checked(saved):
    with pytest.raises(ModelError, match=r"1\.5"):
        set_model_for_retrain(saved, 1.5, "cpu")


def test_film_round_trip(tmp_path):
    arguments = {"depth": 1, "n_filters": 2, "n_metadata": 3, "film_layers": [1, 0, 1, 1]}
    model = FiLMedUnet(**arguments).eval()
    save_model(tmp_path / "m.pt", model, "FiLMedUnet", arguments)
    x, context = torch.rand(2, 1, 8, 8), torch.rand(2, 3)
    with torch.no_grad():
        torch.testing.assert_close(load_model(tmp_path / "m.pt")(x, context), model(x, context))
