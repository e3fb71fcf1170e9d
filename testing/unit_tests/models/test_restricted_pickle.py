import builtins
import io
import os
import pickle
import warnings
from pathlib import Path

import pytest
import torch
from torch import nn

from ivadomed.errors import ModelError
from ivadomed.models import (
    Countception,
    FiLMedUnet,
    GridAttentionBlockND,
    HeMISUnet,
    Modified3DUNet,
    Unet,
    UNet3D,
    load_model,
    resnet18,
)
from ivadomed.models.restricted_pickle import ForbiddenGlobal, RestrictedUnpickler


class Call:
    """Pickles as a call."""

    def __init__(self, function, *args):
        self.call = function, args

    def __reduce__(self):
        return self.call


def dump(value, path, new_format):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.save(value, path, _use_new_zipfile_serialization=new_format)


@pytest.mark.parametrize("new_format", [True, False])
@pytest.mark.parametrize(
    "make",
    [
        lambda: Unet(depth=1, n_filters=2),
        lambda: FiLMedUnet(depth=1, n_filters=2, n_metadata=2, film_layers=[1] * 4),
        lambda: HeMISUnet(["a", "b"], depth=1, n_filters=2),
        lambda: Modified3DUNet(1, 1, n_filters=1, attention=True),
        lambda: UNet3D(1, 2, n_filters=1),
        lambda: Countception(in_channel=1),
        resnet18,
    ],
)
def test_pickled_modules_open(make, new_format, tmp_path):
    model = make()
    dump(model, tmp_path / "m.pt", new_format)
    loaded = load_model(tmp_path / "m.pt")
    assert type(loaded) is (Modified3DUNet if isinstance(model, UNet3D) else type(model))
    for (key, a), (other, b) in zip(model.state_dict().items(), loaded.state_dict().items(), strict=True):
        assert key == other
        torch.testing.assert_close(a, b, rtol=0, atol=0)


@pytest.mark.parametrize("new_format", [True, False])
@pytest.mark.parametrize("wrap", [lambda x: x, lambda x: {"a": [x]}, lambda x: _with_attribute(x)])
@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda flag: Call(os.system, f"touch {flag}"), r"(posix|nt)\.system"),
        (lambda flag: Call(eval, f"open({str(flag)!r}, 'w')"), r"eval"),
        (lambda flag: Call(exec, f"open({str(flag)!r}, 'w')"), r"exec"),
        (lambda flag: Call(builtins.__import__, "antigravity"), r"__import__"),
        (lambda flag: Call(getattr, nn.ReLU(), "__class__"), r"getattr"),
        (lambda flag: Call(torch.load, str(flag)), r"torch\.serialization\.load"),
        (lambda flag: Call(torch.hub.load, "a", "b"), r"torch\.hub\.load"),
        (lambda flag: Call(torch.jit.load, str(flag)), r"torch\.jit\._serialization\.load"),
        (lambda flag: Call(torch.storage._load_from_bytes, b""), r"_load_from_bytes"),
        (lambda flag: Call(Path.touch, flag), r"(getattr|pathlib)"),
    ],
)
def test_code_is_refused_by_name(make, name, wrap, new_format, tmp_path):
    flag, path = tmp_path / "flag", tmp_path / "m.pt"
    dump(wrap(make(flag)), path, new_format)
    with pytest.raises(ModelError, match=f"refused, it asks for .*{name}") as info:
        load_model(path)
    assert str(path) in str(info.value)
    assert not flag.exists()


def _with_attribute(value):
    model = Unet(depth=1, n_filters=1)
    model.extra = value
    return model


def global_(module, name):
    return b"c" + module.encode() + b"\n" + name.encode() + b"\n"


@pytest.mark.parametrize(
    "program",
    [
        # A class as a function: Unet().
        global_("ivadomed.models", "Unet") + b")R.",
        # State for a function: it could replace its defaults.
        global_("torch._utils", "_rebuild_tensor_v2") + b"}b.",
        # State for a class.
        global_("ivadomed.models", "Unet") + b"}b.",
        # Attributes through the second half of a state.
        global_("ivadomed.models", "Unet") + b")\x81N}\x86b.",
        # Instance opcodes of protocol 0.
        b"(iposix\nsystem\n.",
        b"(" + global_("ivadomed.models", "Unet") + b"o.",
        # Modules, dotted names and imports through our own package.
        global_("ivadomed.models", "checkpoint") + b".",
        global_("ivadomed.models.checkpoint", "os") + b".",
        b"\x80\x04\x8c\x0fivadomed.models\x8c\x10Unet.__globals__\x93.",
        global_("torch", "nn") + b".",
        global_("torch.nn", "Conv2d") + b".",
    ],
)
def test_programs_outside_the_table_are_refused(program):
    with pytest.raises(ForbiddenGlobal):
        RestrictedUnpickler(io.BytesIO(program)).load()


def test_storage_ids_cannot_smuggle_a_source_file():
    # torch compares the source text of such an id with the class and may write a patch file.
    reader = RestrictedUnpickler(io.BytesIO(b""))
    reader.persistent_load = lambda pid: pytest.fail("reached torch")
    assert reader.persistent_load(("module", Unet, "x.py", "text")) is Unet
    with pytest.raises(ForbiddenGlobal):
        reader.persistent_load(("module", torch.device("cpu"), "x.py", "text"))


def test_bound_methods_of_old_attention_gates_are_dropped(tmp_path):
    model = Modified3DUNet(1, 1, n_filters=1, attention=True)
    GridAttentionBlockND._concatenation = GridAttentionBlockND.forward
    try:
        for gate in model.modules():
            if isinstance(gate, GridAttentionBlockND):
                gate.operation_function = Call(getattr, gate, "_concatenation")
        dump(model, tmp_path / "m.pt", True)
    finally:
        del GridAttentionBlockND._concatenation
    loaded = load_model(tmp_path / "m.pt")
    assert not hasattr(loaded.attentionblock2, "operation_function")
    x = torch.rand(1, 1, 32, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(loaded(x), model.eval()(x))


def test_plain_pickle_protocols_are_read():
    for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
        data = pickle.dumps({"a": [1, (2, 3)], "b": {"x"}, "c": torch.Size([1])}, protocol=protocol)
        assert RestrictedUnpickler(io.BytesIO(data)).load() == {
            "a": [1, (2, 3)],
            "b": {"x"},
            "c": torch.Size([1]),
        }


@pytest.mark.real_data
def test_published_model_opens():
    folder = os.environ.get("IVADOMED_TEST_DATA")
    if not folder:
        pytest.skip("IVADOMED_TEST_DATA is not set")
    [path] = Path(folder).rglob("model_unet_test.pt")
    model = load_model(path)
    assert isinstance(model, Unet)
    with torch.no_grad():
        out = model(torch.rand(1, 1, 33, 48))
    assert out.shape == (1, 1, 33, 48)
    assert out.isfinite().all()
