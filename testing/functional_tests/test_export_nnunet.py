"""The data and the split of a run, exported for nnU-Net and read back."""

import json

import numpy as np
import pytest

from ivadomed.config import CONFIG_DIR, load_config
from ivadomed.loader.build import draw_split, index_data, list_cases, saved_split
from ivadomed.loader.cases.volumes import read_volume
from ivadomed.scripts import export_nnunet
from ivadomed.scripts.create_phantom import create_phantom

CONTRASTS = ["T1w", "T2w"]
CLASSES = ["_seg-manual", "_gmseg-manual"]  # one within the other


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "my_study"
    return create_phantom(folder, n=7, seed=0, size="tiny", contrasts=CONTRASTS, coregistered=True)


@pytest.fixture
def config(study, tmp_path):
    content = json.loads((CONFIG_DIR / "config_small.json").read_text())
    content["loader_parameters"] |= {
        "path_data": [str(study)],
        "multichannel": True,
        "target_suffix": CLASSES,
        "contrast_params": {"training_validation": CONTRASTS, "testing": CONTRASTS},
    }
    content["path_output"] = str(tmp_path / "run")
    content["split_dataset"] = {"train_fraction": 0.5, "test_fraction": 0.3, "random_seed": 3}
    return content


def export(tmp_path, config, *options):
    path = tmp_path / "config.json"
    path.write_text(json.dumps(config))
    return export_nnunet.main(["-c", str(path), "-o", str(tmp_path / "raw"), *options])


def cases_of(config, folder, saved):
    """Cases of each side by subject."""
    folder.mkdir(exist_ok=True)
    bids_df = index_data(config, folder)
    split = (saved_split if saved else draw_split)(config, bids_df, folder)
    found = {side: list_cases(config, bids_df, split[side], "training").cases for side in split}
    return {side: {case.subject: case for case in cases} for side, cases in found.items()}


def test_what_is_exported_reads_as_what_was_trained_on(config, tmp_path, capsys):
    parsed = load_config(config)
    ours = cases_of(parsed, tmp_path / "run", saved=False)  # the run left its split
    assert export(tmp_path, config, "--number", "12") == 0
    raw = tmp_path / "raw/Dataset012_mystudy"
    screen = capsys.readouterr().out
    assert f"5 cases to train and validate (1 fold), 2 to test in {raw}" in screen
    description = json.loads((raw / "dataset.json").read_text())
    assert description["channel_names"] == {"0": "T1w", "1": "T2w"}
    assert description["labels"] == {"background": 0, "seg-manual": [1, 2], "gmseg-manual": [2]}
    back = load_config(
        {
            **config,
            "path_output": str(tmp_path / "back"),
            "split_dataset": {"fname_split": str(raw / "splits_final.json")},
        },
        {
            "loader_parameters.path_data": [str(raw)],
            "loader_parameters.target_suffix": ["_dseg:seg-manual", "_dseg:gmseg-manual"],
        },
    )
    theirs = cases_of(back, tmp_path / "back", saved=False)
    assert {name: list(side) for name, side in theirs.items()} == {
        name: list(side) for name, side in ours.items()
    }
    assert len(theirs["test"]) == 2
    for side, cases in ours.items():
        for subject, case in cases.items():
            one, other = (read_volume(each, 2) for each in (case, theirs[side][subject]))
            assert np.array_equal(one.image, other.image)
            assert np.array_equal(one.target, other.target)
            assert np.allclose(one.grid.affine, other.grid.affine)
    assert export(tmp_path, config, "--number", "12") != 0
    assert "Dataset012_mystudy" in capsys.readouterr().err


def test_all_folds_of_contrasts_that_are_cases_of_their_own(config, tmp_path, capsys):
    config["loader_parameters"] |= {"multichannel": False, "target_suffix": CLASSES[:1]}
    config["split_dataset"] = {"n_folds": 3, "fold": "all", "test_fraction": 0.2}
    assert export(tmp_path, config, "--name", "Cord") == 0
    raw = tmp_path / "raw/Dataset001_Cord"
    folds = json.loads((raw / "splits_final.json").read_text())
    images = sorted(path.name.removesuffix("_0000.nii.gz") for path in (raw / "imagesTr").iterdir())
    assert len(folds) == 3
    assert len(images) == 2 * 6
    assert sorted(name for fold in folds for name in fold["val"]) == images
    assert all(sorted(fold["train"] + fold["val"]) == images for fold in folds)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [("--number", "0", "--number: 0; expected 1 to 999"), ("--name", "a b", "expected letters and digits")],
)
def test_what_nnunet_cannot_read_is_refused(config, tmp_path, capsys, option, value, message):
    assert export(tmp_path, config, option, value) != 0
    assert message in capsys.readouterr().err
