"""Candidates, and what a budget in minutes makes of them."""

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ivadomed.commands.init import NAMES
from ivadomed.config import load_config
from ivadomed.geometry.grid import Grid
from ivadomed.models.registry import Footprint
from ivadomed.suggest.candidates import candidates, lowered
from ivadomed.suggest.choices import suggest, tree
from ivadomed.suggest.foreground import NOTHING, Foreground, Intensities
from ivadomed.suggest.labels import LabelKind, Targets
from ivadomed.suggest.plan import StudyPlan, extrapolated
from ivadomed.suggest.recipe import LADDER
from ivadomed.suggest.sizes import Machine
from ivadomed.suggest.survey import Survey

SLOW = Machine(gpu=False, memory=8 << 30, pace=lambda n_axes, n_filters: 80e9)


def study(shape, zooms=(1, 1, 1), subjects=20, suffixes=("_seg",), extent=None, reach=None, **others):
    """A survey of images that are all alike; extent and reach of the labels in mm."""
    affine = np.diag([*zooms, 1.0])
    foreground = NOTHING
    if extent is not None:
        boxes = [np.tile(np.array(mm, float), (subjects, 1)) for mm in (extent, reach or extent)]
        foreground = Foreground(*boxes, complete=True, ct=others.pop("ct", None))
    arguments = {
        "paths": (Path("/data"),),
        "subjects": subjects,
        "contrasts": {"T1w": subjects},
        "channels": False,
        "targets": Targets(tuple(LabelKind(suffix, subjects) for suffix in suffixes), True, {}),
        "looked_at": 8,
        "grids": tuple(Grid(tuple(shape), affine) for _ in range(subjects)),
        "orientations": ("RAS",),
        "pictures": False,
        "known_zooms": True,
        "extensions": (".nii.gz",),
        "valid": True,
        "foreground": foreground,
    }
    return Survey(**arguments | others)


HIPPOCAMPI = {"shape": (40, 58, 46), "subjects": 200, "extent": (22, 40, 26), "reach": (30, 49, 37)}


def offered(data, minutes=None):
    found = candidates(data, SLOW, "runs/x", minutes)
    for candidate in found:
        config = load_config(candidate.tree)
        assert config.path_output == f"runs/x_{candidate.name}"
        assert config.model_name == f"x_{candidate.name}"
        assert candidate.name in NAMES
    return {candidate.name: candidate for candidate in found}


@pytest.mark.parametrize(
    ("data", "names"),
    [
        (study((48, 48, 40)), ["3d", "2d"]),
        (study((48, 48, 40), subjects=6), ["3d"]),  # 144 slices
        (study((48, 48, 40), zooms=(1, 1, 4)), ["2d", "3d"]),
        (study((48, 48, 6), zooms=(1, 1, 4)), ["2d"]),
        (study((200, 180, 1), pictures=True), ["2d"]),
    ],
)
def test_slices_and_volumes(data, names):
    found = offered(data)
    assert list(found) == names
    first = next(iter(found.values()))
    assert first.choices[4:] == suggest(data, SLOW, "runs/x")[4:]  # but for the names


def test_a_low_resolution_and_a_cascade_for_large_volumes():
    shape = (200, 180, 160)
    found = offered(study(shape, extent=(60, 50, 40), reach=(150, 100, 90)), minutes=30)
    assert list(found) == ["3d", "2d", "3d_lowres", "3d_cascade"]
    low, cascade = (load_config(found[name].tree) for name in ("3d_lowres", "3d_cascade"))
    assert load_config(found["3d"].tree).spacing == (1, 1, 1)
    voxels = math.prod(n / mm for n, mm in zip(shape, low.spacing, strict=True))
    assert 0.35 <= math.prod(low.length) / voxels <= 0.7  # sizes are rounded to what the network halves
    assert found["3d_cascade"].detector == "3d_lowres"
    detection = cascade.object_detection_params
    assert detection.object_detection_path == f"{low.path_output}/{low.model_name}"
    assert cascade.spacing == (1, 1, 1)
    # Boxes of 75 x 63 x 50 voxels, enlarged by 1.25, are more than the 64 cubed of a CPU.
    assert all(n <= m for n, m in zip(cascade.length, (80, 64, 56), strict=True))
    assert math.prod(cascade.length) > math.prod(found["3d"].tree["default_model"]["length_3D"]) / 2


def test_no_cascade_where_labels_fill_the_image():
    assert list(offered(study((200, 180, 160), extent=(190, 170, 150)))) == ["3d", "2d", "3d_lowres"]


def test_coarser_voxels_by_hand():
    assert lowered((1.0, 1.0, 1.0), 1) == (1, 1, 1)
    assert lowered((1.0, 1.0, 4.0), 4) == pytest.approx((2, 2, 4), rel=0.03)
    assert lowered((1.0, 1.0, 2.0), 32) == pytest.approx((4, 4, 4), rel=0.05)


@given(st.lists(st.floats(0.3, 5), min_size=3, max_size=3), st.floats(1, 100))
def test_coarser_voxels(spacing, factor):
    found = lowered(spacing, factor)
    assert factor * (1 - 1e-9) <= math.prod(found) / math.prod(spacing) < factor * 1.03**3 * (1 + 1e-9)
    assert all(new >= old for new, old in zip(found, spacing, strict=True))


def test_25_minutes_for_hippocampi():
    plan = StudyPlan(study(**HIPPOCAMPI), SLOW, 25)
    config = load_config(tree(suggest(plan.data, SLOW, "x", 25)))
    # Labels and a voxel on either side take 32 x 51 x 39, rounded up to what three halvings divide.
    assert config.length == (32, 56, 40)
    assert config.transformation.chain["CenterCrop"].size == (32, 56, 40)
    assert config.architecture.arguments["n_filters"] == 12
    assert config.architecture.arguments["n_blocks"] == [1, 2, 2, 2]
    training = config.training_parameters
    assert training.batch_size == 2
    assert (training.training_time.num_epochs, training.training_time.max_minutes) == (None, 25)
    assert (training.optimizer.name, training.ema_decay) == ("AdamW", 0.99)
    assert training.training_time.early_stopping_epsilon == 0
    # 30 GFLOP an update, of which 80 a second are done in 80 % of the time, in epochs of 60.
    work = plan.network.training_flops(2, (32, 56, 40))
    assert work == pytest.approx(29.4e9, rel=0.01)
    assert plan.epochs == int(25 * 60 * 0.8 * 80e9 / work / 60) == 54


def test_a_longer_training_has_more_passes_then_a_wider_network_and_full_augmentation():
    data, widths = study(**HIPPOCAMPI), []
    for minutes in (2, 25, 60, 240):
        config = load_config(tree(suggest(data, SLOW, "x", minutes)))
        widths.append(config.architecture.arguments["n_filters"])
        affine = config.transformation.chain["RandomAffine"]
        assert affine.degrees == (20 if minutes < 60 else 30)
        assert ("RandomMirror" in config.transformation.chain) == (minutes >= 60)
        assert config.mirror_axes == (None if minutes < 60 else (0, 1, 2))
    assert widths == sorted(widths)
    assert widths[1:3] == [12, 12]
    assert widths[0] < 12 < widths[3]


def test_lesions_are_shown_in_patches_half_of_which_are_on_one():
    volumes = {"shape": (80, 80, 24), "zooms": (1, 1, 2), "extent": (30, 30, 30)}
    lesions = StudyPlan(study(**volumes, suffixes=("_lesion-manual",)), SLOW, 10)
    cord = StudyPlan(study(**volumes), SLOW, 10)
    assert cord.samples.whole
    assert not lesions.samples.whole
    assert math.prod(lesions.samples.size) <= 80 * 80 * 24 / 3
    config = load_config(tree(suggest(lesions.data, SLOW, "x", 10)))
    patches = config.loader_parameters.random_patch_params
    assert (patches.applied, patches.foreground) == (True, 0.5)


def test_the_width_of_a_network_follows_from_the_pace_of_that_width():
    data = study(**HIPPOCAMPI)
    even = Machine(gpu=False, memory=8 << 30, pace=lambda n_axes, n_filters: 80e9)
    slow_when_wide = Machine(
        gpu=False, memory=8 << 30, pace=lambda n_axes, n_filters: 80e9 if n_filters <= 8 else 20e9
    )
    assert (
        StudyPlan(data, even, 25).network.parameters > StudyPlan(data, slow_when_wide, 25).network.parameters
    )


def test_predictions_take_a_third_of_learning_and_more_when_mirrored():
    plan = StudyPlan(study(**HIPPOCAMPI), SLOW, 25)
    learning = 200 * plan.network.training_flops(1, (32, 56, 40)) / 80e9 / 60
    assert plan.prediction_minutes == pytest.approx(learning / 3)
    mirrored = StudyPlan(study(**HIPPOCAMPI), SLOW, 60)
    assert mirrored.mirrored == [0, 1, 2]
    assert mirrored.prediction_minutes == pytest.approx(8 * learning / 3)


def test_wide_networks_follow_from_narrow_ones():
    narrow = [Footprint(3 * n**2 + 2 * n + 1, 10.0 * n, 5.0 * n**2 + n) for n in (4, 6, 8)]
    found = extrapolated((4, 6, 8), narrow, 32)
    assert found.parameters == 3 * 1024 + 64 + 1
    assert (found.bytes_per_voxel, found.flops_per_voxel) == pytest.approx((320, 5 * 1024 + 32))
    plan = StudyPlan(study((40, 40, 40)), SLOW)
    wide = plan._architecture((40, 40, 40), 12)
    measured, told = plan._measured(wide, (40, 40, 40)), plan._footprint(wide, (40, 40, 40))
    assert told.parameters == measured.parameters
    assert told.flops_per_voxel == pytest.approx(measured.flops_per_voxel)
    assert told.bytes_per_voxel == pytest.approx(measured.bytes_per_voxel)


def test_patches_overlap_by_half_unless_validation_takes_the_time():
    data = study((300, 300, 200))
    for minutes, share in ((None, 2), (24 * 60, 2), (1, 1)):
        plan = StudyPlan(data, SLOW, minutes, n_axes=3)
        assert plan.stride == tuple(n // share for n in plan.samples.size)


def test_the_ladder_grows():
    assert list(LADDER) == sorted(LADDER, key=lambda rung: (rung.n_filters, not rung.n_blocks))
    assert [rung.passes for rung in LADDER] == sorted(rung.passes for rung in LADDER)


@pytest.mark.parametrize(
    ("suffixes", "axes"),
    [
        (("_dseg:kidney", "_dseg:spleen"), [0, 1, 2]),
        (("_dseg:left kidney", "_dseg:right kidney"), [1, 2]),
        (("_seg-L", "_seg-R"), [1, 2]),
        (("_seg-liver", "_seg-rectum"), [0, 1, 2]),
    ],
)
def test_no_mirroring_where_classes_have_a_side(suffixes, axes):
    assert StudyPlan(study((40, 40, 40), suffixes=suffixes), SLOW).mirror_axes == axes


def test_right_and_left_are_the_width_of_coronal_slices():
    data = study((40, 40, 40), zooms=(1, 3, 1), suffixes=("_left", "_right"))
    assert StudyPlan(data, SLOW).mirror_axes == [0, 2]


def test_labels_that_few_images_show_crop_nothing():
    seen = study((40, 40, 40), extent=(10, 10, 10), reach=(24, 24, 24)).foreground
    partly = Foreground(seen.extent, seen.reach, complete=False)
    crops = [StudyPlan(study((40, 40, 40), foreground=part), SLOW).samples.crop for part in (seen, partly)]
    assert crops == [(32, 32, 32), (40, 40, 40)]  # 0.75 x 40 voxels at least, rounded up


def test_ct_is_normalized_before_what_moves_voxels():
    ct = Intensities(images=8, lower=-100.0, upper=300.0, mean=60.0, std=45.0)
    config = tree(suggest(study((40, 40, 40), extent=(30, 30, 30), ct=ct), SLOW, "x"))
    steps = list(config["transformation"])
    assert steps.index("ClipAndStandardize") < steps.index("RandomAffine")
    assert "NormalizeInstance" not in steps
    assert config["transformation"]["ClipAndStandardize"] == {
        **{"lower": -100.0, "upper": 300.0, "mean": 60.0, "std": 45.0},
        "applied_to": ["im"],
    }
