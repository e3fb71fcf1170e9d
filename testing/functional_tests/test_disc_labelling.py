"""Labelling of discs: from single voxels over the mid slices and heat maps to coordinates, as a user goes."""

import json

import nibabel as nib
import numpy as np
import pytest

from ivadomed.main import main as ivadomed
from ivadomed.postprocessing import coordinate_from_heatmap, label_file_from_coordinates
from ivadomed.scripts import prepare_dataset_vertebral_labeling
from ivadomed.scripts.create_phantom import create_phantom


@pytest.fixture
def prepared(tmp_path):
    data = create_phantom(tmp_path / "data", n=4, seed=3, shape=(32, 32, 48), contrasts=["T2w"])
    assert prepare_dataset_vertebral_labeling.main(["-p", str(data), "-s", "_T2w"]) == 0
    return data


def test_from_disc_labels_to_coordinates(prepared, config):
    config["loader_parameters"] |= {
        "path_data": [str(prepared)],
        "target_suffix": ["_heatmap-1"],
        "extensions": [".nii.gz"],
        "contrast_params": {"training_validation": ["T2w_mid"], "testing": ["T2w_mid"], "balance": {}},
        "slice_axis": "sagittal",
        "slice_filter_params": {"filter_empty_mask": True, "filter_empty_input": True},
        "soft_gt": True,
    }
    config["training_parameters"] |= {
        "loss": {
            "name": "LossCombination",
            "losses_list": ["AdapWingLoss", "L2loss", "DiceLoss"],
            "params_list": [None, None, None],
        },
        "training_time": {
            "num_epochs": 30,
            "early_stopping_patience": 50,
            "early_stopping_epsilon": 1e-3,
        },
    }
    config["default_model"] |= {"n_filters": 8, "dropout_rate": 0.0}
    config["postprocessing"] = {}
    config["transformation"] = {
        "CenterCrop": {"size": [48, 48]},
        "NormalizeInstance": {"applied_to": ["im"]},
    }
    path = prepared.parent / "config.json"
    path.write_text(json.dumps(config))
    assert ivadomed(["--train", "-c", str(path)]) == 0
    assert ivadomed(["--test", "-c", str(path)]) == 0

    predictions = sorted((prepared.parent / "out put" / "pred_masks").glob("*_T2w_mid_pred.nii.gz"))
    assert predictions
    found = []
    for prediction in predictions:
        heatmap = nib.load(prediction)
        subject = prediction.name.split("_")[0]
        image = nib.load(prepared / subject / "anat" / prediction.name.replace("_pred", ""))
        assert heatmap.shape == image.shape
        peaks = coordinate_from_heatmap(heatmap)
        discs = nib.load(
            prepared / "derivatives/labels" / subject / "anat" / f"{subject}_T2w_labels-disc-manual.nii.gz"
        )
        places = nib.affines.apply_affine(discs.affine, np.argwhere(discs.get_fdata() > 0))
        points = label_file_from_coordinates(heatmap, peaks)
        assert np.count_nonzero(points.get_fdata()) == len(peaks)
        for peak in nib.affines.apply_affine(heatmap.affine, np.reshape(peaks, (-1, 3))):
            # The mid slice stands for several, so left and right (x) do not count.
            found.append(float(np.linalg.norm((places - peak)[:, 1:], axis=1).min()))
    assert found
    assert np.median(found) < 5, found  # mm; of a slice of 48 mm
