"""Names of ``ivadomed.loader`` of 2.x and of the manual of 2020."""

import pytest

from ivadomed.errors import ConfigError, DataError
from ivadomed.loader import film
from ivadomed.loader import utils as loader_utils
from ivadomed.loader.sample_meta_data import SampleMetadata


@pytest.fixture
def participants(tmp_path):
    rows = [f"sub-{i:02d}\t{'abc'[i // 4]}" for i in range(12)]
    (tmp_path / "participants.tsv").write_text("\n".join(["participant_id\tinstitution_id", *rows, ""]))
    return tmp_path


def test_extensions():
    assert {".nii", ".nii.gz", ".png", ".tif", ".tiff", ".jpg", ".jpeg"} <= set(loader_utils.EXT_LST)


def test_tables_of_film():
    assert film.MANUFACTURER_CATEGORY == {"Siemens": 0, "Philips": 1, "GE": 2}
    assert film.GENERIC_CONTRAST["acq-T1w_MTS"] == "T1w"
    assert set(film.GENERIC_CONTRAST) <= set(film.CONTRAST_CATEGORY)
    assert film.CONTRAST_CATEGORY["T2w"] == 1


def test_clean_metadata_forgets_what_was_drawn():
    record = SampleMetadata({"contrast": "T1w", "rotation": [1, 2], "crop_params": {}, "elastic": 1})
    [cleaned] = loader_utils.clean_metadata([record])
    assert dict(cleaned.items()) == {"contrast": "T1w"}
    assert record["rotation"] == [1, 2]


def test_a_split_by_subject_has_the_shares_and_is_saved(participants, tmp_path):
    sides = loader_utils.get_new_subject_split(
        participants, [], "per_patient", 3, 0.5, 0.25, tmp_path / "log"
    )
    assert [len(side) for side in sides] == [6, 3, 3]
    assert sorted(name for side in sides for name in side) == [f"sub-{i:02d}" for i in range(12)]
    again = loader_utils.get_subdatasets_subjects_list(
        {"fname_split": str(tmp_path / "log" / "split_datasets.joblib")}, participants, tmp_path
    )
    assert again == sides


def test_centers_stay_together_and_those_of_the_test_set_are_chosen(participants, tmp_path):
    params = {
        "random_seed": 1,
        "method": "per_center",
        "center_test": ["b"],
        "train_fraction": 0.5,
        "test_fraction": 0.0,
    }
    training, validation, test = loader_utils.get_subdatasets_subjects_list(params, participants, tmp_path)
    assert sorted(test) == ["sub-04", "sub-05", "sub-06", "sub-07"]
    first, last = [f"sub-{i:02d}" for i in range(4)], [f"sub-{i:02d}" for i in range(8, 12)]
    assert sorted([sorted(training), sorted(validation)]) == [first, last]


def test_a_split_that_cannot_be_drawn(participants, tmp_path):
    with pytest.raises(ConfigError, match="per_moon"):
        loader_utils.get_new_subject_split(participants, [], "per_moon", 1, 0.5, 0.2, tmp_path)
    with pytest.raises(DataError, match="test_fraction"):
        loader_utils.get_subdatasets_subjects_list(
            {"random_seed": 1, "train_fraction": 0.5}, participants, tmp_path
        )
