"""Configurations that cannot be used: the command says which key, and makes no folder."""

from copy import deepcopy
from pathlib import Path

import pytest
import torch

from ivadomed.main import main

FILM = {"applied": True, "metadata": "contrasts"}
THREE_D = {"applied": True, "length_3D": [32, 32, 16], "stride_3D": [32, 32, 16], "n_filters": 2}


def changed(config: dict, path: str, value) -> dict:
    """A copy with one value, at a path such as ``training_parameters.loss.name``."""
    config = deepcopy(config)
    *parents, last = path.split(".")
    node = config
    for key in parents:
        node = node.setdefault(key, {})
    node[last] = value
    return config


UNKNOWN_KEYS = {
    "comand": "'command'",
    "loader_parameters.slice_axsi": "'slice_axis'",
    "loader_parameters.contrast_params.train_valid": "'training_validation'",
    "loader_parameters.roi_params.sufix": "'suffix'",
    "loader_parameters.slice_filter_params.filter_empty_maks": "'filter_empty_mask'",
    "loader_parameters.subject_selection.metdata": "'metadata'",
    "split_dataset.train_fractoin": "'train_fraction'",
    "split_dataset.data_testing.data_typ": "'data_type'",
    "training_parameters.batch_sise": "'batch_size'",
    "training_parameters.training_time.num_epoch": "'num_epochs'",
    "training_parameters.scheduler.initial_l": "'initial_lr'",
    "training_parameters.scheduler.lr_scheduler.bas_lr": "bas_lr: unknown key",
    "training_parameters.loss.gama": "gama: unknown key",
    "training_parameters.balance_samples.typ": "'type'",
    "training_parameters.transfer_learning.retrain_modell": "'retrain_model'",
    "default_model.dept": "'depth'",
    "Modified3DUNet.lenght_3D": "'length_3D'",
    "uncertainty.epistemik": "'epistemic'",
    "postprocessing.fill_hole": "'fill_holes'",
    "postprocessing.remove_small.unitt": "'unit'",
    "transformation.Resampel": "'Resample'",
    "transformation.RandomAffine.degres": "'degrees'",
    "evaluation_parameters.overlapp": "'overlap'",
    "object_detection_params.safety_facter": "'safety_factor'",
}

WRONG_VALUES = [
    ("gpu_ids", [-1], r"gpu_ids\[0\]: -1"),
    ("gpu_ids", ["0"], r"gpu_ids\[0\]: '0'; expected an integer"),
    ("model_name", 3, "model_name: 3; expected a string"),
    ("model_name", "", "model_name: ''"),
    ("model_name", "a/b", "model_name: 'a/b'"),
    ("model_name", "..", r"model_name: '\.\.'"),
    ("log_file", "../log", r"log_file: '\.\./log'"),
    ("path_output", 3, "path_output: 3; expected"),
    ("loader_parameters", [], r"loader_parameters: \[\]; expected an object"),
    ("loader_parameters.path_data", 3, "loader_parameters.path_data: 3; expected a path"),
    ("loader_parameters.multichannel", "yes", "multichannel: 'yes'; expected true or false"),
    ("loader_parameters.slice_axis", "axail", "slice_axis: 'axail'.*did you mean 'axial'"),
    ("loader_parameters.target_suffix", [3], r"target_suffix"),
    ("loader_parameters.contrast_params.balance", {"T2w": 2}, "balance.T2w: 2"),
    ("split_dataset.train_fraction", 1.5, "train_fraction: 1.5; expected"),
    ("split_dataset.train_fraction", 0.9, "train_fraction.*0.9.*0.25"),
    ("split_dataset.test_fraction", -0.1, "test_fraction: -0.1; expected"),
    ("split_dataset.random_seed", "six", "random_seed: 'six'; expected an integer"),
    ("training_parameters.batch_size", 0, "batch_size: 0; expected a value greater"),
    ("training_parameters.batch_size", 2.5, "batch_size: 2.5; expected"),
    ("training_parameters.num_workers", -1, "num_workers: -1"),
    ("training_parameters.training_time.num_epochs", -5, "num_epochs: -5; expected a value greater"),
    ("training_parameters.training_time.num_epochs", "10", "num_epochs: '10'; expected an integer"),
    ("training_parameters.training_time.early_stopping_patience", -1, "early_stopping_patience: -1"),
    ("training_parameters.scheduler.initial_lr", -0.1, "initial_lr: -0.1; expected"),
    ("training_parameters.scheduler.initial_lr", "fast", "initial_lr: 'fast'; expected a number"),
    ("training_parameters.mixup_alpha", -1, "mixup_alpha: -1"),
    ("training_parameters.transfer_learning.retrain_fraction", 2, "retrain_fraction: 2"),
    ("default_model.depth", 0, "default_model.depth: 0; expected"),
    ("default_model.depth", "two", "default_model.depth: 'two'; expected an integer"),
    ("default_model.dropout_rate", 1.5, "dropout_rate: 1.5; expected"),
    ("default_model.n_filters", 0, "n_filters: 0; expected"),
    ("default_model.length_2D", [32], r"length_2D\[1\]: is missing"),
    ("transformation.CenterCrop", {"size": [0, 32]}, r"CenterCrop.size\[0\]: 0"),
    ("transformation.CenterCrop", {"size": "all"}, "CenterCrop.size: 'all'"),
    ("transformation.Resample", {"hspace": 0, "wspace": 1, "dspace": 1}, "Resample.hspace: 0"),
    ("transformation.Resample", {"hspace": 1}, "Resample.wspace: is missing"),
    ("transformation.RandomAffine", {"degrees": "x"}, "RandomAffine.degrees: 'x'"),
    ("transformation.NormalizeInstance", [], "NormalizeInstance"),
    ("postprocessing.binarize_prediction", {"thr": 2}, "binarize_prediction.thr: 2"),
    ("postprocessing.remove_small", {"unit": "cm3", "thr": 3}, "remove_small.unit: 'cm3'"),
    ("postprocessing.remove_small", {"unit": "vox"}, "remove_small.thr: is missing"),
    ("uncertainty.n_it", -1, "uncertainty.n_it: -1"),
]

UNKNOWN_NAMES = [
    ("default_model.name", "Unett", "default_model.name: 'Unett' is unknown"),
    ("default_model.name", "no_such_package.nets:Net", "no_such_package"),
    ("default_model.name", "json:Nothing", "json:Nothing|Nothing"),
    ("training_parameters.loss", {"name": "DiceLos"}, "'DiceLos' is unknown.*did you mean 'DiceLoss'"),
    ("training_parameters.loss", {"name": "FocalLoss", "gama": 1}, "loss.gama: unknown key"),
    (
        "training_parameters.scheduler.lr_scheduler",
        {"name": "CosineAnneal"},
        "lr_scheduler.name: 'CosineAnneal' is unknown",
    ),
    (
        "training_parameters.scheduler.lr_scheduler",
        {"name": "CyclicLR", "baselr": 1},
        "lr_scheduler.baselr: unknown key",
    ),
    ("transformation.Blur", {}, "transformation.Blur: unknown key"),
    ("postprocessing.keep_larges", {}, "postprocessing.keep_larges: unknown key"),
    ("default_model.widht", 3, "default_model.widht: unknown key"),
]

CONTRADICTIONS = [
    (
        {"HeMISUnet": {"applied": True}, "Modified3DUNet": THREE_D},
        r"(HeMISUnet|Modified3DUNet).applied, (HeMISUnet|Modified3DUNet).applied",
    ),
    ({"FiLMedUnet": {**FILM, "film_layers": [1, 0]}}, r"film_layers: .*\[1, 0\]|film_layers.*expected"),
    ({"default_model": {"name": "Unet", "length_2D": [32, 32], "stride_2D": [0, 32]}}, r"stride_2D\[0\]: 0"),
    ({"default_model": {"name": "Unet", "length_2D": [32, 32], "stride_2D": [33, 32]}}, "stride_2D"),
    ({"Modified3DUNet": {**THREE_D, "stride_3D": [0, 32, 16]}}, r"stride_3D\[0\]: 0"),
    ({"Modified3DUNet": {"applied": True, "n_filters": 2}}, "Modified3DUNet.length_3D"),
    (
        {
            "Modified3DUNet": {**THREE_D, "length_3D": [64, 64, 16], "stride_3D": [64, 64, 16]},
            "transformation": {"CenterCrop": {"size": [32, 32, 16]}},
        },
        "length_3D|CenterCrop",
    ),
    (
        {
            "default_model": {"name": "Unet", "length_2D": [64, 64], "stride_2D": [32, 32]},
        },
        "64x64|length_2D",
    ),
]


@pytest.mark.parametrize("key", list(UNKNOWN_KEYS))
def test_unknown_keys_of_every_level(config, write, refused, key):
    refused(["--train", write(changed(config, key, 1))], UNKNOWN_KEYS[key])
    assert not Path(config["path_output"]).exists()


@pytest.mark.parametrize(("key", "value", "message"), WRONG_VALUES + UNKNOWN_NAMES)
def test_values_that_are_impossible_or_of_another_type(config, write, refused, key, value, message):
    refused(["--train", write(changed(config, key, value))], message)
    assert not Path(config["path_output"]).exists()


@pytest.mark.parametrize(("sections", "message"), CONTRADICTIONS)
def test_contradictions(config, write, refused, sections, message):
    refused(["--train", write({**config, **sections})], message)


BAD_FILES = {
    "comma": ('{"command": "train",\n "gpu_ids": [0,]}', r"config\.json:2:16: is not valid JSON"),
    "cut off": ('{"command": "train",\n "gpu_ids": [', r"config\.json:2:\d+: is not valid JSON"),
    "empty": ("", r"config\.json: is empty; expected a JSON object"),
    "list": ("[1, 2]", "expected a JSON object"),
    "key twice": ('{"command": "train", "command": "test"}', "'command' occurs twice"),
    "not text": (b"\xff\xfe\x00\x01", r"config\.json:1:1: is not valid JSON"),
    "too deep": ("[" * 100_000, r"config\.json.*nested"),
    "not a number": ('{"training_parameters": {"mixup_alpha": NaN}}', "mixup_alpha: nan"),
    "endless": ('{"training_parameters": {"scheduler": {"initial_lr": 1e999}}}', "initial_lr: inf"),
    "many digits": ('{"training_parameters": {"seed": 1' + "0" * 5000 + "}}", r"config\.json"),
    "half a character": ('{"model_name": "\\ud800"}', r"config\.json: has half a character"),
}


@pytest.mark.parametrize("name", list(BAD_FILES))
def test_files_that_are_no_configuration(tmp_path, refused, name):
    content, message = BAD_FILES[name]
    path = tmp_path / "config.json"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    refused(["--train", path], message, keeps=[tmp_path])


def test_no_file_a_folder_and_none_at_all(tmp_path, refused):
    refused(["--train", tmp_path / "none.json"], r"none\.json: no such file")
    refused(["--train", tmp_path], "is a folder; expected the path of a JSON configuration file")
    refused(["--train"], "no configuration given; pass one with -c")
    refused(["--train", "a.json", "-c", "b.json"], "two configuration files given")


def test_no_data_set(config, write, refused, tmp_path):
    del config["loader_parameters"]["path_data"]
    refused(["--train", write(config)], "loader_parameters.path_data: no data set given; .*--path-data")
    assert not Path(config["path_output"]).exists()
    refused(["--train", write(config), "-pd", tmp_path / "no data"], "no data: no such folder")


def test_a_command_that_is_none(config, write, refused):
    refused([write({**config, "command": "trian"})], "command: 'trian'.*did you mean 'train'")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--test", "--resume-training"], "--resume-training belongs to --train"),
        (["--segment", "--overwrite"], "--overwrite belongs to --train"),
        (["--train", "--resume-training", "--overwrite"], "contradict each other"),
        (["--segment", "--thr-increment", "0.1"], "--thr-increment belongs to"),
        (["--train", "--thr-increment", "0"], "thr.increment"),
        (["--train", "--thr-increment", "nan"], "thr.increment"),
        (["--train", "--thr-increment", "2"], "thr.increment"),
    ],
)
def test_options_that_do_not_belong_together(config, write, refused, arguments, message):
    refused([*arguments, write(config)], message)


def test_a_gpu_that_is_not_there(config, write, caplog, monkeypatch):
    """A GPU that the machine does not have means the CPU, and a warning says so once."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert main(["--train", str(write({**config, "gpu_ids": [2, 3]}))]) == 0
    assert caplog.text.count("gpu_ids: [2, 3], but CUDA is not available: working on the CPU") == 1
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    third = {**config, "gpu_ids": [3], "path_output": config["path_output"] + "3"}
    assert main(["--train", str(write(third))]) == 0
    assert caplog.text.count("gpu_ids: no GPU 3; this machine has 1, counted from 0: working on the CPU") == 1
