"""A configuration as people kept it over the years trains; a line for each thing that is read in another way."""

import json

import pytest

from ivadomed.main import main


@pytest.fixture
def old(study, tmp_path) -> dict:
    """Nearly every row of the table of old keys at once."""
    return {
        "command": "train",
        "gpu": 7,
        "log_directory": str(tmp_path / "out"),
        "model_name": "old",
        "wandb": {"wandb_api_key": "", "project_name": "p", "log_grads_every": 100.0},
        "object_detection_params": None,
        "uncertainty": None,
        "evaluation_parameters": None,
        "training_sha256": {"sub-01_T1w.nii.gz": "00"},
        "loader_parameters": {
            "bids_path": str(study),
            "validate_BIDS": True,
            "target_suffix": ["seg-manual"],
            "roi_params": None,
            "contrast_params": {"train_validation": [], "test": None, "balance": None, "contrast_lst": []},
            "subject_selection": None,
            "multichannel": False,
        },
        "split_dataset": {
            "random_seed": 6.0,
            "method": "per_patient",
            "center_test": [],
            "train_fraction": 0.5,
        },
        "training_parameters": {
            "batch_size": 4.0,
            "training_time": {"num_epochs": 1.0},
            "scheduler": {"lr_scheduler": {"name": "CosineAnnealingLR", "base_lr": 1e-5, "max_lr": 1e-2}},
            "balance_samples": False,
            "transfer_learning": None,
            "num_workers": 0,
        },
        "default_model": {"name": "Unet", "is_2D": True, "depth": 1.0, "n_filters": 2, "attention": True},
        "UNet3D": {"applied": False, "padding_3D": 0, "length_3D": [32.0, 32.0, 16.0]},
        "HeMISUnet": None,
        "transformation": {
            "Resample": {"hspace": 2, "wspace": 2, "dspace": 1, "preprocessing": True},
            "CenterCrop2D": {"size": [16.0, 16.0, 8.0]},
            "RandomGamma": {"log_gamma_range": [-3.0, 3.0], "p": 1.0, "dataset_type": ["training"]},
            "NumpyToTensor": {},
            "NormalizeInstance": {"applied_to": ["im"]},
        },
    }


def test_a_configuration_of_2020_trains_tests_and_segments(old, tmp_path, capsys, caplog, monkeypatch):
    for name in ("WANDB_API_KEY", "WANDB_MODE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    file, out = tmp_path / "old.json", tmp_path / "out"
    file.write_text(json.dumps(old))
    assert main(["--train", "-c", str(file)]) == 0, capsys.readouterr().err
    assert caplog.text.count("wandb: ") == 1
    said = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    places = {line.removeprefix(f"{file}: ").split(":")[0] for line in said}
    assert {
        "gpu",
        "gpu_ids",
        "log_directory",
        "training_sha256",
        "loader_parameters.validate_BIDS",
        "loader_parameters.target_suffix[0]",
        "training_parameters.scheduler.lr_scheduler.base_lr, max_lr",
        "default_model.is_2D",
        "default_model.attention",
        "Modified3DUNet.padding_3D",
        "transformation.CenterCrop.size",
    } <= places
    assert len(said) == len(set(said))
    assert "all, as the configuration names none: T1w, T2star, T2w" in caplog.text
    kept = json.loads((out / "config_file.json").read_text(encoding="utf-8"))
    assert kept["loader_parameters"]["contrast_params"]["training_validation"] == ["T1w", "T2star", "T2w"]
    assert kept["transformation"]["CenterCrop"]["size"] == [16, 16]
    packaged = json.loads((out / "old" / "old.json").read_text(encoding="utf-8"))
    assert packaged["loader_parameters"]["target_suffix"] == ["_seg-manual"]
    manifest = json.loads((out / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["precision"] in ("32 bits (auto)", "bf16 mixed with 32 bits (auto)")
    assert main(["--test", "-c", str(file)]) == 0
    report = (out / "results_eval" / "report.html").read_text(encoding="utf-8")
    assert manifest["precision"] in report
    assert main(["--segment", "-c", str(file)]) == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"target_ground_truth": "_seg"}, "loader_parameters.target_suffix names the labels"),
        ({"random_seed": 1}, "split_dataset.random_seed draws the split"),
        ({"subject_selection:": {}}, "did you mean 'loader_parameters.subject_selection'"),
        ({"default_model": {"name": "HourglassNet"}}, "'HourglassNet' is unknown"),
        ({"transformation": {"VertebralSplitting": {}}}, "transformation.VertebralSplitting: unknown key"),
    ],
)
def test_what_was_never_released_is_refused_in_training(old, change, message, tmp_path, capsys):
    file = tmp_path / "old.json"
    file.write_text(json.dumps(old | change))
    assert main(["--train", "-c", str(file)]) != 0
    errors = capsys.readouterr().err
    assert message in errors
    assert "Traceback" not in errors
    assert not (tmp_path / "out").exists()
