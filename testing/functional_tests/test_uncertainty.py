"""Monte Carlo uncertainty of the test set: dropout, test-time augmentation, both."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from ivadomed.main import run_main


@pytest.fixture(scope="module")
def trained(study, tmp_path_factory):
    """A trained network with dropout, and the configuration it was trained with."""
    from testing.conftest import config as make  # the same configuration, but one folder for the module

    config = make.__wrapped__(study, tmp_path_factory.mktemp("run"))
    config["postprocessing"] = {}
    run_main(config)
    return config


def estimate(config, **uncertainty):
    run_main(
        {**config, "command": "test", "uncertainty": {"epistemic": False, "aleatoric": False, **uncertainty}}
    )
    folder = Path(config["path_output"]) / "pred_masks"
    case = next(folder.glob("*_unc-vox.nii.gz")).name.removesuffix("_unc-vox.nii.gz")
    return folder, case


def load(path):
    return nib.load(path).get_fdata()


@pytest.mark.parametrize(
    "kind", [{"epistemic": True}, {"aleatoric": True}, {"epistemic": True, "aleatoric": True}]
)
def test_maps_and_samples(trained, kind):
    folder, case = estimate(trained, n_it=3, **kind)
    samples = [load(folder / f"{case}_pred_{n:02d}.nii.gz") for n in range(3)]
    assert len(list(folder.glob(f"{case}_pred_[0-9]*"))) == 3
    assert np.abs(samples[0] - samples[1]).max() > 1e-3
    np.testing.assert_allclose(load(folder / f"{case}_soft.nii.gz"), np.mean(samples, axis=0), atol=1e-6)
    assert load(folder / f"{case}_unc-vox.nii.gz").max() > 0
    for name in ("cv", "iou", "avgUnc"):
        assert load(folder / f"{case}_unc-{name}.nii.gz").shape == samples[0].shape
    again = {n: load(folder / f"{case}_pred_{n:02d}.nii.gz") for n in range(3)}
    estimate(trained, n_it=3, **kind)
    for n, sample in again.items():  # same seed, same samples
        np.testing.assert_array_equal(load(folder / f"{case}_pred_{n:02d}.nii.gz"), sample)


def test_a_shorter_run_leaves_no_samples_of_a_longer_one(trained):
    estimate(trained, n_it=3, epistemic=True)
    folder, case = estimate(trained, n_it=1, epistemic=True)
    assert [path.name for path in folder.glob(f"{case}_pred_[0-9]*")] == [f"{case}_pred_00.nii.gz"]


def test_uncertain_voxels_are_removed(trained):
    config = {**trained, "postprocessing": {"uncertainty": {"thr": 0.3, "suffix": "_unc-vox.nii.gz"}}}
    folder, case = estimate(config, n_it=2, epistemic=True)
    kept, vox = load(folder / f"{case}_pred.nii.gz"), load(folder / f"{case}_unc-vox.nii.gz")
    assert (vox > 0.3).any()
    assert not kept[vox > 0.3].any()
    assert kept[vox <= 0.3].any()


def test_a_network_without_dropout_is_told(trained, tmp_path, caplog):
    config = {**trained, "path_output": str(tmp_path / "certain")}
    config["default_model"] = {**trained["default_model"], "dropout_rate": 0.0}
    config["training_parameters"] = {
        **trained["training_parameters"],
        "training_time": {"num_epochs": 1},
    }
    run_main(config)
    estimate(config, n_it=2, epistemic=True)
    assert "the network has no dropout" in caplog.text
