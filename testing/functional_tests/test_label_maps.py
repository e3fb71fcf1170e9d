"""Classes of a label map, by name and by value, are trained, tested and segmented as files of their own are."""

import json
from pathlib import Path

import imageio.v3 as iio
import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from ivadomed.errors import ConfigError
from ivadomed.evaluation import evaluate
from ivadomed.inference import segment_volume
from ivadomed.inference.image_files import segment_images
from ivadomed.loader.bids_dataframe import BidsDataframe
from ivadomed.loader.bids_dataset import BidsDataset
from ivadomed.loader.loader import load_dataset
from ivadomed.main import main
from ivadomed.scripts.check_data import main as check_data
from ivadomed.scripts.create_phantom import create_microscopy

TABLE = "index\tname\n1\twhite matter\n2\tgrey+matter\n"
IGNORED = 255


@pytest.fixture(scope="module")
def data(study, tmp_path_factory) -> Path:
    """The study with white and grey matter as two files, and as one map with a corner of ignored voxels."""
    root = tmp_path_factory.mktemp("maps") / "data"
    for path in sorted(study.rglob("*")):
        if path.is_file() and "derivatives" not in path.parts:
            copy = root / path.relative_to(study)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.symlink_to(path)
    for path in sorted(study.glob("derivatives/labels/sub-*/anat/*_seg-manual.nii.gz")):
        cord = nib.load(path)
        inner = np.asanyarray(nib.load(str(path).replace("_seg-", "_gmseg-")).dataobj) >= 0.5
        outer = (np.asanyarray(cord.dataobj) >= 0.5) & ~inner
        ignored = np.zeros(outer.shape, bool)
        ignored[: outer.shape[0] // 2, :, ::2] = True
        volumes = {"_wm": outer, "_gm": inner, "_ignore": ignored, "_dseg": outer + 2 * inner}
        volumes["_partial_dseg"] = np.where(ignored, IGNORED, volumes["_dseg"])
        for suffix, volume in volumes.items():
            out = root / str(path.relative_to(study)).replace("_seg-manual", suffix)
            out.parent.mkdir(parents=True, exist_ok=True)
            nib.save(nib.Nifti1Image(volume.astype(np.uint8), cord.affine), out)
    (root / "derivatives/labels/dseg.tsv").write_text(TABLE, encoding="utf-8")
    return root


@pytest.fixture
def run(config, data, tmp_path):
    """Train and test with these suffixes; losses of the training, table of the evaluation, folder."""

    def run(name, suffixes, **loader):
        folder = tmp_path / name
        config["path_output"] = str(folder)
        config["loader_parameters"] |= {"path_data": [str(data)], "target_suffix": suffixes, **loader}
        config["loader_parameters"]["contrast_params"] |= {"training_validation": ["T2w"], "testing": ["T2w"]}
        config["default_model"] |= {"depth": 1, "n_filters": 2}
        file = tmp_path / f"{name}.json"
        file.write_text(json.dumps(config), encoding="utf-8")
        for command in ("--train", "--test"):
            assert main([command, "-c", str(file), "--quiet"]) == 0
        log = (folder / "log").read_text(encoding="utf-8")
        losses = [line.split("ivadomed")[-1] for line in log.splitlines() if "loss:" in line]
        table = pd.read_csv(folder / "results_eval" / "evaluation_3Dmetrics.csv", index_col=0)
        return losses, table, folder

    return run


def same(first, second):
    pd.testing.assert_frame_equal(first[1], second[1], check_exact=True)
    assert first[0] == second[0]
    weights = [(run[2] / "final_model.pt").read_bytes() for run in (first, second)]
    assert len(weights[0]) == len(weights[1])


@pytest.mark.parametrize("is_2d", [True, False])
def test_a_map_gives_the_numbers_of_two_files(run, config, is_2d):
    if not is_2d:
        config["Modified3DUNet"] = {"applied": True, "length_3D": [32, 32, 16], "n_filters": 2}
        config["transformation"]["CenterCrop"]["size"] = [32, 32, 16]
        config["transformation"]["Resample"]["dspace"] = 1.5
    files = run("files", ["_wm", "_gm"])
    assert np.isfinite(files[1]["dice_class1"]).any()
    same(run("names", ["_dseg:white matter", "_dseg:grey+matter"]), files)
    if is_2d:
        same(run("values", [["_dseg:1"], ["_dseg:2"]], cache="hdf5"), files)


def test_ignored_voxels_of_a_map_are_those_of_a_file(run, config):
    config["training_parameters"]["loss"] = {"name": "GeneralizedDiceLoss"}
    suffixes = ["_partial_dseg:1", "_partial_dseg:2"]
    ignored = run("map", suffixes, ignore_label=f"_partial_dseg:{IGNORED}")
    same(run("file", ["_wm", "_gm"], ignore_label="_ignore"), ignored)
    everything = run("all", ["_wm", "_gm"], ignore_label=None)
    assert everything[0] != ignored[0]
    assert (everything[1]["vol_gt_class0"] > ignored[1]["vol_gt_class0"]).all()


def test_names_survive_in_reports_and_the_packaged_model(run):
    _, _, folder = run("union", ["_dseg:white matter+grey+matter"])
    page = (folder / "results_eval" / "report.html").read_text(encoding="utf-8")
    assert "_dseg:white matter" in page
    packaged = json.loads((folder / "seg_sc" / "seg_sc.json").read_text(encoding="utf-8"))
    assert packaged["loader_parameters"]["target_suffix"] == ["_dseg:white matter+grey+matter"]


def test_segmented_files_have_safe_names_that_eval_finds(run, data, tmp_path):
    _, table, folder = run("two", ["_dseg:1+2", "_dseg:grey+matter"])
    image = next(data.glob("sub-*/anat/*_T2w.nii.gz"))
    written = segment_images(folder / "seg_sc", [[image]], tmp_path / "out", gpu_id=None)
    stem = image.name.removesuffix(".nii.gz")
    assert [p.name for p in written] == [
        f"{stem}_dseg-1-2_pred.nii.gz",
        f"{stem}_dseg-grey-matter_pred.nii.gz",
        f"{stem}_dseg.nii.gz",
    ]
    assert segment_volume(str(folder / "seg_sc"), [str(image)])[1] == ["_dseg-1-2", "_dseg-grey-matter"]
    # Predictions of another program, a file per class.
    for whole in sorted((folder / "pred_masks").glob("*_T2w_pred.nii.gz")):
        both = nib.load(whole)
        for k, suffix in enumerate(("_dseg-1-2", "_dseg-grey-matter")):
            one = nib.Nifti1Image(np.asanyarray(both.dataobj)[..., k], both.affine)
            nib.save(one, str(whole).replace("_T2w_pred", f"_T2w{suffix}_pred"))
        whole.unlink()
    for painted in (folder / "pred_masks").glob("*TP-FP-FN*"):
        painted.unlink()
    assert main(["--eval", "-c", str(tmp_path / "two.json"), "--quiet"]) == 0
    again = pd.read_csv(folder / "results_eval" / "evaluation_3Dmetrics.csv", index_col=0)
    pd.testing.assert_frame_equal(again, table)


def test_a_name_that_no_table_has_is_one_line(config, data, tmp_path, capsys):
    config["loader_parameters"] |= {"path_data": [str(data)], "target_suffix": ["_dseg:white mater"]}
    file = tmp_path / "config.json"
    file.write_text(json.dumps(config), encoding="utf-8")
    assert main(["--train", "-c", str(file)]) != 0
    error = capsys.readouterr().err
    assert "did you mean 'white matter'?; available: white matter, grey+matter" in error


def test_raters_and_regions(run, config):
    config["transformation"] = {"ROICrop": {"size": [16, 16]}, "NormalizeInstance": {"applied_to": ["im"]}}
    roi = {"suffix": "_dseg:1+2", "slice_filter_roi": 1}
    run("raters", [["_dseg:1", "_partial_dseg:1"]], roi_params=roi, ignore_label="_partial_dseg:255")


def test_the_data_check_knows_the_classes_of_a_map(config, data, tmp_path, capsys):
    config["loader_parameters"] |= {"path_data": [str(data)], "ignore_label": "_partial_dseg:255"}
    config["loader_parameters"]["target_suffix"] = ["_dseg:white matter", "_dseg:7"]
    file = tmp_path / "config.json"
    file.write_text(json.dumps(config), encoding="utf-8")
    assert check_data(["-c", str(file)]) == 1
    text = capsys.readouterr().out
    assert "ERROR     training set: no label _dseg:7 has a voxel" in text
    assert "no label _dseg:white matter" not in text
    assert "has no voxel of _dseg:7" in text
    roles = [line.split(" T2w ")[0].strip() for line in text.splitlines() if " T2w " in line]
    assert roles == ["image", "_dseg:white matter", "_dseg:7", "ignored"]


def test_ignored_voxels_that_no_image_has_are_an_error(config, data, tmp_path, capsys):
    config["loader_parameters"] |= {
        "path_data": [str(data)],
        "target_suffix": ["_wm"],
        "ignore_label": "ignore",
    }
    file = tmp_path / "config.json"
    file.write_text(json.dumps(config), encoding="utf-8")
    assert main(["--train", "-c", str(file), "--quiet"]) == 1
    error = capsys.readouterr().err
    assert (
        "ignore_label: no image of the training set has a label 'ignore'; available labels: _dseg, _gm"
        in error
    )


def test_grey_values_of_pictures(config, tmp_path):
    data = create_microscopy(tmp_path / "data", n=4, seed=0, size=(120, 100))
    for axon in sorted(data.glob("derivatives/labels/sub-*/*/*_seg-axon-manual.png")):
        values = np.where(iio.imread(axon) > 0, 255, 0)
        myelin = iio.imread(str(axon).replace("axon", "myelin")) > 0
        iio.imwrite(str(axon).replace("-axon-manual", ""), np.where(myelin, 127, values).astype(np.uint8))
    contrast = next(data.glob("sub-*/micr/*.png")).stem.split("_")[-1]
    config["loader_parameters"] |= {
        "path_data": [str(data)],
        "contrast_params": {"training_validation": [contrast], "testing": [contrast], "balance": {}},
        "extensions": [".png"],
    }
    config["transformation"] = {"CenterCrop": {"size": [64, 64]}, "NormalizeInstance": {"applied_to": ["im"]}}
    tables = []
    for name, suffixes in (
        ("files", ["_seg-axon-manual", "_seg-myelin-manual"]),
        ("map", ["_seg:255", "_seg:127"]),
    ):
        config["path_output"], config["loader_parameters"]["target_suffix"] = str(tmp_path / name), suffixes
        file = tmp_path / f"{name}.json"
        file.write_text(json.dumps(config), encoding="utf-8")
        for command in ("--train", "--test"):
            assert main([command, "-c", str(file), "--quiet"]) == 0
        tables.append(pd.read_csv(tmp_path / name / "results_eval" / "evaluation_3Dmetrics.csv", index_col=0))
    pd.testing.assert_frame_equal(*tables, check_exact=True)


def test_a_first_configuration_names_the_classes(data, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name, options, suffixes in (
        ("names", ["--target-suffix", "_dseg"], ["_dseg:white matter", "_dseg:grey+matter"]),
        ("union", ["--target-suffix", "_dseg:1+2"], ["_dseg:1+2"]),
    ):
        assert main(["--init", name, "--path-data", str(data), "--contrasts", "T2w", *options]) == 0
        config = json.loads((tmp_path / f"{name}.json").read_text(encoding="utf-8"))
        assert config["loader_parameters"]["target_suffix"] == suffixes
        activation = "softmax" if len(suffixes) > 1 else "sigmoid"
        assert config["default_model"]["final_activation"] == activation


def test_a_class_without_a_voxel_in_the_training_set_is_mentioned(run, caplog):
    run("absent", ["_dseg:1", "_dseg:7"], ignore_label="_dseg:8", cache="hdf5")
    assert "no voxel of _dseg:7 in the 3 images of the training set" in caplog.text
    assert "ignore_label: no voxel of _dseg:8 in the 3 images of the training set" in caplog.text
    caplog.clear()
    run("present", ["_partial_dseg:1"], ignore_label=f"_partial_dseg:{IGNORED}")
    assert "no voxel of" not in caplog.text


def test_data_sets_of_2_take_label_maps(data, tmp_path):
    suffixes = ["_dseg:white matter", "_dseg:2"]
    params = {
        "path_data": [str(data)],
        "target_suffix": suffixes,
        "contrast_params": {"contrast_lst": ["T2w"]},
    }
    bids_df = BidsDataframe(params, str(tmp_path), derivatives=True)
    names = sorted(bids_df.get_subject_fnames())
    sets = [
        BidsDataset(
            BidsDataframe({**params, "target_suffix": wanted}, str(tmp_path), derivatives=True),
            names,
            wanted,
            {"contrast_lst": ["T2w"], "balance": {}},
            {"name": "Unet"},
        )
        for wanted in (suffixes, ["_wm", "_gm"])
    ]
    assert len(sets[0]) == len(sets[1])
    for place in range(0, len(sets[0]), 7):
        of_map, of_files = (data_set[place]["gt"] for data_set in sets)
        np.testing.assert_array_equal(of_map, of_files)
    (tmp_path / "pred_masks").mkdir()
    for name in names:
        stem, subject = name.removesuffix(".nii.gz"), name.split("_")[0]
        truth = nib.load(data / f"derivatives/labels/{subject}/anat/{stem}_dseg.nii.gz")
        both = np.stack([np.asanyarray(truth.dataobj) == k for k in (1, 2)], axis=-1).astype(np.uint8)
        nib.save(nib.Nifti1Image(both, truth.affine), tmp_path / "pred_masks" / f"{stem}_pred.nii.gz")
    table = evaluate(bids_df, str(tmp_path), suffixes, {})
    assert (table[["dice_class0", "dice_class1"]] == 1).all(axis=None)
    ignoring = BidsDataframe({**params, "ignore_label": "_ignore"}, str(tmp_path), derivatives=True)
    smaller = evaluate(ignoring, str(tmp_path), suffixes, {})
    assert (smaller["vol_pred_class0"] < table["vol_pred_class0"]).all()
    with pytest.raises(ConfigError, match="ignore_label: '_ignore', but samples"):
        load_dataset(
            bids_df,
            names,
            {},
            {"name": "Unet"},
            suffixes,
            {},
            {},
            {},
            {},
            "axial",
            False,
            ignore_label="_ignore",
        )
