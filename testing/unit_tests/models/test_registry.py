import subprocess
import sys
import types

import pytest
import torch
from torch import nn

from ivadomed.errors import ModelError
from ivadomed.models import MODELS, Network, Unet, build_model
from ivadomed.models.base import COMMON_KEYS, Inputs
from ivadomed.models.registry import check_arguments, model_class
from ivadomed.models.specs import OWN, SPECS, spec_of
from ivadomed.registry import parameters


class Identity(Network):
    def __init__(self, gain: float = 1.0):
        super().__init__()
        self.gain = gain

    def forward(self, x):
        return self.gain * x


class Thin(Unet):
    def __init__(self, **kwargs):
        super().__init__(n_filters=1, **kwargs)


class Broken(Network):
    def __init__(self):
        super().__init__()
        self.width = 1 // 0


class Plain(nn.Module):
    def __init__(self, in_channel: int, width: int = 2):
        super().__init__()
        self.conv = nn.Conv2d(in_channel, width, 1)

    def forward(self, image):
        return self.conv(image)


@pytest.fixture
def plugin(monkeypatch):
    module = types.ModuleType("my_plugin")
    module.Identity, module.Thin, module.Broken, module.Plain = Identity, Thin, Broken, Plain
    module.Number = int
    monkeypatch.setitem(sys.modules, "my_plugin", module)


@pytest.mark.parametrize("name", sorted(set(MODELS) - {"HeMISUnet"}))
def test_a_whole_model_section_builds_every_model(name):
    section = {
        "name": name,
        "applied": True,
        "folder_name": "x",
        "in_channel": 1,
        "out_channel": 1,
        "is_2d": True,
        "depth": 2,
        "n_filters": 2,
        "dropout_rate": 0.3,
        "bn_momentum": 0.1,
        "final_activation": "sigmoid",
        "length_2D": [8, 8],
        "stride_2D": [4, 4],
        "metadata": "contrasts",
    }
    before = dict(section)
    assert type(build_model(name, section)) is MODELS[name]
    assert section == before


def test_hemis_builds_from_its_contrasts():
    model = build_model(
        "HeMISUnet", {"contrasts": ["a", "b"], "missing_probability": 0.5, "depth": 1, "n_filters": 1}
    )
    assert model.contrasts == ["a", "b"]


def test_arguments_arrive():
    model = build_model("Unet", {"in_channel": 3, "depth": 1, "n_filters": 5})
    assert model.encoder.down_path[0].conv1.weight.shape == (5, 3, 3, 3)


def test_misspelt_argument():
    with pytest.raises(ModelError, match=r"'dropuot_rate'; did you mean 'dropout_rate'"):
        build_model("Unet", {"dropuot_rate": 0.1})


def test_misspelt_name():
    with pytest.raises(ModelError, match=r"'UNet'; did you mean 'Unet'"):
        build_model("UNet", {})


def test_missing_argument():
    with pytest.raises(ModelError, match="contrasts"):
        build_model("HeMISUnet", {})


def test_kwargs_of_subclasses_stand_for_the_base():
    assert check_arguments("resnet18", {"num_classes": 2, "depth": 3}) == {"num_classes": 2}
    with pytest.raises(ModelError, match="resnet18: cannot be built"):
        build_model("resnet18", {"block": None})
    assert "kwargs" not in parameters(Unet)[0]
    assert parameters(Unet)[0].keys() <= COMMON_KEYS


@pytest.mark.usefixtures("plugin")
def test_own_class():
    derived = {"in_channel": 1, "out_channel": 1, "is_2d": True}  # of which it takes none
    model = build_model("my_plugin:Identity", {"gain": 2.0, **derived})
    assert model(torch.ones(1)).item() == 2.0
    for wrong in ({"gian": 2.0}, {"gain": 2.0, "Gain": 1.0}):
        with pytest.raises(
            ModelError, match=r"my_plugin:Identity: unknown argument .* did you mean 'gain'\?"
        ):
            check_arguments("my_plugin:Identity", wrong)


@pytest.mark.usefixtures("plugin")
def test_a_plain_module_is_a_network_that_is_given_the_image():
    model = build_model("my_plugin:Plain", {"in_channel": 1, "out_channel": 1, "is_2d": True, "width": 3})
    image = torch.ones(2, 1, 4, 4)
    assert isinstance(model, Network)
    assert isinstance(model, Plain)
    assert model(*model.inputs(Inputs(image))).shape == (2, 3, 4, 4)
    assert model.state_dict().keys() == {"conv.weight", "conv.bias"}


@pytest.mark.usefixtures("plugin")
def test_keys_of_other_models_are_arguments_of_an_own_class():
    with pytest.raises(ModelError, match=r"unknown argument 'depth'; .*It accepts gain"):
        build_model("my_plugin:Identity", {"depth": 3})


@pytest.mark.usefixtures("plugin")
def test_an_own_class_may_inherit_from_ours():
    model = build_model("my_plugin:Thin", {"depth": 1, "in_channel": 2, "is_2d": True, "out_channel": 1})
    assert model.encoder.down_path[0].conv1.weight.shape == (1, 2, 3, 3)


@pytest.mark.usefixtures("plugin")
def test_what_an_own_constructor_raises_is_told():
    with pytest.raises(ModelError, match=r"my_plugin:Broken: cannot be built from .*ZeroDivisionError"):
        build_model("my_plugin:Broken", {})


@pytest.mark.usefixtures("plugin")
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("my_plugin:Number", "is no network; expected a subclass of ivadomed.models.Network"),
        ("my_plugin:Missing", "AttributeError: .*Missing.*; expected an importable package.module:Class"),
        ("no_such_module:X", "No module named 'no_such_module'.*PYTHONPATH"),
        ("os:system", "is no network"),
        (":", "expected an importable"),
    ],
)
def test_what_is_no_network_is_refused(name, message):
    with pytest.raises(ModelError, match=message):
        build_model(name, {})


def test_a_module_with_a_fault_is_named(tmp_path, monkeypatch):
    (tmp_path / "faulty_plugin.py").write_text("def f(:\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModelError, match=r"faulty_plugin:Net.*SyntaxError.*faulty_plugin.py, line 1"):
        build_model("faulty_plugin:Net", {})


def test_modules_are_not_imported_on_behalf_of_files():
    with pytest.raises(ModelError, match="trust"):
        model_class("antigravity:Model", allow_import=False)
    assert "antigravity" not in sys.modules


@pytest.mark.parametrize("name", [name for name in MODELS if name != "ResidualEncoderUnet"])
def test_a_misspelt_argument_in_python_is_refused_with_a_suggestion(name):
    required = {"contrasts": ["T1w"]} if name == "HeMISUnet" else {}
    if name in ("Modified3DUNet", "UNet3D"):
        required = {"in_channel": 1, "out_channel": 1}
    known = parameters(MODELS[name])[0]
    right = "dropout_rate" if "dropout_rate" in known else "in_channel"
    wrong = {"dropout_rate": "drop_rate", "in_channel": "in_chanel"}[right]
    with pytest.raises(TypeError, match=rf"{name}\(\) has no argument '{wrong}'; did you mean '{right}'\?"):
        MODELS[name](**required, **{wrong: 1})


@pytest.mark.parametrize("name", [name for name in MODELS if name != "ResidualEncoderUnet"])
def test_the_model_section_of_a_configuration_may_be_passed_whole(name):
    section = {
        "applied": True,
        "name": name,
        "folder_name": "x",
        "length_2D": [8, 8],
        "metadata": "contrasts",
    }
    section |= {"contrasts": ["T1w"], "in_channel": 1, "out_channel": 1, "ram": True, "target_lst": ["_seg"]}
    MODELS[name](**section)


def test_every_network_has_a_spec():
    assert {*SPECS, "UNet3D"} == {
        name for name, cls in MODELS.items() if cls.__module__.startswith("ivadomed.")
    }
    assert spec_of("my_plugin:Identity") is OWN


def test_specs_are_read_without_torch():
    code = "import sys, ivadomed.models.specs, ivadomed.models.sizing; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
