"""From a chain to what its pictures show."""

import numpy as np
import pytest

from ivadomed.transforms import Pipeline
from ivadomed.visualize.transform_preview import Subject, note_on, scenes_of, views_of


def subject(shape=(16, 18, 9), shown="im"):
    depth = np.broadcast_to(np.arange(shape[2], dtype=np.float32), shape)
    label = np.zeros(shape, np.float32)
    label[4:8, 5:9] = 1
    arrays = {shown: depth[None].copy()}
    first = len(arrays.get("gt", ()))
    arrays["gt"] = np.concatenate([*arrays.get("gt", ()), label]).reshape(first + 1, *shape)
    return Subject(arrays, (1.0, 1.0, 2.0), shown, (("label", "gt", first),), 2)


def scenes(config, places, is_2d, **options):
    about = subject(**options)
    found = list(scenes_of(about, Pipeline.from_config(config), places, seed=0, is_2d=is_2d))
    return about, found


def test_slices_go_through_one_by_one_with_draws_of_their_own():
    about, found = scenes({"RandomAffine": {"degrees": 40}, "RandomReverse": {}}, [2, 5], is_2d=True)
    assert [(scene.place, scene.count) for scene in found] == [(2, 1), (2, 2), (5, 1), (5, 2)]
    angles = [scene.change.own.steps[0][1].drawn["rotation"][0] for scene in found[::2]]
    assert angles[0] != angles[1]
    before, _ = views_of(found[0], about)
    assert (before.image == 2).all()


def test_a_slice_of_a_volume_is_followed_through_resampling_and_crop():
    config = {
        "Resample": {"hspace": 1, "wspace": 1, "dspace": 1},
        "CenterCrop": {"size": [16, 18, 9]},
        "RandomShiftIntensity": {"shift_range": [0, 0], "prob": 1},
    }
    about, found = scenes(config, [4, 5], is_2d=False)
    assert [scene.place for scene in found] == [4, 5] * 3
    for scene in found:
        for view in views_of(scene, about):
            # Slices hold their own number; resampling puts 17 or 18 of them where 9 were.
            assert view.image.mean() == pytest.approx(scene.place, abs=0.3)


def test_a_grid_and_a_frame_where_voxels_move():
    about, (crop, shift) = scenes(
        {"CenterCrop": {"size": [8, 18]}, "NormalizeInstance": {"applied_to": ["im"]}}, [3], is_2d=True
    )
    before, after = views_of(crop, about)
    assert before.grid.shape == (2, 16, 18)
    assert after.grid.shape == (2, 8, 18)
    np.testing.assert_allclose(after.grid, before.grid[:, 4:12])
    assert before.frame.sum() == 8 * 18
    assert after.frame is None
    assert before.outlines["label"].sum() == 16
    before, after = views_of(shift, about)
    assert before.grid is after.grid is before.frame is None
    assert before.zooms == (1.0, 1.0)


def test_where_nothing_is_lost_there_is_no_frame():
    about, (scene,) = scenes({"RandomReverse": {}}, [3], is_2d=True, shape=(16, 18, 9))
    assert all(view.frame is None for view in views_of(scene, about))


@pytest.mark.parametrize(
    ("config", "shown", "chance", "note"),
    [
        ({"NormalizeInstance": {"applied_to": ["im"]}}, "gt", None, "not applied to labels"),
        ({"DilateGT": {"dilation_factor": 1, "applied_to": ["gt"]}}, "im", None, "not applied to images"),
        (
            {"RandomAffine": {"degrees": [10, 10]}},
            "im",
            None,
            "rotation 10° from axis 0 to 1; scale 1, 1; shift",
        ),
        (
            {"RandomShiftIntensity": {"shift_range": [2, 2], "prob": 1}},
            "im",
            "0.3",
            "offset 2; applied with pro",
        ),
        ({"RandomShiftIntensity": {"shift_range": [2, 2], "prob": 0}}, "im", None, "changes nothing here"),
        ({"CenterCrop": {"size": [4, 4]}}, "im", None, ""),
        ({"RandomMirror": {"p": [0, 1], "axes": [0, 1]}}, "im", None, "mirrored axes 1"),
        ({"RandomBrightness": {"factor_range": [2, 2], "p": 1}}, "im", None, "factor 2"),
        (
            {"RandomLowResolution": {"factor_range": [2, 2], "axes": [0, 1], "p": 1}},
            "im",
            None,
            "voxels 2 times as thick along axes 0, 1",
        ),
    ],
)
def test_notes(config, shown, chance, note):
    _, (scene,) = scenes(config, [3], is_2d=True)
    text = note_on(scene.change, shown, chance)
    assert text.startswith(note)
    assert bool(text) == bool(note)
