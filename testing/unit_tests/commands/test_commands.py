"""One function per command; the whole job is in the functional tests."""

import json
import os
from pathlib import Path

import nibabel as nib
import pytest
import torch

from ivadomed.commands import run, train
from ivadomed.commands.evaluate import eval_command
from ivadomed.commands.run import run_command
from ivadomed.commands.steps import as_trained
from ivadomed.config import load_config
from ivadomed.config.run_files import CHECKPOINT
from ivadomed.errors import ConfigError, DataError, ModelError
from ivadomed.inference.ensemble import join_models
from ivadomed.inference.packaged import PackagedModel
from ivadomed.jobs import Workers
from ivadomed.loader import build as datasets
from ivadomed.loader.build import worker_count
from ivadomed.loader.recipe import recipe_of
from ivadomed.models import build_model, save_model
from ivadomed.runtime.ranks import World
from ivadomed.training.checkpoint import KEYS, save_checkpoint
from ivadomed.training.loop import TrainingResult
from ivadomed.training.monitor import Watch


@pytest.fixture
def loaded(config):
    """Return a function that loads the shared configuration with changes (dotted paths)."""
    return lambda **changes: load_config(config, {key.replace("__", "."): v for key, v in changes.items()})


@pytest.mark.parametrize("command", ["train", "test", "eval", "segment"])
def test_each_command_has_its_function(loaded, monkeypatch, command):
    called = []
    for name in ("train", "test", "eval", "segment"):
        monkeypatch.setattr(run, f"{name}_command", lambda *a, name=name: called.append((name, a)) or name)
    config = loaded(command=command)
    resume = command == "train"
    assert run_command(config, resume_training=resume, no_patch=True, overlap_2d=[8, 4]) == command
    [(name, (given, folder, *more))] = called
    assert (name, given, folder) == (command, config, Path(config.path_output))
    options = {"no_patch": True, "overlap_2D": [8, 4]}
    expected = {
        "train": [True, None, False, 0, None, None],
        "test": [None, None, True],
        "eval": [None],
        "segment": [options, None, True],
    }
    assert more == expected[command]
    assert (folder / "config_file.json").is_file()


def test_processes_are_handed_to_the_command(loaded, monkeypatch):
    called = []
    monkeypatch.setattr(run, "eval_command", lambda config, folder, workers: called.append(workers))
    run_command(loaded(command="eval"), jobs=3)
    assert called == [Workers(3)]


def test_cluster_is_told_paths_that_mean_the_same_everywhere(loaded, monkeypatch, tmp_path):
    called = []
    monkeypatch.setattr(run, "eval_command", lambda config, folder, workers: called.append((config, workers)))
    monkeypatch.chdir(tmp_path)
    run_command(loaded(command="eval", path_output="here"), cluster="tcp://node:8786")
    [(config, workers)] = called
    assert config.path_output == str(tmp_path / "here")
    assert workers == Workers(cluster="tcp://node:8786")


def test_processes_of_one_training_share_out_nothing(loaded, monkeypatch):
    monkeypatch.setattr(run, "current_world", lambda: World(size=2, local_size=2))
    with pytest.raises(ConfigError, match="leave them out of a training by several processes"):
        run_command(loaded(command="train"), jobs=2)


def test_resuming_belongs_to_training(loaded):
    with pytest.raises(ConfigError, match="--resume-training belongs to --train, not to --segment"):
        run_command(loaded(command="segment"), resume_training=True)


def test_animations_belong_to_training_and_are_counted(loaded):
    with pytest.raises(ConfigError, match="--gif belongs to --train, not to --test"):
        run_command(loaded(command="test"), n_gif=2)
    with pytest.raises(ConfigError, match="--gif: -1; expected a number"):
        run_command(loaded(), n_gif=-1)


def test_without_data_set_nothing_is_written(loaded):
    config = loaded(loader_parameters__path_data=[])
    with pytest.raises(ConfigError, match=r"loader_parameters.path_data: no data set given; .*--path-data"):
        run_command(config)
    assert not Path(config.path_output).exists()


def test_training_writes_split_manifest_and_package_and_hands_on_what_it_needs(loaded, monkeypatch):
    handed = {}

    def pretend(
        model, training, valid, params, folder, device, metrics, resume, configuration, world, watch, *_, **__
    ):
        handed.update(model=model, training=training, valid=valid, params=params, resume=resume)
        handed.update(configuration=configuration, device=device, world=world, watch=watch)
        return TrainingResult(1, 2, 3, 4)

    monkeypatch.setattr(train, "train", pretend)
    monkeypatch.setattr(train, "package_model", lambda config, weights, folder: handed.update(package=folder))
    config = loaded()
    folder = Path(config.path_output)
    folder.mkdir(parents=True)
    save_checkpoint(folder / CHECKPOINT, {**dict.fromkeys(KEYS), "channels_last": False})
    assert run_command(config, resume_training=True) == (1, 2, 3, 4)
    assert handed["params"].channels_last is False
    assert handed["package"] == folder / "seg_sc"
    assert handed["resume"] is True
    assert (handed["device"], handed["world"]) == (torch.device("cpu"), World())
    assert handed["configuration"] == config.relevant(train.FREE_TO_CHANGE)
    assert handed["watch"] == Watch(gifs=0, slice_axis=2, debugging=False, wandb=None)
    assert handed["model"].name == "Unet"
    assert (handed["model"].arguments["depth"], handed["model"].arguments["n_filters"]) == (2, 4)
    split = json.loads((folder / "split_datasets.json").read_text())
    assert json.loads((folder / "manifest.json").read_text())["split"] == split
    for side in ("training", "valid"):
        data = handed[side]
        listed = set(split["train" if side == "training" else "valid"])
        assert {case.images[0].name for case in data.cases} <= listed
        assert {case.contrasts[0] for case in data.cases} == {"T1w", "T2w"}
        assert data[0].image.shape == (1, 32, 32)
    # Augmentation is for the training set only.
    assert len(handed["training"].random_steps.stages) == 2
    assert len(handed["valid"].random_steps.stages) == 1


def test_a_longer_or_moved_run_can_be_resumed_and_one_with_another_batch_size_not(loaded):
    free = train.FREE_TO_CHANGE
    before = loaded().relevant(free)
    same = loaded(
        command="test",
        path_output="elsewhere",
        training_parameters__training_time__num_epochs=99,
        training_parameters__num_workers=3,
        loader_parameters__path_data=["moved"],
        loader_parameters__cache="none",
        evaluation_parameters__surface_tolerance_mm=2,
    )
    assert same.relevant(free) == before
    assert loaded(training_parameters__batch_size=9).relevant(free) != before
    assert loaded(split_dataset__random_seed=7).relevant(free) != before


def test_contrasts_that_do_not_exist_are_named(loaded):
    config = loaded(loader_parameters__contrast_params={"training_validation": ["FLAIR"]})
    with pytest.raises(DataError, match="FLAIR"):
        run_command(config)


def test_a_patch_larger_than_the_image_names_the_image(loaded):
    config = loaded(default_model__length_2D=[64, 64], default_model__stride_2D=[64, 64])
    with pytest.raises(DataError, match=r"sub-\w+_T[12]w: a patch of 64x64 voxels does not fit .* 32x32"):
        run_command(config)


@pytest.mark.parametrize(("command", "file"), [("test", "best_model.pt"), ("segment", "seg_sc")])
def test_a_missing_model_is_named(loaded, command, file):
    with pytest.raises(ModelError, match=file):
        run_command(loaded(command=command))


def test_evaluation_without_predictions_says_what_to_do(loaded, tmp_path):
    with pytest.raises(DataError, match=r"pred_masks: no prediction of the test set; run --test first"):
        eval_command(loaded(command="eval"), tmp_path)


def test_evaluation_paints_the_worst_and_reports_unless_told_otherwise(loaded, tmp_path):
    config = loaded(
        command="eval", evaluation_parameters__overlays=1, evaluation_parameters__surface_metrics=False
    )
    cases = datasets.test_cases(config, tmp_path).cases
    (tmp_path / "pred_masks").mkdir()
    for case in cases:
        label = case.targets[0][0].path.read_bytes()
        (tmp_path / "pred_masks" / f"{case.id}_pred.nii.gz").write_bytes(label)
    table = eval_command(config, tmp_path)
    assert table.index.tolist() == sorted(case.id for case in cases)
    assert "hd_class0" not in table
    results = tmp_path / "results_eval"
    assert len(list((results / "overlays").iterdir())) == 1 < len(cases)
    assert (results / "report.html").is_file()
    (results / "report.html").unlink()
    eval_command(loaded(command="eval", evaluation_parameters__report=False), tmp_path)
    assert not (results / "report.html").exists()


def test_segmenting_with_another_number_of_channels_is_refused(loaded, monkeypatch, tmp_path):
    packaged = loaded(loader_parameters__multichannel=True)
    place = str(tmp_path / "seg_sc.json")
    model = PackagedModel(packaged, tmp_path / "seg_sc.onnx", None, torch.device("cpu"), place)
    monkeypatch.setattr(PackagedModel, "open", lambda folder, device: model)
    with pytest.raises(ConfigError, match=r"1 input channel\(s\), but .*seg_sc.onnx takes 2; .*seg_sc.json"):
        run_command(loaded(command="segment"))


def test_an_ensemble_segments_a_data_set(loaded, threshold_model):
    config = loaded(command="segment", postprocessing__binarize_prediction__thr=-1)
    above = {f"above_{number}": float(threshold) for number, threshold in enumerate((-1e9, 1e9))}
    members = [threshold_model(name, threshold) for name, threshold in above.items()]
    join_models(members, config.model_folder)
    files = run_command(config)
    assert files
    assert all((nib.load(file).get_fdata() == 0.5).all() for file in files)


@pytest.mark.parametrize(
    ("wanted", "cores", "expected"),
    [(None, 1, 1), (None, 2, 1), (None, 4, 3), (None, 64, 8), (0, 64, 0), (5, 2, 5)],
)
def test_number_of_workers(loaded, monkeypatch, wanted, cores, expected):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(cores)), raising=False)
    assert worker_count(loaded(training_parameters__num_workers=wanted)) == expected


def test_a_model_of_ivadomed_2_is_tested_as_it_was_trained(loaded, tmp_path):
    config = loaded()
    model = build_model(config.architecture.name, config.architecture.arguments)
    file = tmp_path / "best_model.pt"
    assert as_trained(config, tmp_path) is config  # no model
    save_model(file, model, config.architecture.name, config.architecture.arguments)
    assert as_trained(config, tmp_path) is config
    torch.save(model, file)
    old = as_trained(config, tmp_path)
    assert (old.blend, old.object_detection_params.anchor) == ("mean", "corner")
    chosen = as_trained(loaded(blend="gaussian", object_detection_params__anchor="center"), tmp_path)
    assert (chosen.blend, chosen.object_detection_params.anchor) == ("gaussian", "center")
    assert recipe_of(old, "testing").anchor == "corner"
    assert recipe_of(config, "testing").anchor == "center"
