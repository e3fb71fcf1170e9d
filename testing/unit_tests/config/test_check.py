"""Keys without effect: a line for each that stands in a file, none for files that say nothing in vain."""

import re

import pytest
import torch

from ivadomed.config import RunConfig, load_config
from ivadomed.errors import ConfigError
from ivadomed.losses import LOSSES

THREE_D = {"applied": True, "length_3D": [32, 32, 16]}
ROI = {"suffix": "_seg", "slice_filter_roi": 10}


def cyclic(**keys):
    return {"training_parameters": {"scheduler": {"lr_scheduler": {"name": "CyclicLR", **keys}}}}


@pytest.mark.parametrize(
    ("tree", "place"),
    [
        ({"Modified3DUNet": {"attention": True}}, "Modified3DUNet"),
        ({"Modified3DUNet": THREE_D, "default_model": {"depth": 5}}, "default_model.depth"),
        ({"Modified3DUNet": {**THREE_D, "depth": 2}}, "Modified3DUNet.depth"),
        ({"Modified3DUNet": THREE_D, "default_model": {"length_2D": [32, 32]}}, "default_model.length_2D"),
        ({"default_model": {"length_3D": [32, 32, 32]}}, "default_model.length_3D"),
        ({"loader_parameters": {"roi_params": ROI}}, "loader_parameters.roi_params.slice_filter_roi"),
        (
            {"loader_parameters": {"roi_params": ROI}, "Modified3DUNet": THREE_D}
            | {"transformation": {"ROICrop": {"size": [32, 32, 16]}}},
            "loader_parameters.roi_params.slice_filter_roi",
        ),
        (
            {"loader_parameters": {"slice_filter_params": {"classifier_path": "a.pt"}}},
            "loader_parameters.slice_filter_params.classifier_path",
        ),
        (
            {"loader_parameters": {"patch_filter_params": {"filter_empty_mask": True}}},
            "loader_parameters.patch_filter_params.filter_empty_mask",
        ),
        ({"loader_parameters": {"is_input_dropout": True}}, "loader_parameters.is_input_dropout"),
        ({"loader_parameters": {"cache": "none", "cache_dir": "x"}}, "loader_parameters.cache_dir"),
        (
            {"training_parameters": {"transfer_learning": {"retrain_fraction": 0.5}}},
            "training_parameters.transfer_learning.retrain_fraction",
        ),
        (
            {"training_parameters": {"transfer_learning": {"reset": False}}},
            "training_parameters.transfer_learning.reset",
        ),
        (cyclic(max_momentum=0.9), "training_parameters.scheduler.lr_scheduler.max_momentum"),
        (cyclic(gamma=0.9), "training_parameters.scheduler.lr_scheduler.gamma"),
        ({"split_dataset": {"fold": 2}}, "split_dataset.fold"),
        (
            {"object_detection_params": {"safety_factor": [1.1, 1.1, 1.0]}},
            "object_detection_params.safety_factor",
        ),
        ({"uncertainty": {"n_it": 5}}, "uncertainty.n_it"),
        ({"uncertainty": {"epistemic": True}}, "uncertainty.epistemic"),
        (
            {"evaluation_parameters": {"object_detection_metrics": False, "overlap": {"thr": 3}}},
            "evaluation_parameters.overlap",
        ),
        (
            {"evaluation_parameters": {"surface_metrics": False, "surface_tolerance_mm": 2}},
            "evaluation_parameters.surface_tolerance_mm",
        ),
        ({"transformation": {"RandomReverse": {"dataset_type": []}}}, "transformation.RandomReverse"),
    ],
)
def test_one_line_for_a_key_without_effect(tree, place, caplog):
    load_config(tree)
    [record] = caplog.records
    assert record.getMessage().startswith(f"configuration: {place}: ")
    assert "no effect" in record.getMessage()


@pytest.mark.parametrize(
    "tree",
    [
        RunConfig().to_json(),
        {"Modified3DUNet": {"applied": False, "attention": True, "length_3D": [32, 32, 16]}},
        {"Modified3DUNet": THREE_D, "default_model": {"depth": 4, "is_2d": True}},
        {"loader_parameters": {"roi_params": ROI}, "transformation": {"ROICrop": {"size": [32, 32]}}},
        {
            "loader_parameters": {
                "multichannel": True,
                "is_input_dropout": True,
                "contrast_params": {"training_validation": ["T1w", "T2w"]},
            }
        },
        cyclic(mode="exp_range", gamma=0.9, cycle_momentum=True, max_momentum=0.9),
        {"split_dataset": {"n_folds": 3, "fold": 2}},
        {"uncertainty": {"n_it": 5, "aleatoric": True}},
        {"default_model": {"name": "a.b:Net", "depth": 7, "attention": True}},
    ],
)
def test_no_word_where_all_has_an_effect(tree, caplog):
    load_config(tree)
    assert not caplog.records


class WithoutMask(torch.nn.Module):
    def forward(self, prediction, target):
        return (prediction - target).sum()


def without_mask(prediction, groundtruth):
    return 0.0


OWN_LOSS = f"{__name__}:WithoutMask"


@pytest.mark.parametrize(
    ("tree", "message"),
    [
        (
            {"training_parameters": {"loss": {"name": OWN_LOSS}}},
            f"the forward of {OWN_LOSS} takes no mask of the voxels that count",
        ),
        (
            {
                "training_parameters": {
                    "loss": {"name": "LossCombination", "losses_list": ["DiceLoss", OWN_LOSS]}
                }
            },
            f"the forward of {OWN_LOSS} takes no mask",
        ),
        (
            {"evaluation_parameters": {"metrics": ["accuracy_score", f"{__name__}:without_mask"]}},
            f"evaluation_parameters.metrics: {__name__}:without_mask takes no mask",
        ),
        ({"default_model": {"name": "resnet18"}}, "resnet18 classifies whole slices; set it to null"),
    ],
)
def test_what_cannot_ignore_voxels_is_refused(tree, message):
    assert load_config(tree).loader_parameters.ignore_label is None
    with pytest.raises(ConfigError, match=re.escape("ignore_label: is '_dseg:255', but ")) as error:
        load_config(tree, {"loader_parameters.ignore_label": "_dseg:255"})
    assert message in str(error.value)
    assert str(error.value).count("\n") == 1  # one problem


def test_all_of_our_losses_and_metrics_can_ignore_voxels():
    for name in LOSSES:
        loss = {"name": name} | ({"losses_list": ["DiceLoss"]} if name == "LossCombination" else {})
        load_config(
            {
                "loader_parameters": {"ignore_label": "_ignore"},
                "training_parameters": {"loss": loss},
                "evaluation_parameters": {"metrics": ["accuracy_score", "mse"]},
            }
        )


@pytest.mark.parametrize(
    "loader",
    [
        {"target_suffix": ["_dseg:"]},
        {"target_suffix": [["_r1:1", "_r2:"]]},
        {"roi_params": {"suffix": "_seg:1+"}},
        {"ignore_label": ":255"},
    ],
)
def test_labels_that_cannot_be_parsed_are_refused(loader):
    with pytest.raises(ConfigError, match="expected"):
        load_config({"loader_parameters": loader})


@pytest.mark.parametrize(
    ("target", "ignored", "fits"),
    [
        (["_dseg:1", "_dseg:2"], "_dseg:2", False),
        ([["_r1:1", "_r2:1"]], "_r2:1+255", False),
        (["_seg"], "_seg", False),
        (["_dseg:1", "_dseg:2"], "_dseg:255", True),
        (["_dseg:1"], "_other:1", True),
    ],
)
def test_classes_are_not_ignored(target, ignored, fits):
    loader = {"loader_parameters": {"target_suffix": target, "ignore_label": ignored}}
    if fits:
        assert load_config(loader).loader_parameters.ignore_label == ignored
    else:
        with pytest.raises(ConfigError, match=re.escape(f"ignore_label: {ignored!r} excludes all voxels of")):
            load_config(loader)
