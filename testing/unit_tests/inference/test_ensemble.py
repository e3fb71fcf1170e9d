"""Ensembles: joined from packaged models, averaged with equal weights on the grid of the image."""

import json
import logging
from concurrent.futures import ThreadPoolExecutor

import nibabel as nib
import numpy as np
import pytest
import torch

from ivadomed.errors import ConfigError, ModelError, OutputError
from ivadomed.inference import Predictor, averaging, backends, segment_volume
from ivadomed.inference.ensemble import join_models
from ivadomed.inference.packaged import PackagedModel
from ivadomed.loader.conditions import FILM_ENCODER, Feature, FilmEncoder
from ivadomed.loader.samples import Batch
from ivadomed.models import FiLMedUnet, get_model_filenames, save_model
from ivadomed.scripts import ensemble

CPU = torch.device("cpu")
# Networks that answer 1 above a threshold; the voxels of the image are whole numbers from 0 to 899.
PATCHES_3D = {
    "default_model": {"name": "Unet", "is_2d": False, "length_3D": [8, 8, 4], "stride_3D": [4, 4, 2]}
}
FINER = {"transformation": {"Resample": {"hspace": 0.5, "wspace": 0.5}}}
SAGITTAL = {"loader_parameters": {"target_suffix": ["_seg-manual"], "slice_axis": "sagittal"}}


def values(images):
    return np.stack([np.asanyarray(image.dataobj) for image in images])


def predicted(folder, picture, **options):
    return values(segment_volume(folder, picture, gpu_id=None, options=options)[0])


def content(folder):
    return json.loads((folder / f"{folder.name}.json").read_text())


@pytest.fixture
def thresholds(threshold_model, tmp_path):
    """Return a function that joins networks of some thresholds."""

    def make(*steps, name="all", **options):
        members = [threshold_model(f"{name}_above_{step}", float(step)) for step in steps]
        return join_models(members, tmp_path / name, **options)

    return make


def test_the_mean_of_all_members_counts(thresholds, image):
    folder, path = thresholds(100, 300, 500, 800), image()
    voxels = np.asanyarray(nib.load(path).dataobj)
    expected = sum((voxels > step).astype(np.float32) for step in (100, 300, 500, 800)) / 4
    np.testing.assert_allclose(predicted(folder, path)[0], expected, atol=1e-6)
    # Postprocessing comes after the mean: two of four networks are a half.
    np.testing.assert_array_equal(predicted(folder, path, binarize_prediction=0.5)[0], voxels > 300)


def test_files_of_an_ensemble(thresholds):
    folder = thresholds(1, 2)
    assert sorted(file.name for file in folder.iterdir()) == ["all.json", "all_0.onnx", "all_1.onnx"]
    above = folder.parent.name
    assert content(folder)["ensemble"] == [{"model": f"{above}/all_above_{n}"} for n in (1, 2)]
    assert content(folder)["model_name"] == "all"


def test_networks_of_torch_and_onnx_are_averaged(package, image, tmp_path):
    path, members = image(), []
    for seed, kind in enumerate(("pt", "onnx", "pt")):
        folder = package(f"m{seed}", kinds=(kind,))
        for file in folder.glob("*.pt"):
            saved = torch.load(file, weights_only=True)
            saved["state_dict"]["decoder.last_conv.bias"] += 0.5 * seed
            torch.save(saved, file)
        members.append(folder)
    folder = join_models(members, tmp_path / "all")
    alone = [predicted(member, path) for member in members]
    assert np.abs(alone[0] - alone[2]).max() > 0.1
    np.testing.assert_allclose(predicted(folder, path), np.mean(alone, axis=0), atol=1e-5)


@pytest.mark.parametrize("other", [PATCHES_3D, FINER, SAGITTAL], ids=["3D", "voxel size", "slice axis"])
def test_members_prepare_images_in_their_own_way(threshold_model, image, tmp_path, other):
    members = [
        threshold_model("first", 200.0),
        threshold_model("second", 500.0, n_axes=3 if other is PATCHES_3D else 2, **other),
        threshold_model("third", 700.0),
    ]
    path = image()
    folder = join_models(members, tmp_path / "all")
    assert ["config" in entry for entry in content(folder)["ensemble"]] == [False, True, False]
    model = PackagedModel.open(folder, CPU)
    assert [part.n_members for part in (model, *model.others)] == [2, 1]
    alone = [predicted(member, path) for member in members]
    assert alone[1].any()
    expected = np.mean(alone, axis=0)
    result = predicted(folder, path)
    # Values up to 0.01 are 0 in the mean too.
    np.testing.assert_allclose(result, expected, atol=0.0101)
    np.testing.assert_array_equal(result, predicted(folder, path))


def test_progress_goes_over_all_members_that_prepare_in_their_own_way(threshold_model, image, tmp_path):
    members = [threshold_model("first"), threshold_model("second", **SAGITTAL)]
    seen = []
    Predictor(join_models(members, tmp_path / "all"), "cpu")(
        image(shape=(20, 5, 18)), progress=lambda done, total: seen.append((done, total))
    )
    assert seen[-1] == (5 + 20, 5 + 20)  # axial and sagittal slices
    assert seen == sorted(seen)


def test_an_ensemble_among_the_models_gives_its_members(thresholds, threshold_model, image, tmp_path):
    first, path = thresholds(100, 300), image()
    second = join_models([threshold_model("third", 500.0, **FINER), first], tmp_path / "again")
    assert [entry["model"].split("/")[1] for entry in content(second)["ensemble"]] == [
        "third",
        "all_above_100",
        "all_above_300",
    ]
    assert "config" in content(second)["ensemble"][1]
    # The preparation of the first one is that of the ensemble now; the others keep theirs.
    third = join_models([second], tmp_path / "third_time")
    np.testing.assert_array_equal(predicted(third, path), predicted(second, path))
    model = PackagedModel.open(third, CPU)
    assert [part.n_members for part in (model, *model.others)] == [1, 2]


def test_networks_that_do_not_stay_loaded_give_the_same(thresholds, image, monkeypatch):
    folder, path = thresholds(100, 300, 500), image()
    expected, opened = predicted(folder, path), []
    plain = averaging.open_model
    monkeypatch.setattr(averaging, "_LOADED_BYTES", 1)
    monkeypatch.setattr(averaging, "open_model", lambda *a, **k: opened.append(a) or plain(*a, **k))
    predict = Predictor(folder, "cpu")
    assert opened == []
    with ThreadPoolExecutor(2) as pool:
        for result in pool.map(lambda _: values(predict(path)), range(2)):
            np.testing.assert_array_equal(result, expected)
    assert len(opened) == 4


def test_each_member_predicts_in_its_own_precision(package, tmp_path):
    exact = {"training_parameters": {"precision": "32"}}
    members = [package("plain"), package("exact", **exact), package("exact_too", **exact)]
    model = PackagedModel.open(join_models(members, tmp_path / "both"), CPU)
    assert [part.n_members for part in (model, *model.others)] == [1, 2]
    assert [part.config.training_parameters.precision for part in (model, *model.others)] == ["auto", "32"]


def test_a_network_that_is_loaded_again_remembers_that_it_needs_float32(
    package, tmp_path, monkeypatch, caplog
):
    monkeypatch.setattr(backends, "predicts_in_half", lambda device, precision: precision != "32")
    monkeypatch.setattr(averaging, "_LOADED_BYTES", 1)
    folder = join_models([package("one"), package("two")], tmp_path / "both")
    forward = PackagedModel.open(folder, CPU).forward
    batch = Batch(torch.full((1, 1, 16, 16), 1e6), None, None, ())
    for _ in range(3):
        forward(batch)
    assert len(caplog.records) == 2  # one for each network


def test_the_postprocessing_is_that_of_the_first_or_another(thresholds, image):
    path = image()
    folder = thresholds(100, 300, postprocessing={"binarize_prediction": {"thr": 0.75}})
    np.testing.assert_array_equal(predicted(folder, path)[0], np.asanyarray(nib.load(path).dataobj) > 300)


def film_model(folder, known, seed):
    folder.mkdir()
    arguments = {"in_channel": 1, "out_channel": 1, "depth": 1, "n_filters": 2, "n_metadata": len(known)}
    arguments["film_layers"] = [1, 1, 1, 1]
    torch.manual_seed(seed)
    save_model(folder / f"{folder.name}.pt", FiLMedUnet(**arguments), "FiLMedUnet", arguments)
    FilmEncoder("contrasts", (Feature("contrast"),), (known,)).save(folder)
    loader = {"target_suffix": ["_seg"], "contrast_params": {"training_validation": ["T1w", "T2w"]}}
    settings = {
        "loader_parameters": loader,
        "default_model": {"depth": 1, "n_filters": 2},
        "FiLMedUnet": {"applied": True, "metadata": "contrasts"},
    }
    (folder / f"{folder.name}.json").write_text(json.dumps(settings))
    return folder


def test_film_networks_keep_their_encoders(image, tmp_path):
    members = [
        film_model(tmp_path / f"f{n}", known, n)
        for n, known in enumerate([("T1w", "T2w"), ("T2w", "T1w", "PD")])
    ]
    path = image()
    folder = join_models(members, tmp_path / "all")
    assert (folder / FILM_ENCODER).read_text() == (members[0] / FILM_ENCODER).read_text()
    for contrast in ("T1w", "T2w"):
        alone = [predicted(member, path, metadata=contrast) for member in members]
        np.testing.assert_allclose(
            predicted(folder, path, metadata=contrast), np.mean(alone, axis=0), atol=1e-6
        )
    alike = join_models([members[0], film_model(tmp_path / "f2", ("T1w", "T2w"), 2)], tmp_path / "alike")
    assert PackagedModel.open(alike, CPU).others == ()


def test_cascades_share_the_box(threshold_model, image, tmp_path):
    detection = {"object_detection_path": "spine", "safety_factor": [1.0, 1.0, 1.0]}
    members = [threshold_model(f"m{n}", 100.0 + 300 * n, object_detection_params=detection) for n in range(2)]
    path = image()
    prior = np.zeros((20, 5, 18), np.uint8)
    prior[4:12, 1:4, 5:11] = 1
    prior = nib.Nifti1Image(prior, nib.load(path).affine)
    folder = join_models(members, tmp_path / "all")
    alone = [predicted(member, path, fname_prior=prior) for member in members]
    assert 0 < alone[1].sum() < predicted(threshold_model("whole", 400.0), path).sum()
    np.testing.assert_array_equal(
        predicted(folder, path, fname_prior=prior), np.mean(alone, axis=0, dtype=np.float32)
    )
    other = {**detection, "safety_factor": [2.0, 1.0, 1.0]}
    with pytest.raises(ConfigError, match=r"m2\.onnx: object_detection_params is .*2\.0.* of .*m0\.onnx"):
        join_models([members[0], threshold_model("m2", object_detection_params=other)], tmp_path / "no")


def test_what_does_not_go_together_is_refused(package, threshold_model, tmp_path):
    first = package("first", kinds=("pt",))
    lesions = package("lesions", kinds=("pt",), classes=("_lesion-manual",))
    with pytest.raises(
        ConfigError, match=r"lesions\.pt: loader_parameters\.target_suffix is \['_lesion-manual'\], and "
    ):
        join_models([first, lesions], tmp_path / "all")
    two = package("two", kinds=("pt",), contrasts=("T1w", "T2w"))
    swapped = package("swapped", kinds=("pt",), contrasts=("T2w", "T1w"))
    for one, other in ((first, two), (two, swapped)):
        with pytest.raises(
            ConfigError, match=rf"{other.name}\.pt: .*training_validation is .*{one.name}\.pt"
        ):
            join_models([one, other], tmp_path / "all")
    classifier = package("classifier", default_model={"name": "resnet18"})
    with pytest.raises(ModelError, match=r"classifier\.pt: classifies slices"):
        join_models([classifier, classifier.parent / "first"], tmp_path / "all")
    with pytest.raises(ConfigError, match="first: is given twice"):
        join_models([first, f"{first}/"], tmp_path / "all")
    with pytest.raises(ConfigError, match="no model given"):
        join_models([], tmp_path / "all")
    with pytest.raises(ModelError, match="absent: no such model folder"):
        join_models([tmp_path / "absent"], tmp_path / "all")
    assert not (tmp_path / "all").exists()
    assert not list(tmp_path.glob(".*"))


def test_a_folder_that_holds_something_is_kept_unless_told_otherwise(thresholds, threshold_model):
    folder = thresholds(100, 200)
    before = {file.name: file.read_bytes() for file in folder.iterdir()}
    more = threshold_model("more")
    with pytest.raises(OutputError, match="all: the folder is not empty"):
        join_models([more], folder)
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == before
    join_models([more], folder, overwrite=True)
    assert sorted(file.name for file in folder.iterdir()) == ["all.json", "all_0.onnx"]


def test_a_damaged_ensemble_says_what_is_wrong(thresholds):
    folder = thresholds(100, 200)
    settings = folder / "all.json"
    (folder / "all_1.onnx").unlink()
    with pytest.raises(
        ModelError, match=r"neither all_1\.pt nor all_1\.onnx found, a member of this ensemble"
    ):
        Predictor(folder, "cpu")
    for entries, message in (
        ([], r"all\.json: ensemble: \[\]; expected a list"),
        ([3], "expected a list with an object for each member"),
        ([{"config": 3}], r"all\.json: ensemble\[0\]\.config: 3; expected the configuration"),
        ([{"config": {"transformation": {"Resampel": {}}}}], r"ensemble\[0\]\.config: 1 problem\n.*Resampel"),
    ):
        settings.write_text(json.dumps({**json.loads(settings.read_text()), "ensemble": entries}))
        with pytest.raises(ConfigError, match=message):
            Predictor(folder, "cpu")


def test_what_takes_one_model_says_that_this_is_an_ensemble(thresholds):
    with pytest.raises(ModelError, match="all: is an ensemble, and none of its files is the whole model"):
        get_model_filenames(thresholds(100, 200))


def test_the_command(threshold_model, image, tmp_path, capsys, monkeypatch, caplog):
    caplog.set_level(logging.WARNING)
    monkeypatch.chdir(tmp_path)
    for step in (100, 300):
        threshold_model(f"m{step}", float(step))
    assert ensemble.main(["m100", "m300", "-o", "both"]) == 0
    assert "both: an ensemble of 2 models" in capsys.readouterr().out
    assert set(np.unique(predicted("both", image()))) == {0, 0.5, 1}
    assert ensemble.main(["m100", "m300", "-o", "both"]) != 0
