"""All folds of a cross-validation: what is trained, gone on with, refused; the trainings themselves are pretended."""

import json
import shutil
from pathlib import Path

import pytest

from ivadomed.commands.folds import fold_folder, is_packaged, of_fold, prepare_folds, train_folds
from ivadomed.commands.run import run_command
from ivadomed.commands.worker import with_absolute_paths
from ivadomed.config import load_config
from ivadomed.config.run_files import BEST, CHECKPOINT
from ivadomed.errors import ConfigError, ModelError, OutputError, RunsFailed
from ivadomed.jobs import ONE
from ivadomed.runtime.ranks import World
from ivadomed.training.loop import TrainingResult


@pytest.fixture
def loaded(config):
    """Return a function that loads a configuration of three folds with changes (dotted paths)."""
    config["split_dataset"] |= {"n_folds": 3, "fold": "all"}

    def load(**changes):
        Path(config["path_output"]).mkdir(exist_ok=True)
        return with_absolute_paths(
            load_config(config, {key.replace("__", "."): v for key, v in changes.items()})
        )

    return load


class Pretend:
    """Stands for ``run_command``: leaves a checkpoint, and fails in the folds that it is told."""

    def __init__(self, failing=()):
        self.failing, self.calls = failing, []

    def __call__(self, config, resume_training, n_gif):
        fold = config.split_dataset.fold
        self.calls.append((fold, resume_training))
        (Path(config.path_output) / CHECKPOINT).touch()
        if fold in self.failing:
            raise ModelError("the loss became nan")
        return TrainingResult(-0.9, -0.9, -0.5 - fold / 10, -0.8)


def train(config, pretend, **options):
    return train_folds(config, Path(config.path_output), pretend, ONE, **options)


def test_each_fold_is_a_run_of_its_own_with_a_shared_cache(loaded):
    config = loaded()
    results = train(config, Pretend())
    assert [result.validation_dice for result in results] == [-0.5, -0.6, -0.7]
    folder = Path(config.path_output)
    splits = json.loads((folder / "splits.json").read_text())
    assert json.loads((folder / "manifest.json").read_text())["split"] == splits
    for fold in range(3):
        own = load_config(fold_folder(folder, fold) / "config_file.json")
        assert own.path_output == str(folder / f"fold_{fold}")
        assert (own.split_dataset.fold, own.split_dataset.fname_split) == (fold, str(folder / "splits.json"))
        assert own.loader_parameters.cache_dir == str(folder / "cache")


def test_what_was_begun_goes_on_and_what_failed_is_tried_again(loaded):
    config, first, second = loaded(), Pretend(failing=[1]), Pretend()
    with pytest.raises(
        RunsFailed, match=r"1 of 3 folds failed(.|\n)*fold 1: the loss became nan \(log: .*fold_1"
    ):
        train(config, first)
    assert first.calls == [(0, False), (1, False), (2, False)]
    train(config, second)
    assert second.calls == [(0, True), (1, True), (2, True)]  # a real one passes over what is finished
    assert "the loss became nan" in (Path(config.path_output) / "fold_1" / "log").read_text()


def test_one_fold_can_come_first(loaded):
    config, first, rest = loaded(), Pretend(), Pretend()
    assert len(train(config, first, folds=[0])) == 1
    splits = (Path(config.path_output) / "splits.json").read_text()
    train(config, rest, folds=[1, 2])
    assert (first.calls, rest.calls) == ([(0, False)], [(1, False), (2, False)])
    assert (Path(config.path_output) / "splits.json").read_text() == splits
    with pytest.raises(ConfigError, match="folds: 3; expected 0 to 2"):
        train(config, rest, folds=[3])


def test_other_folds_need_to_overwrite(loaded):
    train(loaded(), Pretend())
    changed, pretend = loaded(split_dataset__n_folds=2), Pretend()
    with pytest.raises(ConfigError, match=r"fold_0: .*split_dataset.n_folds was 3 and is 2.*--overwrite"):
        train(changed, pretend)
    assert len(train(changed, pretend, overwrite=True)) == 2
    assert pretend.calls == [(0, False), (1, False)]
    assert not (Path(changed.path_output) / "fold_2" / CHECKPOINT).exists()


def test_a_data_set_elsewhere_is_told(loaded, study, tmp_path, caplog):
    train(loaded(), Pretend())
    train(loaded(), Pretend())
    assert "another data set" not in caplog.text
    shutil.copytree(study, tmp_path / "copy")
    train(loaded(loader_parameters__path_data=[str(tmp_path / "copy")]), Pretend())
    assert "its folds were drawn for another data set" in caplog.text


def test_a_single_run_is_not_overwritten(loaded):
    config = loaded()
    (Path(config.path_output) / BEST).touch()
    with pytest.raises(OutputError, match="already holds a trained model"):
        prepare_folds(config, Path(config.path_output))


def test_an_ensemble_is_that_of_the_best_models(loaded):
    config = loaded()
    folder, package = Path(config.path_output), config.model_folder
    package.mkdir(parents=True)
    for fold in range(2):
        fold_folder(folder, fold).mkdir()
        (fold_folder(folder, fold) / BEST).write_text(f"weights {fold}")
        (package / f"seg_sc_{fold}.pt").write_text(f"weights {fold}")
    assert not is_packaged(config, folder, 2)
    (package / "seg_sc.json").write_text("{}")
    assert is_packaged(config, folder, 2)
    (fold_folder(folder, 1) / BEST).write_text("trained again")
    assert not is_packaged(config, folder, 2)


def test_runs_of_folds_are_told_apart_by_wandb(loaded):
    config = loaded(wandb={"project_name": "p", "group_name": "g", "run_name": "mine"})
    assert of_fold(config, 2).wandb.run_name == "mine-fold_2"


@pytest.mark.parametrize(
    ("changes", "options", "message"),
    [
        ({}, {"thr_increment": 0.1}, "--thr-increment: .*chosen on the predictions of all folds"),
        (
            {"command": "test", "uncertainty": {"n_it": 3, "aleatoric": True}},
            {},
            "uncertainty.n_it: 3 .*Monte Carlo samples are of one model",
        ),
        ({"split_dataset__fold": 0}, {"folds": [1]}, 'folds: expected .*fold "all" only'),
    ],
)
def test_what_does_not_go_with_folds_is_refused(loaded, changes, options, message):
    with pytest.raises(ConfigError, match=message):
        run_command(loaded(**changes), **options)


def test_processes_that_train_together_are_refused(loaded, monkeypatch):
    from ivadomed.commands import folds

    monkeypatch.setattr(folds, "current_world", lambda: World(size=2, local_size=2))
    with pytest.raises(ConfigError, match=r"start it without torchrun or srun, or train one fold by"):
        run_command(loaded())


def test_a_test_before_the_training_says_so(loaded):
    with pytest.raises(ModelError, match="no folds are trained here yet; run --train first"):
        run_command(loaded(command="test"))
