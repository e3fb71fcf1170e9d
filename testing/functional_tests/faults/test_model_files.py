"""Model files that are damaged, belong to something else, or would run code."""

import json
import os
import pickle
import shutil
from pathlib import Path

import joblib
import onnx
import pytest
import torch
from onnx import TensorProto, external_data_helper

from ivadomed.models import Unet, build_model, save_model
from ivadomed.scripts import convert_model, segment_image
from testing.functional_tests.faults.test_training import Call


@pytest.fixture
def model(run) -> Path:
    """A packaged model in a run, with both of its files."""
    return run / "seg_sc"


@pytest.fixture
def image(study) -> Path:
    return study / "sub-001" / "anat" / "sub-001_T2w.nii.gz"


def replace(path: Path, content: bytes) -> None:
    path.write_bytes(content)


def cut(path: Path, keep: float) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * keep)])


def wrong_architecture(path: Path) -> None:
    """Weights of another U-Net under the arguments of this one."""
    content = torch.load(path, weights_only=True)
    torch.save(content | {"state_dict": build_model("Unet", {"depth": 3}).state_dict()}, path)


def foreign_class(path: Path) -> None:
    content = torch.load(path, weights_only=True)
    torch.save(content | {"name": "antigravity:Net"}, path)


def unknown_class(path: Path) -> None:
    content = torch.load(path, weights_only=True)
    torch.save(content | {"name": "NoNet"}, path)


def later_version(path: Path) -> None:
    content = torch.load(path, weights_only=True)
    torch.save(content | {"format_version": 99}, path)


PT_FAULTS = {
    "absent": (Path.unlink, "best_model.pt|no such model file"),
    "a folder": (lambda p: (p.unlink(), p.mkdir()), r"\.pt"),
    "empty": (lambda p: replace(p, b""), r"\.pt: is empty"),
    "truncated": (lambda p: cut(p, 0.7), r"\.pt: damaged or not a model file"),
    "text": (lambda p: replace(p, b"not a model"), r"\.pt: damaged or not a model file"),
    "of another program": (lambda p: torch.save({"model": {}}, p), r"\.pt: holds a dict with model"),
    "a module of torch": (
        lambda p: torch.save(torch.nn.Sequential(torch.nn.Linear(1, 1)), p),
        r"\.pt: holds an object of type Sequential",
    ),
    "TorchScript": (lambda p: torch.jit.script(torch.nn.ReLU()).save(str(p)), r"\.pt: is a TorchScript"),
    "weights of another architecture": (
        wrong_architecture,
        r"\.pt: weights do not fit the arguments of Unet",
    ),
    "a class of nobody": (unknown_class, r"\.pt: .*'NoNet'|NoNet"),
    "a class that would be imported": (foreign_class, r"\.pt: .*antigravity"),
    "a later version": (later_version, r"\.pt: format version 99"),
}


@pytest.mark.parametrize("name", list(PT_FAULTS))
def test_weights_that_cannot_be_used(run, config, write, refused, name):
    breaks, message = PT_FAULTS[name]
    breaks(run / "best_model.pt")
    models = run / "seg_sc"
    refused(["--test", write(config)], message, keeps=[models])


def touch(flag: Path, kind: str):
    return {
        "system": Call(os.system, f"touch {flag}"),
        "eval": Call(eval, f"open({str(flag)!r}, 'w')"),
        "exec": Call(exec, f"open({str(flag)!r}, 'w')"),
        "path": Call(Path.touch, flag),
        "load": Call(torch.load, str(flag)),
    }[kind]


@pytest.mark.parametrize("kind", ["system", "eval", "exec", "path", "load"])
@pytest.mark.parametrize("new_format", [True, False])
def test_code_in_weights_is_not_run(run, config, write, refused, tmp_path, kind, new_format):
    flag, path = tmp_path / "flag", run / "best_model.pt"
    torch.save({"state_dict": touch(flag, kind)}, path, _use_new_zipfile_serialization=new_format)
    refused(["--test", write(config)], r"best_model\.pt: refused, it asks for .*could run code")
    assert not flag.exists()


class Program(torch.nn.Module):
    """Writes a file when it is loaded."""

    def __init__(self, flag: str) -> None:
        super().__init__()
        self.flag = flag

    @torch.jit.export
    def __getstate__(self):
        # type: () -> str
        return self.flag

    @torch.jit.export
    def __setstate__(self, flag):
        # type: (str) -> None
        self.flag = flag
        self.training = False
        torch.save(torch.zeros(1), flag)

    def forward(self, x):
        return x


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_programs_of_torchscript_are_not_run(run, config, write, image, refused, tmp_path):
    """Some releases of torch run them when they are asked for nothing but weights."""
    flag, out, program = tmp_path / "flag", tmp_path / "segmented", tmp_path / "program.pt"
    torch.jit.script(Program(str(flag))).save(str(program))
    torch.jit.load(program)
    assert flag.exists()  # it does what it should not
    flag.unlink()
    for name in ("best_model.pt", "checkpoint.pth.tar", "seg_sc/seg_sc.pt"):
        shutil.copy(program, run / name)
    (run / "seg_sc" / "seg_sc.onnx").unlink()
    message = "is a TorchScript archive, which could run code"
    refused(["--test", write(config)], rf"best_model\.pt: {message}")
    refused(["--train", write(config), "--resume-training"], rf"checkpoint\.pth\.tar: {message}")
    refused(["--segment", write(config)], rf"seg_sc\.pt: {message}")
    packaged = ["-m", run / "seg_sc", "-i", image, "-o", out]
    refused(packaged, rf"seg_sc\.pt: {message}", main=segment_image.main)
    refused([program, out], rf"program\.pt: {message}", main=convert_model.main)
    config["training_parameters"]["transfer_learning"] = {"retrain_model": str(program)}
    refused(["--train", write(config), "--overwrite"], rf"program\.pt: {message}")
    assert not flag.exists()


@pytest.mark.parametrize("kind", ["system", "eval", "exec", "path"])
@pytest.mark.parametrize("compress", [0, 3])
def test_code_in_a_split_is_not_run(config, write, refused, tmp_path, kind, compress):
    flag, path = tmp_path / "flag", tmp_path / "split.joblib"
    names = [f"sub-00{number}_T2w.nii.gz" for number in range(1, 7)]
    joblib.dump(
        {"train": names[:3], "valid": names[3:5], "test": [touch(flag, kind)]}, path, compress=compress
    )
    config["split_dataset"]["fname_split"] = str(path)
    refused(["--train", write(config)], r"split\.joblib")
    assert not flag.exists()


def test_of_a_run_s_split_the_json_file_counts(run, config, write, tmp_path):
    """The pickle beside it is for older programs, and is not opened."""
    from ivadomed.main import main

    flag = tmp_path / "flag"
    (run / "split_datasets.joblib").write_bytes(pickle.dumps(touch(flag, "system")))
    assert main(["--test", str(write(config))]) == 0
    assert not flag.exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is not a split file"),
        (b"{", "is not a split file"),
        (b"[]", "must hold the keys"),
        (b'{"train": [], "valid": []}', "must hold the keys"),
        (b'{"train": [1], "valid": [], "test": []}', '"train" must be a list of file names'),
        (b"[" * 100_000, "is not a split file"),
    ],
)
def test_splits_that_cannot_be_used(config, write, refused, tmp_path, content, message):
    path = tmp_path / "split.json"
    path.write_bytes(content)
    config["split_dataset"]["fname_split"] = str(path)
    refused(["--train", write(config)], rf"split\.json.* {message}")


def test_code_in_a_film_encoder_is_not_run(run, tmp_path):
    """Older runs kept it as joblib files; only the JSON file is read."""
    from ivadomed.errors import ModelError
    from ivadomed.loader.conditions import FilmEncoder

    flag = tmp_path / "flag"
    for name in ("metadata_dict.joblib", "clustering_models.joblib", "one_hot_encoder.joblib"):
        joblib.dump(touch(flag, "system"), run / name)
    with pytest.raises(ModelError, match=r"film_encoder\.json"):
        FilmEncoder.load(run)
    assert not flag.exists()


def test_code_in_weights_is_not_run_by_the_tools(run, image, refused, tmp_path):
    flag, out = tmp_path / "flag", tmp_path / "converted"
    torch.save(touch(flag, "system"), run / "seg_sc" / "seg_sc.pt")
    (run / "seg_sc" / "seg_sc.onnx").unlink()
    model = ["-m", run / "seg_sc", "-i", image, "-o", out]
    refused(model, "refused, it asks for", keeps=[run], main=segment_image.main)
    old = [run / "seg_sc" / "seg_sc.pt", out]
    refused(old, "refused, it asks for", keeps=[run], main=convert_model.main)
    assert not flag.exists()


@pytest.mark.parametrize("value", ["cache", "retrain", "classifier"])
def test_code_in_other_weights_is_not_run(config, write, refused, tmp_path, value):
    """Models that a configuration names: to start from, to detect with, to filter slices with."""
    flag, path = tmp_path / "flag", tmp_path / "foreign.pt"
    torch.save(touch(flag, "system"), path)
    if value == "retrain":
        config["training_parameters"]["transfer_learning"] = {"retrain_model": str(path)}
    elif value == "classifier":
        config["loader_parameters"]["slice_filter_params"] = {
            "filter_classification": True,
            "classifier_path": str(path),
        }
    else:
        folder = tmp_path / "detector"
        folder.mkdir()
        shutil.copy(path, folder / "detector.pt")
        (folder / "detector.json").write_text('{"model_name": "detector"}')
        config["object_detection_params"] = {"object_detection_path": str(folder)}
    refused(["--train", write(config)], r"(foreign|detector)\.pt: refused, it asks for")
    assert not flag.exists()


def outside(path: Path, target: str) -> None:
    """An ONNX file whose weights are said to lie in another file."""
    content = onnx.load(path)
    secret = path.parent.parent / "secret"
    secret.write_bytes(b"\0" * 100_000)
    tensor = max(content.graph.initializer, key=lambda t: len(t.raw_data))
    external_data_helper.set_external_data(tensor, target.format(secret=secret), 0, len(tensor.raw_data))
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    path.write_bytes(content.SerializeToString())


ONNX_FAULTS = {
    "empty": (lambda p: replace(p, b""), r"seg_sc\.onnx: not a readable ONNX model"),
    "truncated": (lambda p: cut(p, 0.7), r"seg_sc\.onnx: not a readable ONNX model"),
    "text": (lambda p: replace(p, b"not a model"), r"seg_sc\.onnx: not a readable ONNX model"),
    "data by an absolute path": (lambda p: outside(p, "{secret}"), r"seg_sc\.onnx: refused, .*secret"),
    "data in the folder above": (lambda p: outside(p, "../secret"), r"seg_sc\.onnx: refused, .*secret"),
    "data in the folder": (
        lambda p: (outside(p, "weights"), p.with_name("weights").write_bytes(b"\0" * 100_000)),
        r"seg_sc\.onnx: refused, .*'weights'",
    ),
    "data in no file": (lambda p: outside(p, "nothing"), r"seg_sc\.onnx: refused, .*'nothing'"),
}


@pytest.mark.parametrize("name", list(ONNX_FAULTS))
def test_onnx_files_that_cannot_be_used(model, config, image, write, refused, tmp_path, name):
    breaks, message = ONNX_FAULTS[name]
    breaks(model / "seg_sc.onnx")
    refused(["--segment", write(config)], message, keeps=[model])
    out = tmp_path / "segmented"
    refused(["-m", model, "-i", image, "-o", out], message, keeps=[model], main=segment_image.main)
    assert not out.exists()


def another(path: Path, **arguments) -> None:
    """Another network in the packaged model's place; its JSON file stays."""
    arguments = {"in_channel": 1, "out_channel": 1, "depth": 1, "n_filters": 2} | arguments
    save_model(path.with_suffix(".pt"), Unet(**arguments), "Unet", arguments)
    path.with_suffix(".onnx").unlink()


def changed_json(path: Path, **sections) -> None:
    content = json.loads(path.with_suffix(".json").read_text())
    path.with_suffix(".json").write_text(json.dumps(content | sections))


PACKAGE_FAULTS = {
    "no JSON": (lambda p: p.with_suffix(".json").unlink(), r"seg_sc\.json not found"),
    "damaged JSON": (lambda p: cut(p.with_suffix(".json"), 0.5), r"seg_sc\.json:\d+:\d+: is not valid JSON"),
    "empty JSON": (
        lambda p: replace(p.with_suffix(".json"), b""),
        r"seg_sc\.json: is empty; expected a JSON object",
    ),
    "no weights": (
        lambda p: (p.with_suffix(".pt").unlink(), p.with_suffix(".onnx").unlink()),
        r"neither seg_sc\.pt nor seg_sc\.onnx found",
    ),
    "no folder": (lambda p: shutil.rmtree(p.parent), "no such model folder|no trained model"),
    "two classes in the weights": (lambda p: another(p, out_channel=3), r"seg_sc.*classes"),
    "two channels in the weights": (
        lambda p: another(p, in_channel=2),
        r"seg_sc: the model takes 2 images \(T2w, .*\), got 1",
    ),
    "two classes in the JSON": (
        lambda p: changed_json(
            p,
            loader_parameters={
                "target_suffix": ["_a", "_b"],
                "contrast_params": {"training_validation": ["T2w"]},
            },
        ),
        r"seg_sc.*classes",
    ),
}


@pytest.mark.parametrize("name", list(PACKAGE_FAULTS))
def test_packages_that_cannot_be_used(model, image, refused, tmp_path, name):
    breaks, message = PACKAGE_FAULTS[name]
    breaks(model / "seg_sc")
    out = tmp_path / "segmented"
    refused(["-m", model, "-i", image, "-o", out], message, main=segment_image.main)
    assert not out.exists()
