"""The members of a sweep."""

import pytest

from ivadomed.config import load_config
from ivadomed.errors import ConfigError
from ivadomed.sweep.hyperparameters import folder_name, get_param_list, make_config_list
from ivadomed.sweep.plan import SweepOptions, plan

DEPTHS = {"default_model": {"depth": [2, 3]}}


def members(changes=None, parameters=DEPTHS, **options):
    config = load_config({"path_output": "/x/out"}, changes).to_json()
    configs = make_config_list(get_param_list(parameters, [], []), config, False, False, folder_name)
    return plan(configs, config["path_output"], SweepOptions(config, **options))


def seeds(found):
    return [
        (m.config["split_dataset"]["random_seed"], m.config["training_parameters"]["seed"]) for m in found
    ]


def test_configurations_of_an_iteration_share_their_seeds():
    changes = {"split_dataset.random_seed": 10, "training_parameters.seed": 20}
    found = members(changes, n_iterations=2)
    assert [m.iteration for m in found] == [0, 0, 1, 1]
    assert seeds(found) == [(10, 20), (10, 20), (11, 21), (11, 21)]
    assert seeds(members(changes, n_iterations=2, fixed_split=True)) == [
        (10, 20),
        (10, 20),
        (10, 21),
        (10, 21),
    ]


def test_every_iteration_has_a_folder_and_the_first_one_stays():
    found = members(n_iterations=2)
    assert [m.folder.name for m in found] == [
        "out-depth=2",
        "out-depth=3",
        "out-depth=2_n=01",
        "out-depth=3_n=01",
    ]
    assert [m.path_output for m in found] == ["/x/out-depth=2", "/x/out-depth=3"] * 2
    assert [m.is_kept for m in found] == [True, True, False, False]
    kept = members(n_iterations=2, all_logs=True)
    assert kept[0].folder.name == "out-depth=2_n=00"
    assert all(m.is_kept for m in kept)


def test_id_depends_on_what_decides_about_the_result():
    ids = [m.job for m in members()]
    assert len(set(ids)) == 2
    assert ids == [m.job for m in members({"gpu_ids": [], "loader_parameters.cache_dir": "/elsewhere"})]
    assert ids == [m.job for m in members({"path_output": "/y/other"})]
    for changes in (
        {"training_parameters.batch_size": 3},
        {"training_parameters.training_time.num_epochs": 7},
        {"loader_parameters.path_data": ["/data"]},
        {"split_dataset.random_seed": 99},
    ):
        assert not set(ids) & {m.job for m in members(changes)}, changes
    assert not set(ids) & {m.job for m in members(thr_increment=0.1)}


def test_test_is_done_again_when_only_the_evaluation_differs():
    [first, _] = members(run_test=True)
    [other, _] = members({"evaluation_parameters.object_detection_metrics": False}, run_test=True)
    assert first.job == other.job
    assert first.test_job != other.test_job


def test_equal_configurations_are_one_member():
    assert len(members(parameters={"default_model": {"depth": [2, 2, 3]}})) == 2


def test_all_problems_of_all_configurations_are_told_at_once():
    with pytest.raises(ConfigError) as caught:
        members(parameters={"default_model": {"depth": [-1, 2], "dropout": [0.1]}})
    assert "depth=-1" in str(caught.value)
    assert "dropout_rate" in str(caught.value)  # what was probably meant


def test_no_iteration_is_an_error():
    with pytest.raises(ConfigError, match="--n-iterations: 0"):
        members(n_iterations=0)


@pytest.mark.parametrize("parameters", [DEPTHS, {"split_dataset": {"fold": [0, "all"]}}])
def test_a_member_trains_one_model(parameters):
    changes = {"split_dataset": {"n_folds": 3, "fold": "all" if parameters is DEPTHS else 0}}
    with pytest.raises(ConfigError, match=r'split_dataset.fold: "all" trains a model per fold'):
        members(changes, parameters)
