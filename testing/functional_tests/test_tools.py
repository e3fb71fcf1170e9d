"""The command-line tools on one small training on the phantom, as a user would call them."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import pandas as pd
import pytest

from ivadomed.main import main as ivadomed
from ivadomed.scripts import (
    compare_models,
    extract_small_dataset,
    prepare_dataset_vertebral_labeling,
    training_curve,
    visualize_and_compare_testing_models,
)

TOOLS = (
    "compare_models",
    "download_data",
    "extract_small_dataset",
    "prepare_dataset_vertebral_labeling",
    "segment_image",
    "training_curve",
    "visualize_and_compare_testing_models",
)


@pytest.fixture(scope="module")
def small(study, tmp_path_factory):
    """Four subjects of the study with T2w images only."""
    folder = tmp_path_factory.mktemp("small") / "data"
    arguments = ["-i", str(study), "-o", str(folder), "-n", "4", "-c", "T2w", "-s", "1"]
    assert extract_small_dataset.main(arguments) == 0
    return folder


@pytest.fixture(scope="module")
def run(small, tmp_path_factory):
    """A training of two epochs that was resumed for a third, and tested."""
    from testing.conftest import config as make  # the same configuration, but one folder for the module

    folder = tmp_path_factory.mktemp("run")
    config = make.__wrapped__(small, folder)
    config["loader_parameters"]["contrast_params"] |= {"training_validation": ["T2w"], "testing": ["T2w"]}
    config["split_dataset"] = {"random_seed": 1, "train_fraction": 0.25, "test_fraction": 0.5}
    path, out = folder / "config.json", folder / "out"
    for command in (["--train"], ["--train", "--resume-training"], ["--test"]):
        path.write_text(json.dumps(config))
        assert ivadomed([*command, "-c", str(path), "--path-output", str(out)]) == 0
        config["training_parameters"]["training_time"]["num_epochs"] = 3
    return out


def test_curves_of_a_resumed_training(run, tmp_path, capsys):
    assert training_curve.main(["-i", str(run), "-o", str(tmp_path), "-lr"]) == 0
    values = pd.read_csv(tmp_path / "out_training_values.csv", index_col="epoch")
    assert list(values.index) == [1, 2, 3]
    assert values[["train_loss", "val_loss", "learning_rate", "dice_score"]].notna().all(axis=None)
    plots = {Path(line).name for line in capsys.readouterr().out.split()}
    assert {"losses.png", "dice_score.png", "learning_rate.png"} <= plots


def test_violins_of_two_runs(run, tmp_path, capsys):
    other = shutil.copytree(run, tmp_path / "other")
    out = tmp_path / "violins.png"
    arguments = ["--ofolders", str(run), str(other), "--metadata", "participant_id", "-o", str(out)]
    assert visualize_and_compare_testing_models.main(arguments) == 0
    assert "out - other: mean +0 [0, 0], Wilcoxon p = 1 (2 images)" in capsys.readouterr().out
    assert out.stat().st_size > 10_000


def test_statistics_of_a_sweep(run, tmp_path, capsys):
    dice = pd.read_csv(run / "results_eval" / "evaluation_3Dmetrics.csv")["dice_class0"]
    rows = [
        {"path_output": f"{name}_n={k:02}", "test_dice": dice.mean() + shift + 0.01 * k}
        for name, shift in (("depth=2", 0), ("depth=3", 0.1))
        for k in range(3)
    ]
    pd.DataFrame(rows).to_csv(tmp_path / "results.csv")
    arguments = ["-df", str(tmp_path / "results.csv"), "-n", "3", "--run-test", "-o", str(tmp_path / "c.csv")]
    assert compare_models.main(arguments) == 0
    assert "-0.1" in capsys.readouterr().out


def test_mid_slices_can_be_trained_on(small, tmp_path):
    data = shutil.copytree(small, tmp_path / "data")
    assert prepare_dataset_vertebral_labeling.main(["-p", str(data), "-s", "_T2w", "-a", "0"]) == 0
    images = sorted(data.glob("sub-*/anat/*_mid.nii.gz"))
    assert len(images) == 4
    for image in images:
        name = image.name.replace(".nii.gz", "_heatmap0.nii.gz")
        heatmap = data / "derivatives" / "labels" / image.relative_to(data).with_name(name)
        assert nib.load(image).shape == nib.load(heatmap).shape


@pytest.mark.parametrize("tool", TOOLS)
def test_help_shows_an_example(tool):
    code = (
        f"import sys; from ivadomed.scripts.{tool} import get_parser; print(get_parser().format_help())\n"
        "print('loaded', *sorted({'torch', 'matplotlib', 'scipy.stats', 'skimage'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    text, _, loaded = done.stdout.rpartition("loaded")
    assert f"  ivadomed_{tool} -" in text.partition("example")[2]
    assert loaded.split() == []
