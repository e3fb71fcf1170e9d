"""Networks that need more than an image, or predict something else than masks, from training to segmentation."""

import json
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from ivadomed.errors import ConfigError, DataError
from ivadomed.inference import segment_volume
from ivadomed.loader.conditions import FilmEncoder
from ivadomed.main import main, run_main
from ivadomed.models import load_model
from ivadomed.scripts.create_phantom import create_phantom


def run(config: dict, command: str):
    return run_main({**config, "command": command})


@pytest.fixture
def film(config):
    config["default_model"] = {"name": "Unet", "depth": 1, "n_filters": 4}
    config["FiLMedUnet"] = {"applied": True, "metadata": "contrasts", "film_layers": [0, 1, 0, 1]}
    return config


def test_film_on_contrasts(film, study):
    run(film, "train")
    out = Path(film["path_output"])
    encoder = FilmEncoder.load(out / "seg_sc")
    assert encoder.known == (("T1w", "T2w"),)
    gammas = np.load(out / "gamma_layer_2.npy")
    values = np.load(out / "metadata_values.npy")
    assert len(gammas) == len(values)
    assert set(values) == {"T1w", "T2w"}
    assert np.load(out / "gamma_layer_1.npy").size == 0  # no FiLM there
    for contrast in (
        "T1w",
        "T2w",
    ):  # a layer scales all images of a contrast alike, and contrasts differently
        assert np.ptp(gammas[values == contrast], axis=0).max() == 0
    assert np.abs(gammas[values == "T1w"][0] - gammas[values == "T2w"][0]).max() > 0
    table, _ = run(film, "test")
    files = run(film, "segment")
    assert len(files) == 12
    image = study / "sub-001" / "anat" / "sub-001_T1w.nii.gz"
    [soft], _ = segment_volume(out / "seg_sc", image, options={"metadata": "T1w", "binarize_prediction": 0})
    [other], _ = segment_volume(out / "seg_sc", image, options={"metadata": "T2w", "binarize_prediction": 0})
    assert np.abs(soft.get_fdata() - other.get_fdata()).max() > 0
    assert table["dice_class0"].notna().all()
    with pytest.raises(
        ConfigError, match=r"seg_sc is conditioned on contrasts; give it as options\[.metadata"
    ):
        segment_volume(out / "seg_sc", image)
    [unseen], _ = segment_volume(out / "seg_sc", image, options={"metadata": "T2star"})
    assert unseen.shape == soft.shape


def test_film_on_mri_parameters_and_without_them(film, study, tmp_path, caplog):
    data = shutil.copytree(study, tmp_path / "data")
    film["loader_parameters"]["path_data"] = [str(data)]
    film["FiLMedUnet"]["metadata"] = "mri_params"
    run(film, "train")
    out = Path(film["path_output"])
    encoder = FilmEncoder.load(out)
    assert [feature.name for feature in encoder.features] == [
        "FlipAngle",
        "EchoTime",
        "RepetitionTime",
        "Manufacturer",
    ]
    assert load_model(out / "best_model.pt").decoder.last_film is not None
    sidecar = json.loads((study / "sub-001" / "anat" / "sub-001_T1w.json").read_text())
    image = study / "sub-001" / "anat" / "sub-001_T1w.nii.gz"
    [mask], _ = segment_volume(out / "seg_sc", image, options={"metadata": sidecar})
    assert mask.shape == nib.load(image).shape
    # A scanner that training did not see, everywhere.
    for path in data.rglob("sub-*.json"):
        path.write_text(json.dumps({**json.loads(path.read_text()), "Manufacturer": "Nobody"}))
    sidecar["Manufacturer"] = "Nobody"
    caplog.clear()
    [mask], _ = segment_volume(out / "seg_sc", image, options={"metadata": sidecar})
    run(film, "test")
    assert len(run(film, "segment")) == 12
    warned = [
        record
        for record in caplog.records
        if "which did not occur in the training set" in record.getMessage()
    ]
    assert len(warned) == 3  # one per call
    assert all("'nobody'" in record.getMessage() for record in warned)
    film["FiLMedUnet"]["metadata"] = "favourite_colour"
    film["path_output"] = str(tmp_path / "none")
    with pytest.raises(DataError, match=r"the validation set is empty.*favourite_colour"):
        run(film, "train")


def test_film_in_three_dimensions(film):
    film["FiLMedUnet"]["applied"] = False
    film["Modified3DUNet"] = {
        "applied": True,
        "length_3D": [32, 16, 16],
        "stride_3D": [32, 16, 16],
        "n_filters": 2,
        "film_layers": [0] * 9 + [1],
        "metadata": "sex",
    }
    film["transformation"] = {
        "Resample": {"hspace": 3, "wspace": 3, "dspace": 3},
        "CenterCrop": {"size": [32, 16, 16]},
        "NormalizeInstance": {"applied_to": ["im"]},
    }
    film["training_parameters"]["training_time"]["num_epochs"] = 1
    run(film, "train")
    assert FilmEncoder.load(film["path_output"]).known == (("f", "m"),)
    run(film, "test")


@pytest.fixture
def without_some(tmp_path):
    """Co-registered contrasts, of which two subjects lack one."""
    data = create_phantom(tmp_path / "data", n=6, seed=1, size="tiny", coregistered=True)
    for name in ("sub-001_T2w", "sub-004_T1w"):
        for file in (data / name[:7] / "anat").glob(f"{name}.*"):
            file.unlink()
    return data


def test_hemis_trains_and_predicts_with_missing_contrasts(config, without_some):
    config["loader_parameters"] |= {"path_data": [str(without_some)], "multichannel": True}
    config["default_model"] = {"name": "Unet", "depth": 1, "n_filters": 4}
    config["HeMISUnet"] = {"applied": True, "missing_probability": 0.3, "missing_probability_growth": 0.9}
    run(config, "train")
    table, _ = run(config, "test")
    assert table["dice_class0"].notna().all()
    files = run(config, "segment")
    assert len(files) == 6  # those that lack a contrast too
    model = Path(config["path_output"]) / "seg_sc"
    images = [without_some / "sub-002" / "anat" / f"sub-002_{contrast}.nii.gz" for contrast in ("T1w", "T2w")]
    soft = {"binarize_prediction": 0, "keep_largest": 0}
    both = segment_volume(model, images, options=soft)[0][0].get_fdata()
    alone = segment_volume(model, [images[0], None], options=soft)[0][0].get_fdata()
    assert alone.shape == both.shape
    assert np.abs(alone - both).max() > 0
    with pytest.raises(DataError, match="it needs one at least"):
        segment_volume(model, [None, None])


def test_other_networks_need_every_contrast(config, without_some, caplog):
    config["loader_parameters"] |= {"path_data": [str(without_some)], "multichannel": True}
    config["training_parameters"]["training_time"]["num_epochs"] = 1
    run(config, "train")
    assert "sub-001 is left out: has no T2w image" in caplog.text
    image = without_some / "sub-002" / "anat" / "sub-002_T1w.nii.gz"
    with pytest.raises(DataError, match="only a HeMISUnet does without a contrast"):
        segment_volume(Path(config["path_output"]) / "seg_sc", [image, None])


def test_classification(config, tmp_path):
    data = create_phantom(tmp_path / "patients", n=6, seed=1, size="tiny", lesions=1.0)
    config["loader_parameters"]["path_data"] = [str(data)]
    config["default_model"] = {"name": "resnet18"}
    config["postprocessing"] = {}
    config["training_parameters"]["loss"] = {"name": "BinaryCrossEntropyLoss"}
    config["training_parameters"]["balance_samples"] = {"applied": True, "type": "gt"}
    config["loader_parameters"]["target_suffix"] = ["_lesion-manual"]
    run(config, "train")
    table, metrics = run(config, "test")
    out = Path(config["path_output"])
    slices = pd.read_csv(out / "classified_slices.csv")
    assert slices["probability"].between(0, 1).all()
    assert set(slices["truth"]) <= {0, 1}
    overall = table[table["image_id"] == "all images"].iloc[0]
    right = (slices["probability"] >= 0.5) == (slices["truth"] == 1)
    assert overall["accuracy"] == pytest.approx(right.mean())
    assert metrics["accuracy"] == pytest.approx(right.mean())
    pd.testing.assert_frame_equal(run(config, "eval"), table)
    [file] = run(config, "segment")
    assert pd.read_csv(file)["image_id"].nunique() == 12
    path = out.parent / "config.json"
    path.write_text(json.dumps(config))
    assert main(["--test", "-c", str(path), "--thr-increment", "0.2"]) == 0
    assert (out / "roc.png").is_file()


@pytest.fixture
def mid_slices(tmp_path):
    """Four subjects with a sagittal slice of 8 x 8 voxels and a heat map each."""
    rng = np.random.default_rng(0)
    data = tmp_path / "discs"
    for number in range(1, 5):
        name = f"sub-{number}"
        for folder, suffix in ((data, ""), (data / "derivatives" / "labels", "_heatmap0")):
            image = nib.Nifti1Image(rng.random((1, 8, 8), dtype=np.float32), np.eye(4))
            path = folder / name / "anat" / f"{name}_T2w{suffix}.nii.gz"
            path.parent.mkdir(parents=True)
            nib.save(image, path)
    (data / "participants.tsv").write_text("participant_id\n" + "".join(f"sub-{n}\n" for n in range(1, 5)))
    (data / "dataset_description.json").write_text('{"Name": "discs", "BIDSVersion": "1.9.0"}')
    (data / "derivatives" / "dataset_description.json").write_text(
        '{"Name": "labels", "BIDSVersion": "1.9.0"}'
    )
    return data


@pytest.mark.slow
def test_heat_maps(mid_slices, tmp_path):
    config = {
        "gpu_ids": [],
        "path_output": str(tmp_path / "out"),
        "model_name": "find_discs",
        "loader_parameters": {
            "path_data": [str(mid_slices)],
            "target_suffix": ["_heatmap0"],
            "contrast_params": {"training_validation": ["T2w"]},
            "slice_axis": "sagittal",
            "soft_gt": True,
        },
        "split_dataset": {"train_fraction": 0.5, "test_fraction": 0.25},
        "training_parameters": {
            "batch_size": 2,
            "num_workers": 0,
            "training_time": {"num_epochs": 1},
            "loss": {
                "name": "LossCombination",
                "losses_list": ["AdapWingLoss", "L2loss"],
                "params_list": [None, None],
            },
        },
        "default_model": {"name": "Countception"},
        "transformation": {"NormalizeInstance": {"applied_to": ["im"]}},
    }
    run(config, "train")
    table, metrics = run(config, "test")
    assert list(metrics) == ["mse"]
    assert metrics["mse"] > 0
    assert table["mse_class0"].notna().all()
    [prediction] = (tmp_path / "out" / "pred_masks").glob("*_pred.nii.gz")
    assert nib.load(prediction).get_data_dtype() == np.float32
    assert nib.load(prediction).shape == (1, 8, 8)
