"""The cache of prepared cases."""

import os

import numpy as np
import pytest

from ivadomed.errors import DataError
from ivadomed.loader.cache import case_key, open_cases
from ivadomed.loader.prepare import Recipe, list_windows, prepare_case, read_window
from ivadomed.transforms import Pipeline

RECIPE = Recipe(
    Pipeline.from_config(
        {"Resample": {"hspace": 0.5, "wspace": 0.5, "dspace": 1}, "CenterCrop": {"size": [16, 16]}}
    )
)


@pytest.mark.parametrize("mode", ["disk", "memory", "none"])
@pytest.mark.parametrize("is_2d", [True, False])
def test_all_modes_give_the_prepared_arrays(make_case, tmp_path, mode, is_2d):
    size = [16, 16] if is_2d else [16, 16, 4]
    recipe = Recipe(Pipeline.from_config({"CenterCrop": {"size": size}}), is_2d=is_2d)
    case = make_case()
    [entry] = open_cases([case], recipe, mode, tmp_path / "cache")
    prepared = prepare_case(case, recipe)
    windows = list_windows(0, entry.stored.image_shape, entry.stored.facts, recipe)
    assert windows
    for window in windows:
        image, target = entry.read(window)
        np.testing.assert_array_equal(image, read_window(prepared.image, window, is_2d))
        np.testing.assert_array_equal(target, read_window(prepared.target, window, is_2d))


def test_entries_are_reused_and_rebuilt_when_a_file_or_a_step_changes(make_case, tmp_path):
    case = make_case()
    open_cases([case], RECIPE, "disk", tmp_path / "cache")
    [entry] = list((tmp_path / "cache").iterdir())
    before = entry.stat().st_mtime_ns
    open_cases([case], RECIPE, "disk", tmp_path / "cache")
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


@pytest.mark.parametrize("damage", ["truncate", "garbage", "empty"])
def test_a_damaged_entry_is_rebuilt(make_case, tmp_path, damage):
    case = make_case()
    [whole] = open_cases([case], RECIPE, "disk", tmp_path / "cache")
    [path] = list((tmp_path / "cache").iterdir())
    content = path.read_bytes()
    path.write_bytes({"truncate": content[:-5], "garbage": b"00000009x" * 100, "empty": b""}[damage])
    [again] = open_cases([case], RECIPE, "disk", tmp_path / "cache")
    assert path.read_bytes() == content
    assert again.stored == whole.stored


def test_binary_labels_take_one_byte_and_interpolated_ones_stay_exact(make_case, tmp_path):
    plain = Recipe(Pipeline.from_config({"CenterCrop": {"size": [8, 8]}}))
    assert open_cases([make_case()], plain, "disk", tmp_path / "a")[0].stored.target_dtype == "uint8"
    assert open_cases([make_case()], RECIPE, "disk", tmp_path / "a")[0].stored.target_dtype == "float32"


@pytest.mark.parametrize("mode", ["disk", "memory", "none"])
def test_only_cases_that_will_be_prepared_are_checked_and_all_of_them_first(make_case, tmp_path, mode):
    cases = [make_case(f"sub-0{i}_T1w") for i in range(3)]
    open_cases(cases[:1], RECIPE, mode, tmp_path / "cache")
    seen = []

    def refuse(checked):
        seen.extend(case.id for case in checked)
        raise DataError("no")

    with pytest.raises(DataError, match="no"):
        open_cases(cases, RECIPE, mode, tmp_path / "cache", check=refuse)
    assert seen == [case.id for case in (cases[1:] if mode == "disk" else cases)]
    assert mode != "disk" or len(list((tmp_path / "cache").iterdir())) == 1
