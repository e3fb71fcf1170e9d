"""The main job through the command line and through Python, on a tiny phantom."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import imageio.v3
import nibabel as nib
import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from ivadomed.config import CONFIG_DIR, load_config
from ivadomed.errors import DataError
from ivadomed.inference import segment_volume
from ivadomed.main import _run, get_parser, main, run_main
from ivadomed.runtime.run_lock import run_lock
from ivadomed.scripts.create_phantom import create_microscopy


def write(config: dict, tmp_path: Path) -> str:
    path = tmp_path / "config.json"
    path.write_text(json.dumps(config))
    return str(path)


@pytest.fixture(scope="module")
def trained(study, tmp_path_factory):
    """Train, test and segment once with the command line; the tests look at what came out."""
    from testing.conftest import config as make  # the same configuration, but one folder for the module

    folder = tmp_path_factory.mktemp("run")
    config = make.__wrapped__(study, folder)
    path, out = write(config, folder), str(folder / "run")
    for command in ("--train", "--test", "--eval", "--segment"):
        assert main([command, "-c", path, "--path-data", str(study), "--path-output", out]) == 0
    return Path(out), study, path


def test_files_of_a_run_have_their_names(trained):
    out, _, _ = trained
    for name in (
        "config_file.json",
        "bids_dataframe.csv",
        "split_datasets.joblib",
        "split_datasets.json",
        "version_info.log",
        "manifest.json",
        "log",
        "checkpoint.pth.tar",
        "best_model.pt",
        "final_model.pt",
        "seg_sc/seg_sc.json",
        "seg_sc/seg_sc.pt",
        "seg_sc/seg_sc.onnx",
        "results_eval/evaluation_3Dmetrics.csv",
        "results_eval/summary.csv",
        "results_eval/report.html",
    ):
        assert (out / name).is_file(), name
    assert list(out.glob("events.out.tfevents.*"))
    hidden = [path.relative_to(out).as_posix() for path in out.rglob(".*")]
    assert hidden == ["segmentations/.bidsignore"]  # no temporary file is left


def test_log_has_the_lines_other_programs_read(trained):
    text = (trained[0] / "log").read_text(encoding="utf-8")
    for epoch in (1, 2):
        assert f"Epoch {epoch} training loss: -0." in text
        assert f"Epoch {epoch} validation loss: -0." in text
    assert "Selected architecture: Unet" in text
    assert "WARNING" not in text


def test_predictions_lie_on_the_grid_of_their_image(trained):
    out, study, _ = trained
    predictions = [p for p in (out / "pred_masks").glob("*_pred.nii.gz") if "_class-" not in p.name]
    assert predictions
    for path in predictions:
        name = path.name.removesuffix("_pred.nii.gz")
        image = nib.load(study / name.split("_")[0] / "anat" / f"{name}.nii.gz")
        prediction = nib.load(path)
        assert prediction.shape == image.shape
        np.testing.assert_allclose(prediction.affine, image.affine, atol=1e-6)
        assert prediction.header["qform_code"] == image.header["qform_code"]
        assert prediction.get_data_dtype() == np.uint8
        assert (out / "results_eval" / "overlays" / f"{name}.png").is_file()


def test_segment_writes_one_file_per_image_and_agrees_with_segment_volume(trained):
    out, study, _ = trained
    images = sorted(p for c in ("T1w", "T2w") for p in study.glob(f"sub-*/anat/*_{c}.nii.gz"))
    files = sorted((out / "pred_masks").glob("*_class-0_pred.nii.gz"))
    assert [f.name.removesuffix("_class-0_pred.nii.gz") for f in files] == sorted(
        p.name.removesuffix(".nii.gz") for p in images
    )
    image = next(p for p in images if p.name.endswith("_T2w.nii.gz"))
    [one], [name] = segment_volume(str(out / "seg_sc"), [str(image)], gpu_id=None)
    assert name == "_seg-manual"
    written = nib.load(out / "pred_masks" / image.name.replace(".nii.gz", "_class-0_pred.nii.gz"))
    np.testing.assert_array_equal(np.asanyarray(one.dataobj), np.asanyarray(written.dataobj))


def test_segmentations_are_a_data_set_with_the_same_voxels(trained):
    out, _, _ = trained
    description = json.loads((out / "segmentations" / "dataset_description.json").read_text())
    assert description["GeneratedBy"][0]["Name"] == "ivadomed"
    files = sorted((out / "segmentations").glob("sub-*/anat/*_seg-manual_pred.nii.gz"))
    assert len(files) == 12
    for file in files:
        numbered = out / "pred_masks" / file.name.replace("_seg-manual_pred", "_class-0_pred")
        assert file.read_bytes() == numbered.read_bytes()
        mapped = nib.load(file.with_name(file.name.replace("_seg-manual_pred", "_dseg")))
        np.testing.assert_array_equal(np.asanyarray(mapped.dataobj), np.asanyarray(nib.load(file).dataobj))


def test_images_of_another_data_set_stay_out_of_the_folder_of_the_test_set(trained, tmp_path):
    out, study, path = trained
    run, new = shutil.copytree(out, tmp_path / "run"), tmp_path / "new"
    shutil.copytree(study, new, ignore=shutil.ignore_patterns("derivatives", "sub-00[2-9]"))
    before = sorted((file, file.stat().st_mtime_ns) for file in (run / "pred_masks").iterdir())
    arguments = ["-c", path, "--path-data", str(new), "--path-output", str(run), "--quiet"]
    shutil.rmtree(run / "segmentations")
    assert main(["--segment", *arguments]) == 0
    assert sorted((file, file.stat().st_mtime_ns) for file in (run / "pred_masks").iterdir()) == before
    assert len(list((run / "segmentations").glob("sub-001/anat/*_dseg.nii.gz"))) == 2
    assert main(["--eval", "--no-label-map", *arguments]) == 1


def test_a_test_says_what_to_do_next(trained, caplog):
    out, study, path = trained
    arguments = ["-c", path, "--path-data", str(study), "--path-output", str(out)]
    assert main(["--test", *arguments]) == 0
    lines = caplog.messages
    first = next(number for number, line in enumerate(lines) if line.startswith("Next"))
    assert lines[first].endswith(str(out / "results_eval" / "report.html"))
    worst = re.search(r"the worst case, (\S+) \(dice [\d.]+\): (.+)", lines[first + 1])
    assert Path(worst[2]) == out / "results_eval" / "overlays" / f"{worst[1]}.png"
    assert Path(worst[2]).is_file()
    assert f"ivadomed --segment --model {out / 'seg_sc'} --path-data" in lines[first + 2]


def test_table_has_a_row_per_test_image_and_documented_columns(trained):
    table = pd.read_csv(trained[0] / "results_eval" / "evaluation_3Dmetrics.csv", index_col="image_id")
    split = json.loads((trained[0] / "split_datasets.json").read_text())
    assert sorted(table.index) == sorted(
        name.removesuffix(".nii.gz") for name in split["test"] if "T2star" not in name
    )
    for column in ("dice_class0", "avd_class0", "ltpr_class0", "n_pred_class0", "vol_gt_class0"):
        assert column in table


def test_tensorboard_has_losses_metrics_and_images(trained):
    def scalars(folder, tag):
        events = EventAccumulator(str(folder)).Reload()
        return [event.step for event in events.Scalars(tag)]

    out = trained[0]
    for tag in ("losses/train_loss", "losses/val_loss", "Validation/Metrics/dice_score", "learning_rate"):
        assert scalars(out, tag) == [1, 2]
    assert {file.parent for file in out.rglob("events.out.tfevents.*")} == {out}  # one run of TensorBoard
    images = EventAccumulator(str(out), size_guidance={"images": 0}).Reload().Tags()["images"]
    assert {"Training/Input", "Validation/Predictions", "Validation/Ground Truth"} <= set(images)


def test_eval_scores_predictions_made_elsewhere(trained, tmp_path, capsys):
    out, study, path = trained
    split = json.loads((out / "split_datasets.json").read_text())
    target = tmp_path / "elsewhere"
    (target / "pred_masks").mkdir(parents=True)
    (target / "split_datasets.json").write_text(json.dumps(split))
    for name in split["test"]:
        stem = name.removesuffix(".nii.gz")
        label = study / "derivatives" / "labels" / stem.split("_")[0] / "anat" / f"{stem}_seg-manual.nii.gz"
        (target / "pred_masks" / f"{stem}_pred.nii.gz").write_bytes(label.read_bytes())
    one = next((target / "pred_masks").iterdir())
    one.rename(one.with_name(one.name.replace("_pred", "_class-0_pred")))
    (target / "pred_masks" / "sub-99_T1w_pred.nii.gz").write_bytes(b"")
    assert main(["--eval", "-c", path, "--path-output", str(target)]) == 0
    table = pd.read_csv(target / "results_eval" / "evaluation_3Dmetrics.csv", index_col="image_id")
    for metric, value in (("dice", 1), ("rvd", 0), ("hd95", 0), ("nsd", 1), ("lf1", 1)):
        assert (table[f"{metric}_class0"] == value).all()
    assert "left out: sub-99_T1w_pred.nii.gz" in (target / "log").read_text()
    summary = pd.read_csv(target / "results_eval" / "summary.csv")
    assert set(summary["contrast"]) == {"all", "T1w", "T2w"}
    shifted = nib.load(one := next((target / "pred_masks").glob("*_pred.nii.gz")))
    shifted.affine[0, 3] += 50
    nib.save(nib.Nifti1Image(np.asanyarray(shifted.dataobj), shifted.affine), one)
    assert main(["--eval", "-c", path, "--path-output", str(target)]) == 1
    assert f"{one} lies on another grid than" in capsys.readouterr().err


def test_nothing_is_written_into_the_data_set(trained):
    _, study, _ = trained
    newest = max(p.stat().st_mtime_ns for p in study.rglob("*"))
    assert newest < (trained[0] / "log").stat().st_mtime_ns - 1_000_000
    assert not [p for p in study.rglob("*") if p.name.startswith(".")]


def weights(folder, name="final_model.pt"):
    return torch.load(Path(folder) / name, weights_only=True)["state_dict"]


def same(a, b):
    assert a.keys() == b.keys()
    return all(torch.equal(a[key], b[key]) for key in a)


def test_python_returns_results_and_two_runs_are_equal(config, tmp_path):
    first = run_main({**config, "path_output": str(tmp_path / "a")})
    second = run_main({**config, "path_output": str(tmp_path / "b")})
    assert len(first) == 4
    assert first == second
    assert same(weights(tmp_path / "a"), weights(tmp_path / "b"))
    table, metrics = run_main({**config, "path_output": str(tmp_path / "a"), "command": "test"})
    assert set(metrics) >= {"dice_score", "hausdorff_score"}
    again = run_main({**config, "path_output": str(tmp_path / "a"), "command": "eval"})
    pd.testing.assert_frame_equal(table, again)


def test_augmentation_on_the_device_trains_as_in_workers(config, tmp_path):
    # The inputs agree to 1e-6; mixed precision and a large learning rate would make more of that.
    config["training_parameters"] |= {"precision": "32", "num_workers": 1}
    config["training_parameters"]["scheduler"]["initial_lr"] = 0.001
    config["transformation"]["ElasticTransform"] = {"alpha_range": [8, 9], "sigma_range": [2, 3], "p": 0.5}
    results = []
    for where in ("worker", "device"):
        config["training_parameters"]["augment_on"] = where
        results.append(run_main({**config, "path_output": str(tmp_path / where)}))
    assert results[1] == pytest.approx(results[0], abs=1e-3)


def test_resumed_training_equals_an_uninterrupted_one_bit_for_bit(config, tmp_path):
    config["training_parameters"]["training_time"]["num_epochs"] = 3
    whole = run_main({**config, "path_output": str(tmp_path / "whole")})
    # Killed without warning in the middle: what counts is the checkpoint of the last whole epoch.
    out = tmp_path / "halves"
    path = write({**config, "path_output": str(out)}, tmp_path)
    process = subprocess.Popen([sys.executable, "-m", "ivadomed", "--train", path], stdout=subprocess.DEVNULL)
    while not (out / "checkpoint.pth.tar").exists():
        assert process.poll() is None
        time.sleep(0.02)
    process.kill()
    process.wait()
    resumed = _run(get_parser().parse_args(["--train", path, "--resume-training"]))
    assert resumed == whole
    assert same(weights(tmp_path / "whole"), weights(out))
    assert same(weights(tmp_path / "whole", "best_model.pt"), weights(out, "best_model.pt"))


PATCHES = {"applied": True, "length_3D": [32, 16, 16], "stride_3D": [32, 16, 16], "n_filters": 2}


@pytest.mark.parametrize("is_2d", [True, False])
def test_numbers_depend_neither_on_the_worker_processes_nor_on_an_interruption(config, tmp_path, is_2d):
    config["default_model"]["dropout_rate"] = 0.4
    restarts = {"name": "CosineAnnealingWarmRestarts", "T_0": 3}  # not a matter of num_epochs
    config["training_parameters"]["scheduler"]["lr_scheduler"] = restarts
    if not is_2d:
        config |= {"Modified3DUNet": PATCHES}
        config["transformation"]["CenterCrop"] = {"size": [32, 32, 16]}
    results = {}
    for workers in (0, 1, 2):
        config["training_parameters"]["num_workers"] = workers
        for epochs in ((2,), (1, 2)):
            out = tmp_path / f"{workers} {epochs}"
            for until in epochs:
                config["training_parameters"]["training_time"]["num_epochs"] = until
                path = write({**config, "path_output": str(out)}, tmp_path)
                resume = ["--resume-training"] if until != epochs[0] else []
                assert main(["--train", *resume, path]) == 0
            results[workers, epochs] = weights(out)
    whole = results.pop((0, (2,)))
    assert [key for key, other in results.items() if not same(whole, other)] == []


def test_a_finished_training_is_not_done_again(config, tmp_path, caplog):
    """The tutorial's command, given twice."""
    config["training_parameters"]["training_time"]["num_epochs"] = 1
    path, out = write(config, tmp_path), tmp_path / "other name"
    command = [
        "--train",
        "-c",
        path,
        "--path-data",
        *config["loader_parameters"]["path_data"],
        "--path-output",
    ]
    assert main([*command, str(out)]) == 0
    results = json.loads(json.dumps(run_main({**config, "path_output": str(out), "log_file": "other"})))
    assert np.isfinite(results).all()
    assert len(results) == 4
    before = {file: file.stat().st_mtime_ns for file in out.rglob("*")}
    caplog.clear()
    assert main([*command, str(out)]) == 0
    assert f"already trained: {out / 'seg_sc'}; --overwrite trains it again" in caplog.text
    assert {file: file.stat().st_mtime_ns for file in out.rglob("*")} == before
    for more in (["--thr-increment", "0.5"], ["--gif", "1"]):  # which the first training was not asked for
        assert main([*command, str(out), *more]) == 1
    config["training_parameters"]["training_time"]["num_epochs"] = 2
    assert main(["--train", write({**config, "path_output": str(out)}, tmp_path)]) == 1
    config["training_parameters"]["training_time"]["num_epochs"] = 1
    (out / "final_model.pt").unlink()  # as of a run that was killed
    assert main(["--train", write({**config, "path_output": str(out)}, tmp_path)]) == 1


def test_a_trained_model_is_replaced_only_on_request(config, tmp_path, capsys):
    config["training_parameters"]["training_time"]["num_epochs"] = 1
    run_main(config)
    config["training_parameters"]["batch_size"] = 3
    out, path = Path(config["path_output"]), write(config, tmp_path)
    before, log = weights(out), (out / "log").read_bytes()
    assert main(["--train", path]) == 1
    error = capsys.readouterr().err
    assert f"{out}: already holds a trained model" in error
    assert "--overwrite" in error
    assert (out / "log").read_bytes() == log  # nothing was touched
    config["training_parameters"]["seed"] = 3
    assert main(["--train", "--overwrite", write(config, tmp_path)]) == 0
    assert not same(before, weights(out))
    assert len(list(out.glob("events.out.tfevents.*"))) == 1
    assert main(["--train", "--overwrite", "--resume-training", path]) == 1
    assert main(["--test", "--overwrite", path]) == 1
    assert "--overwrite belongs to --train" in capsys.readouterr().err


def test_two_runs_in_one_folder(config, tmp_path, capsys):
    out = Path(config["path_output"])
    out.mkdir()
    with run_lock(out):
        done = subprocess.run(
            [sys.executable, "-m", "ivadomed", "--train", write(config, tmp_path)],
            capture_output=True,
            text=True,
        )
    assert done.returncode == 1
    assert f"another run (process {os.getpid()} on" in done.stderr
    assert list(out.iterdir()) == []


def test_a_run_leaves_alone_what_a_run_in_a_folder_within_its_own_writes(config, tmp_path):
    outer = Path(config["path_output"])
    inner, own = outer / "second", outer / "pred_masks"
    half = [
        place / ".best_model~0123abcd.pt" for place in (inner, own, outer / "cache", inner / "pred_masks")
    ]
    for file in half:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    with run_lock(inner):
        run_main(config)
    assert [file.exists() for file in half] == [True, False, True, True]


def test_resuming_a_finished_run_trains_no_further(config):
    run_main(config)
    before = weights(config["path_output"])
    path = Path(config["path_output"]).parent
    assert main(["--train", "--resume-training", write(config, path)]) == 0
    assert same(before, weights(config["path_output"]))


def test_resuming_under_another_configuration_is_refused(config, tmp_path, capsys):
    run_main(config)
    config["training_parameters"]["batch_size"] = 4
    assert main(["--train", "--resume-training", write(config, tmp_path)]) == 1
    assert "training_parameters.batch_size was 8 and is 4" in capsys.readouterr().err


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_interrupt_stops_between_two_steps_and_says_how_to_continue(config, tmp_path, signum):
    config["training_parameters"]["training_time"]["num_epochs"] = 500
    config["training_parameters"]["num_workers"] = 1
    path = write(config, tmp_path)
    process = subprocess.Popen(
        [sys.executable, "-m", "ivadomed", "--train", path],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    while not (Path(config["path_output"]) / "checkpoint.pth.tar").exists():
        assert process.poll() is None
        time.sleep(0.02)
    # As a terminal or a batch scheduler does: to the workers too.
    os.killpg(process.pid, signum)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 128 + signum
    assert "--resume-training" in errors
    assert "Traceback" not in errors


def test_errors_are_short_and_name_the_key(config, tmp_path, capsys):
    config["training_parameters"]["batch_sise"] = 4
    assert main(["--train", "-c", write(config, tmp_path)]) == 1
    error = capsys.readouterr().err
    assert "training_parameters.batch_sise" in error.replace(":", ".")
    assert "batch_size" in error
    assert "Traceback" not in error
    assert main(["--train", "-c", str(tmp_path / "no.json")]) == 1
    assert "no.json" in capsys.readouterr().err


def test_command_in_the_file_and_positional_configuration(config, tmp_path):
    assert main([write(config, tmp_path)]) == 0
    assert (Path(config["path_output"]) / "best_model.pt").is_file()


def test_three_dimensional_training_and_prediction(config, tmp_path):
    config["Modified3DUNet"] = {
        "applied": True,
        "length_3D": [32, 32, 16],
        "stride_3D": [32, 32, 16],
        "n_filters": 2,
    }
    config["transformation"] = {
        "Resample": {"hspace": 1.5, "wspace": 1.5, "dspace": 3},
        "CenterCrop": {"size": [32, 32, 16]},
        "NormalizeInstance": {"applied_to": ["im"]},
    }
    config["loader_parameters"]["contrast_params"] = {"training_validation": ["T2w"], "testing": ["T2w"]}
    config["training_parameters"] |= {"batch_size": 2}
    config["training_parameters"]["training_time"]["num_epochs"] = 1
    run_main(config)
    table, _ = run_main({**config, "command": "test"})
    assert len(table)


def test_several_classes_and_channels(config):
    config["loader_parameters"] |= {"target_suffix": ["_seg-manual", "_csfseg-manual"]}
    config["training_parameters"]["training_time"]["num_epochs"] = 1
    run_main(config)
    table, _ = run_main({**config, "command": "test"})
    assert {"dice_class0", "dice_class1"} <= set(table.columns)
    image = next(Path(config["loader_parameters"]["path_data"][0]).glob("sub-*/anat/*_T1w.nii.gz"))
    images, names = segment_volume(
        Path(config["path_output"]) / "seg_sc", image, options={"binarize_prediction": 0}
    )
    assert names == ["_seg-manual", "_csfseg-manual"]
    assert [i.get_data_dtype() for i in images] == [np.float32, np.float32]


def test_best_threshold_is_searched_and_kept(config, tmp_path):
    config["training_parameters"]["training_time"]["num_epochs"] = 1
    path = write(config, tmp_path)
    assert main(["--train", "-c", path, "--thr-increment", "0.25"]) == 0
    out = Path(config["path_output"])
    kept = json.loads((out / "config_file.json").read_text())["postprocessing"]
    assert kept["binarize_prediction"]["thr"] in (0.25, 0.5, 0.75)
    assert list(kept) == ["binarize_prediction", "keep_largest"]
    packaged = json.loads((out / "seg_sc" / "seg_sc.json").read_text())["postprocessing"]
    assert packaged == kept
    assert (out / "thr.png").is_file()


def test_help_answers_without_loading_anything_heavy():
    code = """
import sys
from ivadomed.main import main
try:
    main(["--help"])
except SystemExit:
    pass
assert not {"torch", "numpy", "pandas", "pydantic", "nibabel"} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)


def test_inference_imports_little():
    code = """
import sys
from ivadomed.inference import segment_volume
heavy = {"pandas", "bids", "sklearn", "skimage", "matplotlib", "tensorboard"} & set(sys.modules)
assert not heavy, heavy
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_micrographs_with_patches_and_two_classes(tmp_path):
    data = create_microscopy(tmp_path / "data", n=4, seed=0, size=(200, 180))
    config = load_config(
        CONFIG_DIR / "config_microscopy.json",
        {
            "path_output": str(tmp_path / "run"),
            "model_name": "fibres",
            "gpu_ids": [],
            "loader_parameters.path_data": [str(data)],
            "default_model": {"depth": 2, "n_filters": 4, "length_2D": [64, 64], "stride_2D": [48, 48]},
            "training_parameters.batch_size": 4,
            "training_parameters.num_workers": 0,
            "training_parameters.training_time.num_epochs": 1,
            "evaluation_parameters.object_detection_metrics": True,
            "transformation": {
                "Resample": {"hspace": 0.0002, "wspace": 0.0002},
                "NormalizeInstance": {"applied_to": ["im"]},
            },
        },
    ).to_json()
    run_main(config)
    table, _ = run_main({**config, "command": "test"})
    assert {"dice_class0", "dice_class1"} <= set(table.columns)
    for path in (tmp_path / "run" / "pred_masks").glob("*_pred*.nii.gz"):
        path.unlink()
    # From the pictures of the classes alone, the numbers are the same.
    pd.testing.assert_frame_equal(run_main({**config, "command": "eval"}), table)
    for image in table.index:
        painted = imageio.v3.imread(tmp_path / "run" / "pred_masks" / f"{image}_class-0_pred_TP-FP-FN.png")
        assert set(np.unique(painted)) <= {0, 85, 170, 255}
    files = run_main({**config, "command": "segment"})
    picture = next(data.glob("sub-*/micr/*.png"))
    shape = imageio.v3.imread(picture).shape[:2]
    for k in (0, 1):
        name = picture.name.replace(".png", f"_class-{k}_pred.png")
        assert imageio.v3.imread(tmp_path / "run" / "pred_masks" / name).shape == shape
    assert len(files) == 8
    folder = tmp_path / "run" / "segmentations" / picture.relative_to(data).parent
    joined = np.asarray(Image.open(folder / picture.name.replace(".png", "_dseg.png")))
    assert joined.shape == shape
    assert set(np.unique(joined)) <= {0, 1, 2}
    assert (
        imageio.v3.imread(folder / picture.name.replace(".png", "_seg-axon-manual_pred.png")).shape == shape
    )


def test_region_of_interest(config):
    config["loader_parameters"] |= {
        "target_suffix": ["_gmseg-manual"],
        "roi_params": {"suffix": "_seg-manual", "slice_filter_roi": 2},
    }
    config["transformation"] = {"ROICrop": {"size": [16, 16]}, "NormalizeInstance": {"applied_to": ["im"]}}
    run_main(config)
    table, _ = run_main({**config, "command": "test"})
    assert len(table)
    image = next(Path(config["loader_parameters"]["path_data"][0]).glob("sub-001/anat/*_T2w.nii.gz"))
    model = Path(config["path_output"]) / "seg_sc"
    with pytest.raises(DataError, match="region of interest"):
        segment_volume(model, image)
    labels = Path(config["loader_parameters"]["path_data"][0]) / "derivatives" / "labels" / "sub-001" / "anat"
    prior = labels / "sub-001_T2w_seg-manual.nii.gz"
    [result], _ = segment_volume(model, image, options={"fname_prior": str(prior)})
    assert result.shape == nib.load(image).shape


def test_a_training_can_be_watched(config, tmp_path, monkeypatch):
    config["wandb"] = {"project_name": "mine"}
    config["debugging"] = True
    config["training_parameters"]["mixup_alpha"] = 0.4
    monkeypatch.setenv("WANDB_MODE", "offline")
    assert main(["--train", "--gif", "2", write(config, tmp_path)]) == 0
    folder = Path(config["path_output"])
    gifs = sorted((folder / "gifs").glob("*.gif"))
    assert len(gifs) == 2
    assert all(re.fullmatch(r"sub-\d+_T[12]w(_\d+){3}", gif.stem) for gif in gifs)
    for gif in gifs:
        frames = sorted(p.name for p in (folder / "gifs" / gif.stem).iterdir())
        assert frames == ["epoch_0001.png", "epoch_0002.png"]
    assert len(list((folder / "mixup").glob("*.png"))) == 2  # one an epoch
    [run] = (folder / "wandb").glob("offline-run-*/run-*.wandb")
    assert b"Validation/Metrics/dice_score" in run.read_bytes()
