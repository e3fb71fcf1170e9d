"""The steps of a run under the names of 2.x, with the dictionary ``context``."""

import json
import logging
from pathlib import Path

import numpy as np
import pytest
import torch

from ivadomed import main
from ivadomed.commands import run
from ivadomed.errors import ConfigError, OutputError
from ivadomed.loader.bids_dataframe import BidsDataframe
from ivadomed.loader.conditions import FilmEncoder
from ivadomed.models import build_model
from ivadomed.transforms import get_subdatasets_transforms

FILM = {"applied": True, "metadata": "contrasts"}


def test_networks_of_2_x():
    assert {"Unet", "FiLMedUnet", "HeMISUnet", "Modified3DUNet", "Countception"} <= set(main.MODEL_LIST)


def test_run_command_hands_on_its_options(context, monkeypatch):
    calls = []
    monkeypatch.setattr(
        "ivadomed.compat.main.run_typed", lambda config, **options: calls.append((config, options))
    )
    main.run_command(
        context, n_gif=2, thr_increment=0.1, resume_training=True, no_patch=True, overlap_2d=[4, 4]
    )
    [(config, options)] = calls
    assert (config.command, config.path_output) == ("train", context["path_output"])
    assert options == {
        "n_gif": 2,
        "thr_increment": 0.1,
        "resume_training": True,
        "no_patch": True,
        "overlap_2d": [4, 4],
    }


def test_run_command_trains_tests_and_segments(context):
    losses = main.run_command(context)
    assert len(losses) == 4
    assert np.isfinite(losses).all()
    context["command"] = "test"
    table, metrics = main.run_command(context)
    assert len(table) >= 1
    assert "dice_score" in metrics
    _, params = main.set_model_params(context, main.set_loader_params(context, is_train=False))
    written = main.run_segment_command(context, params, False, None)
    assert len(written) == 6  # one contrast of each subject
    assert context["command"] == "test"


def test_the_command_is_the_contexts(context):
    context["command"] = "eval"
    calls = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run, "eval_command", lambda config, *rest: calls.append(config.command))
        main.run_command(context)
    assert calls == ["eval"]


@pytest.mark.parametrize(("is_train", "contrasts"), [(True, ["T1w", "T2w"]), (False, ["T2w"])])
def test_loader_parameters_of_a_side(context, is_train, contrasts):
    params = main.set_loader_params(context, is_train)
    assert params["contrast_params"]["contrast_lst"] == contrasts
    assert params["target_suffix"] == ["_seg-manual"]
    assert "metadata_type" not in params
    assert "contrast_lst" not in context["loader_parameters"]["contrast_params"]


def test_loader_parameters_know_film_and_what_is_balanced(context):
    context["training_parameters"]["balance_samples"] = {"applied": True, "type": "sex"}
    assert main.set_loader_params(context, True)["metadata_type"] == "sex"
    context["FiLMedUnet"] = FILM
    assert main.set_loader_params(context, True)["metadata_type"] == "contrasts"


def test_model_parameters_build_the_network(context):
    params, loader = main.set_model_params(context, main.set_loader_params(context, True))
    assert (params["name"], params["folder_name"], params["is_2d"]) == ("Unet", "seg", True)
    assert (params["in_channel"], params["out_channel"], params["depth"]) == (1, 1, 2)
    assert loader["model_params"] is params
    assert loader["object_detection_params"]["path_output"] == context["path_output"]
    assert loader["object_detection_params"]["gpu_ids"] == 0
    arguments = {k: v for k, v in params.items() if k not in ("name", "folder_name")}
    assert build_model("Unet", arguments)(torch.zeros(1, 1, 16, 16)).shape == (1, 1, 16, 16)


def test_model_parameters_of_3d_patches_and_of_several_classes(context):
    context["loader_parameters"]["target_suffix"] = ["_seg-manual", "_lesion-manual"]
    context["Modified3DUNet"] = {
        "applied": True,
        "length_3D": [32, 32, 16],
        "stride_3D": [16, 16, 16],
        "n_filters": 4,
    }
    context["transformation"].pop("CenterCrop")
    params, _ = main.set_model_params(context, main.set_loader_params(context, True))
    assert (params["name"], params["is_2d"], params["out_channel"]) == ("Modified3DUNet", False, 3)
    assert (params["length_3D"], params["stride_3D"]) == ([32, 32, 16], [16, 16, 16])


def test_the_data_set_of_a_side(context, folder):
    _, loader = main.set_model_params(context, main.set_loader_params(context, True))
    bids_df = BidsDataframe(loader, str(folder), derivatives=True)
    subject = min(bids_df.get_subject_fnames()).split("_")[0]
    names = [name for name in bids_df.get_subject_fnames() if name.startswith(subject)]
    transforms, *_ = get_subdatasets_transforms(context["transformation"])
    dataset = main.get_dataset(bids_df, loader, names, transforms, False, torch.device("cpu"), "training")
    assert len(dataset) > 0
    assert dataset[0]["input"].shape == (1, 32, 32)
    assert {Path(pair[0][0]).name for pair in dataset.filename_pairs} == {
        name for name in names if name.endswith(("_T1w.nii.gz", "_T2w.nii.gz"))
    }


def test_several_raters_are_for_training_only(caplog):
    several = {"target_suffix": [["_seg-a", "_seg-b"], "_lesion"]}
    caplog.set_level(logging.INFO, "ivadomed")
    main.check_multiple_raters(True, several)
    assert "several raters" in caplog.text
    main.check_multiple_raters(False, {"target_suffix": ["_seg-a", "_lesion"]})
    with pytest.raises(ConfigError, match=r"_seg-a.*one suffix per class"):
        main.check_multiple_raters(False, several)


def test_the_folder_of_a_run(context, tmp_path):
    assert main.set_output_path(context) == context["path_output"]
    assert Path(context["path_output"]).is_dir()
    main.set_output_path(context)
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="file"):
        main.set_output_path({"path_output": str(tmp_path / "file" / "run")})


def test_files_of_a_run(context, folder):
    main.create_dataset_and_ivadomed_version_log(context)
    assert "IVADOMED TOOLBOX" in (folder / "version_info.log").read_text()
    main.save_config_file(context, folder)
    for file in (folder / "config_file.json", folder / "seg" / "seg.json"):
        assert json.loads(file.read_text())["model_name"] == "seg"


def test_folder_of_a_model(context, folder):
    main.create_path_model(context, {"name": "Unet"}, [], folder, None)
    assert (folder / "seg").is_dir()


def samples(*contrasts):
    return [
        {"input": np.zeros((1, 2, 2)), "input_metadata": [{"contrast": contrast}]} for contrast in contrasts
    ]


def test_film_is_fitted_saved_and_read_again(context, folder):
    context["FiLMedUnet"] = FILM
    params, _ = main.set_model_params(context, main.set_loader_params(context, True))
    assert params["metadata"] == "contrasts"
    params, training, validation, encoder = main.film_normalize_data(
        context, params, samples("T1w", "T2w"), samples("T2w"), folder
    )
    assert params["n_metadata"] == 2
    assert params["film_onehotencoder"] is encoder
    assert [s["input_metadata"][0]["film_input"] for s in (*training, *validation)] == [
        ["T1w"],
        ["T2w"],
        ["T2w"],
    ]
    assert encoder.transform([["T2w"]]).tolist() == [[0, 1]]

    main.create_path_model(context, params, training, folder, encoder)
    assert FilmEncoder.load(folder / "seg") == encoder

    fresh = {"name": "FiLMedUnet", "metadata": "contrasts"}
    test, fresh = main.update_film_model_params(context, samples("T2w"), fresh, folder)
    assert test[0]["input_metadata"][0]["film_input"] == ["T2w"]
    assert (fresh["n_metadata"], fresh["film_onehotencoder"]) == (2, encoder)


def test_a_context_with_checksums_goes_on(context):
    context["training_sha256"] = {"sub-001_T1w.nii.gz": "ab"}
    params, _ = main.set_model_params(context, main.set_loader_params(context, True))
    assert params["name"] == "Unet"


@pytest.mark.real_data
@pytest.mark.parametrize(("run", "name"), [("run_2d", "Unet"), ("run_3d", "Modified3DUNet")])
def test_a_context_that_2_9_10_stored(real_data, run, name):
    file = real_data.parent / "contract" / "runs_of_2.9.10" / run / "config_file.json"
    if not file.is_file():
        pytest.skip("the contract is not there")
    stored = json.loads(file.read_text())
    params, loader = main.set_model_params(stored, main.set_loader_params(stored, True))
    assert params["name"] == name
    assert loader["contrast_params"]["contrast_lst"] == ["T1w", "T2w"]
