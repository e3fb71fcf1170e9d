"""What a configuration can name: registered transforms, and those of the user's own."""

import ast
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

import ivadomed.transforms as t
from ivadomed.config import load_config
from ivadomed.errors import ConfigError
from ivadomed.transforms import TRANSFORMS, Pipeline
from ivadomed.transforms.base import ImedTransform


class Add(ImedTransform):
    """Adds a number."""

    geometric = False

    def __init__(self, value: float, physical: bool = False) -> None:
        self.value, self.physical = value, physical

    def __call__(self, sample, metadata=None):
        return [x + self.value for x in sample], metadata


@pytest.fixture
def module(monkeypatch):
    made = ModuleType("my_transforms")
    made.Add = Add
    monkeypatch.setitem(sys.modules, "my_transforms", made)


def test_one_of_the_users_own_is_a_key_of_the_configuration(module):
    chain = {
        "NormalizeInstance": {},
        "my_transforms:Add": {"value": 2, "applied_to": ["im"], "dataset_type": ["training"]},
        "CenterCrop": {"size": [4, 4]},
    }
    config = load_config({"transformation": chain})
    assert list(config.transforms_for("training")) == list(chain)
    assert list(config.transforms_for("testing")) == ["NormalizeInstance", "CenterCrop"]
    written = config.to_json()["transformation"]
    assert list(written) == list(chain)
    assert written["my_transforms:Add"] == chain["my_transforms:Add"]
    assert load_config({"transformation": written}).transformation == config.transformation
    plan = Pipeline.from_config(config.transforms_for("training")).plan(
        (6, 5), (1, 1), np.random.default_rng(0)
    )
    out = plan.apply(np.random.default_rng(0).random((1, 6, 5), dtype=np.float32), "im", 1)
    assert out.shape == (1, 4, 4)
    assert abs(out.mean() - 2) < 0.5


def test_errors_of_the_section_are_those_of_the_constructor():
    with pytest.raises(ConfigError, match=r"transformation\.RandomGamma\.p: 2; "):
        load_config({"transformation": {"RandomGamma": {"log_gamma_range": [-1, 1], "p": 2}}})
    with pytest.raises(ConfigError, match=r"transformation\.RandomGamma\.p: 2; "):
        TRANSFORMS["RandomGamma"]([-1, 1], p=2)
    with pytest.raises(ConfigError, match="did you mean 'RandomGamma'"):
        load_config({"transformation": {"RandomGama": {}}})


def test_arguments_of_numpy_are_plain_ones():
    crop = TRANSFORMS["CenterCrop"](np.array([4, 5]))
    assert crop.size == (4, 5)
    assert repr(TRANSFORMS["RandomBlur"](np.float32(2))) == "RandomBlur(p=0.5, sigma_range=2.0)"


def test_modules_import_little():
    # `ivadomed.inference` imports the transforms, and toolboxes embed that.
    own = {
        "ivadomed.geometry.boxes",
        "ivadomed.errors",
        "ivadomed.registry",
        "ivadomed.runtime.moved",
        "ivadomed.runtime.randomness",
        "ivadomed.transforms",
    }
    allowed = {"numpy", "scipy.ndimage", "torch", "typing_extensions", *own}
    for path in Path(t.__file__).parent.glob("*.py"):
        for node in ast.parse(path.read_text()).body:
            modules = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            modules += [node.module] if isinstance(node, ast.ImportFrom) else []
            for module in modules:
                inside = any(module == a or module.startswith(a + ".") for a in allowed)
                assert inside or module.split(".")[0] in sys.stdlib_module_names, f"{path.name}: {module}"
