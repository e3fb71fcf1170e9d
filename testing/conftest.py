"""Data that many tests share: a tiny phantom study, made once per session."""

import json
import os
import resource
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import onnx
import pytest
import torch
from hypothesis import settings
from onnx import TensorProto, helper

from ivadomed.models import Unet, save_model
from ivadomed.models.onnx import export_onnx
from ivadomed.scripts.create_phantom import create_phantom

# A machine that others use too makes any example slow now and then.
settings.register_profile("ivadomed", deadline=None)
settings.load_profile("ivadomed")


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Parts of torch load a profile of their own when they are imported, which may be within a test."""
    settings.load_profile("ivadomed")


@pytest.fixture(scope="session")
def study(tmp_path_factory) -> Path:
    """Six tiny subjects with three contrasts; tests must not write into it."""
    return create_phantom(tmp_path_factory.mktemp("study") / "data set é", n=6, seed=1, size="tiny")


@pytest.fixture
def largest_file() -> Callable[[int], AbstractContextManager[None]]:
    """A context in which no file may grow beyond a size, as on a disk that is full."""

    @contextmanager
    def limited(size: int) -> Iterator[None]:
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(
            resource.RLIMIT_FSIZE, (size, before[1])
        )  # Python ignores the signal that goes with it
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)

    return limited


@pytest.fixture
def real_data() -> Path:
    """Folder of the real images; the test is skipped without it."""
    if "IVADOMED_TEST_DATA" not in os.environ:
        pytest.skip("IVADOMED_TEST_DATA is not set")
    return Path(os.environ["IVADOMED_TEST_DATA"])


@pytest.fixture
def threshold_model(tmp_path):
    """Return a function that packages a "network" which answers 1 where its first channel exceeds a value."""

    def make(name="detector", threshold=1.0, contrasts=("T1w",), n_axes=2, **sections) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        axes = ["batch", "channel", "height", "width", "depth"][: n_axes + 2]
        nodes = [
            helper.make_node("Slice", ["image", "zero", "one", "one"], ["first"]),
            helper.make_node("Greater", ["first", "threshold"], ["above"]),
            helper.make_node("Cast", ["above"], ["prediction"], to=TensorProto.FLOAT),
        ]
        constants = [
            helper.make_tensor("zero", TensorProto.INT64, [1], [0]),
            helper.make_tensor("one", TensorProto.INT64, [1], [1]),
            helper.make_tensor("threshold", TensorProto.FLOAT, [], [threshold]),
        ]
        ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, axes) for n in ("image", "prediction")]
        graph = helper.make_graph(nodes, "threshold", ends[:1], ends[1:], constants)
        opset = [helper.make_opsetid("", 17)]
        onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), folder / f"{name}.onnx")
        config = {
            "command": "segment",
            "model_name": name,
            "loader_parameters": {
                "target_suffix": ["_seg-manual"],
                "contrast_params": {"training_validation": list(contrasts)},
                "multichannel": len(contrasts) > 1,
            },
            "default_model": {"name": "Unet"},
            "transformation": {},
            **sections,
        }
        (folder / f"{name}.json").write_text(json.dumps(config))
        return folder

    return make


@pytest.fixture
def package(tmp_path):
    """Return a function that writes a packaged U-Net with random weights."""

    def make(
        name="seg",
        kinds=("pt",),
        contrasts=("T1w",),
        classes=("_seg-manual",),
        transforms=None,
        loader=None,
        **sections,
    ):
        folder = tmp_path / name
        folder.mkdir()
        out_channel = len(classes) + 1 if len(classes) > 1 else 1
        arguments = {"in_channel": len(contrasts), "out_channel": out_channel, "depth": 1, "n_filters": 2}
        torch.manual_seed(0)
        model = Unet(**arguments).eval()
        if "pt" in kinds:
            save_model(folder / f"{name}.pt", model, "Unet", arguments)
        if "module" in kinds:
            torch.save(model, folder / f"{name}.pt")
        if "onnx" in kinds:
            export_onnx(model, folder / f"{name}.onnx", len(contrasts), is_2d=True)
        config = {
            "command": "segment",
            "model_name": name,
            "loader_parameters": {
                "target_suffix": list(classes),
                "contrast_params": {"training_validation": list(contrasts)},
                "multichannel": len(contrasts) > 1,
                **(loader or {}),
            },
            "default_model": {"name": "Unet", "depth": 1, "n_filters": 2},
            "transformation": transforms or {"NormalizeInstance": {"applied_to": ["im"]}},
            **sections,
        }
        (folder / f"{name}.json").write_text(json.dumps(config))
        return folder

    return make


@pytest.fixture
def config(study, tmp_path) -> dict:
    """A configuration that trains a small U-Net on the study within seconds."""
    return {
        "command": "train",
        "gpu_ids": [],
        "path_output": str(tmp_path / "out put"),
        "model_name": "seg_sc",
        "loader_parameters": {
            "path_data": [str(study)],
            "target_suffix": ["_seg-manual"],
            "contrast_params": {
                "training_validation": ["T1w", "T2w"],
                "testing": ["T1w", "T2w"],
                "balance": {},
            },
        },
        "split_dataset": {"random_seed": 6, "train_fraction": 0.5, "test_fraction": 0.25},
        "training_parameters": {
            "batch_size": 8,
            "num_workers": 0,
            "training_time": {
                "num_epochs": 2,
                "early_stopping_patience": 50,
                "early_stopping_epsilon": 0.001,
            },
            "scheduler": {"initial_lr": 0.01, "lr_scheduler": {"name": "CosineAnnealingLR"}},
        },
        "default_model": {"name": "Unet", "depth": 2, "n_filters": 4, "dropout_rate": 0.2},
        "postprocessing": {"binarize_prediction": {"thr": 0.5}, "keep_largest": {}},
        "transformation": {
            "Resample": {"hspace": 1.5, "wspace": 1.5, "dspace": 3},
            "CenterCrop": {"size": [32, 32]},
            "RandomAffine": {
                "degrees": 5,
                "scale": [0.1, 0.1],
                "applied_to": ["im", "gt"],
                "dataset_type": ["training"],
            },
            "NormalizeInstance": {"applied_to": ["im"]},
        },
    }
