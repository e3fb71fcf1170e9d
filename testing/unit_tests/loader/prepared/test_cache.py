"""The cache of prepared cases."""

import os
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch

from ivadomed.errors import DataError, OutputError
from ivadomed.geometry.windows import Window
from ivadomed.inference.canvas import Canvas
from ivadomed.loader.prepared import checks as cache_size
from ivadomed.loader.prepared.cache import FILES, case_key, open_cases
from ivadomed.loader.prepared.files import FORMAT
from ivadomed.loader.prepared.prepare import Recipe, list_windows, prepare_case, read_window
from ivadomed.loader.samples import EpochSampler, SampleDataset, make_loader
from ivadomed.transforms import Pipeline

RECIPE = Recipe(
    Pipeline.from_config(
        {"Resample": {"hspace": 0.5, "wspace": 0.5, "dspace": 1}, "CenterCrop": {"size": [16, 16]}}
    )
)
CROP_3D = Pipeline.from_config({"CenterCrop": {"size": [16, 16, 6]}})
RECIPES = {
    "slices": RECIPE,
    "2D patches": replace(RECIPE, length=(9, 10), stride=(4, 5)),
    "volumes": Recipe(CROP_3D, is_2d=False),
    "3D patches": Recipe(CROP_3D, is_2d=False, length=(9, 10, 4), stride=(7, 3, 1)),
    "soft labels": replace(RECIPE, soft_gt=True),
}


@pytest.fixture(params=list(FILES))
def mode(request):
    return request.param


@pytest.mark.parametrize("mode", [*FILES, "memory", "none"])
@pytest.mark.parametrize("kind", RECIPES)
def test_all_modes_give_the_prepared_arrays(make_case, tmp_path, mode, kind):
    recipe, case = RECIPES[kind], make_case(channels=2, classes=2)
    [entry] = open_cases([case], recipe, mode, tmp_path / "cache")
    prepared = prepare_case(case, recipe)
    windows = list_windows(0, entry.stored.image_shape, entry.stored.facts, recipe)
    assert windows
    assert entry.stored.facts == prepared.facts
    assert entry.stored.zooms == prepared.zooms
    for window in windows:
        image, target = entry.read(window)
        np.testing.assert_array_equal(image, read_window(prepared.image, window, recipe.is_2d))
        np.testing.assert_array_equal(target, read_window(prepared.target, window, recipe.is_2d))
        assert image.dtype == target.dtype == np.float32


@pytest.mark.parametrize("kind", RECIPES)
def test_the_windows_of_a_case_put_together_in_any_order_are_the_case(make_case, tmp_path, mode, kind):
    recipe, case = RECIPES[kind], make_case(channels=2)
    [entry] = open_cases([case], recipe, mode, tmp_path / "cache")
    prepared = prepare_case(case, recipe)
    volume = np.moveaxis(prepared.image, 0, -1) if recipe.is_2d else prepared.image
    windows = list_windows(0, entry.stored.image_shape, entry.stored.facts, recipe)
    canvas = Canvas(volume.shape, windows)
    for place in np.random.default_rng(0).permutation(len(windows)):
        image, _ = entry.read(windows[place])
        canvas.add(windows[place], torch.from_numpy(image[..., None] if recipe.is_2d else image))
    assert canvas.complete
    np.testing.assert_allclose(np.stack(list(canvas.pop_classes())), volume, rtol=1e-6)


@pytest.mark.parametrize("kind", ["slices", "2D patches", "3D patches"])
def test_workers_give_the_same_batches_from_every_mode(make_case, tmp_path, kind):
    recipe, steps = RECIPES[kind], Pipeline.from_config({"RandomAffine": {"degrees": 20}})
    cases = [make_case(f"sub-{i}_T1w", classes=2, seed=i) for i in range(3)]
    cases = [
        replace(case, targets=(tuple(path for (path,) in case.targets),)) for case in cases
    ]  # two raters
    batches = {}
    for mode in ("disk", "hdf5", "memory"):
        entries = open_cases(cases, recipe, mode, tmp_path / "cache")
        windows = [
            window
            for i, entry in enumerate(entries)
            for window in list_windows(i, entry.stored.image_shape, entry.stored.facts, recipe)
        ]
        dataset = SampleDataset(cases, entries, windows, steps, is_2d=recipe.is_2d)
        workers = 0 if mode == "memory" else 2
        batches[mode] = list(make_loader(dataset, EpochSampler(len(dataset), 1), 4, workers))
    same = partial(torch.testing.assert_close, rtol=0, atol=0)
    for disk, *others in zip(*batches.values(), strict=True):
        for other in others:
            same(disk.image, other.image)
            same(disk.target, other.target)
            assert disk.windows == other.windows


def test_entries_are_reused_and_rebuilt_when_a_file_or_a_step_changes(make_case, tmp_path, mode):
    case = make_case()
    open_cases([case], RECIPE, mode, tmp_path / "cache")
    [entry] = list((tmp_path / "cache").iterdir())
    before = entry.stat().st_mtime_ns
    open_cases([case], RECIPE, mode, tmp_path / "cache")
    assert entry.stat().st_mtime_ns == before
    other = Recipe(Pipeline.from_config({"CenterCrop": {"size": [16, 16]}}))
    assert case_key(case, other) != case_key(case, RECIPE)
    same = Recipe(
        Pipeline.from_config(
            {"Resample": {"hspace": 0.5, "wspace": 0.5, "dspace": 1}, "CenterCrop": {"size": [16, 16]}}
        )
    )
    assert case_key(case, same) == case_key(case, RECIPE)
    key = case_key(case, RECIPE)
    os.utime(case.images[0], (1, 1))
    assert case_key(case, RECIPE) != key


def _other_format(path, mode, content):
    if mode == "disk":
        path.write_bytes(content.replace(b'"format": %d' % FORMAT, b'"format": 0'))
        return
    import h5py

    with h5py.File(path, "r+") as file:
        file.attrs["format"] = 0


@pytest.mark.parametrize("damage", ["truncate", "garbage", "empty", "other format"])
def test_a_damaged_entry_is_rebuilt(make_case, tmp_path, damage, mode):
    case = make_case()
    [whole] = open_cases([case], RECIPE, mode, tmp_path / "cache")
    [path] = list((tmp_path / "cache").iterdir())
    content = path.read_bytes()
    if damage == "other format":
        _other_format(path, mode, content)
    else:
        path.write_bytes({"truncate": content[:-5], "garbage": b"00000009x" * 100, "empty": b""}[damage])
    assert FILES[mode].open(path) is None
    [again] = open_cases([case], RECIPE, mode, tmp_path / "cache")
    assert path.stat().st_size == len(content)
    assert again.stored == whole.stored


@pytest.mark.parametrize("damage", ["gone", "shorter"])
def test_an_entry_that_vanishes_while_it_is_used_is_named(make_case, tmp_path, mode, damage):
    [entry] = open_cases([make_case()], RECIPE, mode, tmp_path / "cache")
    [path] = list((tmp_path / "cache").iterdir())
    window = list_windows(0, entry.stored.image_shape, entry.stored.facts, RECIPE)[-1]
    if damage == "gone":
        path.unlink()
    else:
        os.truncate(path, 1000)
    with pytest.raises(DataError, match=f"{path}: the prepared case vanished or was damaged .*start again"):
        entry.read(window)


def test_binary_labels_take_one_byte_and_interpolated_ones_stay_exact(make_case, tmp_path, mode):
    plain = Recipe(Pipeline.from_config({"CenterCrop": {"size": [8, 8]}}))
    assert open_cases([make_case()], plain, mode, tmp_path / "a")[0].stored.target_dtype == "uint8"
    assert open_cases([make_case()], RECIPE, mode, tmp_path / "a")[0].stored.target_dtype == "float32"


def test_hdf5_takes_less_disk(make_case, tmp_path):
    recipe = Recipe(Pipeline.from_config({"CenterCrop": {"size": [64, 64]}}))  # as usual, much of it is 0
    for mode in FILES:
        open_cases([make_case()], recipe, mode, tmp_path / mode)
    plain, compressed = (next((tmp_path / mode).iterdir()).stat().st_size for mode in ("disk", "hdf5"))
    assert compressed < plain / 2


def test_need_is_told_before_work_and_refused_when_the_disk_is_too_small(
    make_case, tmp_path, monkeypatch, caplog
):
    cases = [make_case(f"sub-{i}_T1w") for i in range(3)]
    cache = tmp_path / "cache"
    monkeypatch.setattr(
        cache_size.shutil, "disk_usage", lambda folder: type("Usage", (), {"free": 3 * 10240 - 1})
    )
    caplog.set_level("INFO")
    with pytest.raises(OutputError, match=r"need about 30\.7kB, 30\.7kB are free"):
        open_cases(cases, RECIPE, "disk", cache)  # 5 slices x 16 x 16 x 2 x 4 bytes each
    assert "Prepare   3 images: about 30.7kB" in caplog.text
    assert list(cache.iterdir()) == []
    # What can be compressed may fit.
    assert len(open_cases(cases, RECIPE, "hdf5", cache)) == 3
    assert "need at most 30.7kB, 30.7kB are free" in caplog.text
    monkeypatch.undo()
    assert len(open_cases(cases, RECIPE, "disk", cache)) == 3


def test_what_does_not_fit_into_memory_is_refused_with_the_figures(make_case, tmp_path, monkeypatch):
    monkeypatch.setattr(cache_size, "available_memory", lambda: 10239)
    with pytest.raises(
        DataError, match=r'need about 10\.2kB of memory, .* loader_parameters.cache to "disk"'
    ):
        open_cases([make_case()], RECIPE, "memory", tmp_path)
    monkeypatch.setattr(cache_size, "available_memory", lambda: 10240)
    assert len(open_cases([make_case()], RECIPE, "memory", tmp_path)) == 1


def test_a_complete_cache_is_only_read(make_case, tmp_path, mode, monkeypatch):
    cases, cache = [make_case()], tmp_path / "cache"
    open_cases(cases, RECIPE, mode, cache)

    def refuse(*arguments, **options):
        raise AssertionError("nothing is missing")

    monkeypatch.setattr("ivadomed.loader.prepared.cache.fill", refuse)
    monkeypatch.setattr("ivadomed.loader.prepared.cache.prepared_bytes", refuse)
    assert len(open_cases(cases, RECIPE, mode, cache)) == 1


@pytest.mark.parametrize("mode", ["disk", "hdf5", "memory", "none"])
def test_only_cases_that_will_be_prepared_are_checked_and_all_of_them_first(make_case, tmp_path, mode):
    cases = [make_case(f"sub-0{i}_T1w") for i in range(3)]
    open_cases(cases[:1], RECIPE, mode, tmp_path / "cache")
    seen = []

    def refuse(checked):
        seen.extend(case.id for case in checked)
        raise DataError("no")

    with pytest.raises(DataError, match="no"):
        open_cases(cases, RECIPE, mode, tmp_path / "cache", check=refuse)
    assert seen == [case.id for case in (cases[1:] if mode in FILES else cases)]
    assert mode not in FILES or len(list((tmp_path / "cache").iterdir())) == 1


@pytest.mark.parametrize("mode", ["disk", "hdf5", "memory", "none"])
@pytest.mark.parametrize("is_2d", [True, False])
def test_ignored_voxels_are_kept_behind_the_labels(make_case, tmp_path, mode, is_2d):
    case = make_case(classes=2)
    case = replace(case, targets=case.targets[:1], ignore=case.targets[1][0])
    size = [8, 8] if is_2d else [8, 8, 4]
    recipe = Recipe(Pipeline.from_config({"CenterCrop": {"size": size}}), is_2d=is_2d)
    [entry] = open_cases([case], recipe, mode, tmp_path / "cache")
    window = Window(0, (0, 0, 0), (8, 8, 1 if is_2d else 4))
    labels = entry.read(Window(0, (0, 0, 2), (8, 8, 1)) if is_2d else window)[1]
    plain = replace(case, ignore=None, targets=(case.targets[0], (case.ignore,)))
    [without] = open_cases([plain], recipe, mode, tmp_path / "cache")
    both = without.read(Window(0, (0, 0, 2), (8, 8, 1)) if is_2d else window)[1]
    np.testing.assert_array_equal(labels[1], both[1])
    np.testing.assert_array_equal(labels[0], both[0] * (1 - both[1]))
    assert labels[1].any()
    assert len(entry.stored.facts.foreground) == 1
    assert all(len(raters) == 1 for raters in entry.stored.facts.labelled)
    assert case_key(case, recipe) != case_key(replace(case, ignore=None), recipe)
