"""Every option of the loader in the main job: which files and slices it takes, and that training goes through."""

import json
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from scipy import ndimage

from ivadomed.errors import DataError
from ivadomed.main import run_main
from ivadomed.scripts.create_phantom import create_phantom

T2W = {"training_validation": ["T2w"], "testing": ["T2w"], "balance": {}}
AXES = {"sagittal": 0, "coronal": 1, "axial": 2}


@pytest.fixture
def config(config):
    """One epoch of a tiny network."""
    config["loader_parameters"]["contrast_params"] = T2W
    config["training_parameters"]["training_time"]["num_epochs"] = 1
    config["default_model"] |= {"depth": 1, "n_filters": 2}
    return config


@pytest.fixture(scope="module")
def coregistered(tmp_path_factory) -> Path:
    """Five subjects with two contrasts on one grid; tests must not write into it."""
    folder = tmp_path_factory.mktemp("coregistered") / "data"
    return create_phantom(folder, n=5, seed=2, size="tiny", contrasts=("T1w", "T2w"), coregistered=True)


@pytest.fixture(scope="module")
def sessions(tmp_path_factory) -> Path:
    """Five subjects with two sessions, the second a copy of the first; tests must not write into it."""
    data = create_phantom(
        tmp_path_factory.mktemp("sessions") / "data", n=5, seed=3, size="tiny", contrasts=("T2w",), sessions=2
    )
    for path in data.rglob("*_ses-01_*.nii.gz"):
        shutil.copy(path, str(path).replace("ses-01", "ses-02"))
    return data


class Run:
    """A finished training: its split, log and cached samples."""

    def __init__(self, config):
        self.result = run_main(config)
        self.folder = Path(config["path_output"])
        self.split = json.loads((self.folder / "split_datasets.json").read_text())
        self.log = (self.folder / "log").read_text(encoding="utf-8")

    def names(self, side):
        return sorted(name.removesuffix(".nii.gz") for name in self.split[side])

    def subjects(self, *sides):
        return {name.split("_")[0] for side in sides for name in self.split[side]}


def test_of(config) -> pd.DataFrame:
    table, _ = run_main({**config, "command": "test"})
    return table


test_of.__test__ = False


@pytest.mark.parametrize("slice_axis", list(AXES))
def test_slices_along_each_axis(config, study, slice_axis):
    config["loader_parameters"]["slice_axis"] = slice_axis
    config["transformation"] = {"CenterCrop": {"size": [32, 32]}, "NormalizeInstance": {"applied_to": ["im"]}}
    run = Run(config)
    varying = 0
    for name in run.split["train"]:
        image = nib.as_closest_canonical(nib.load(next(study.glob(f"sub-*/anat/{name}"))))
        slices = np.moveaxis(image.get_fdata(), AXES[slice_axis], 0)
        varying += sum(float(np.ptp(x)) > 0 for x in slices)
    assert f"Loaded {varying} {slice_axis} slices for the training set" in run.log
    assert len(test_of(config)) == 1
    for prediction in (run.folder / "pred_masks").glob("*_T2w_pred.nii.gz"):
        name = prediction.name.replace("_pred", "")
        image = nib.load(next(study.glob(f"sub-*/anat/{name}")))
        assert nib.load(prediction).shape == image.shape
        np.testing.assert_allclose(nib.load(prediction).affine, image.affine, atol=1e-6)


@pytest.mark.parametrize(
    ("options", "samples"),
    [
        ({"default_model": {"length_2D": [16, 16], "stride_2D": [8, 8]}}, "patches of (16, 16) voxels"),
        (
            {
                "Modified3DUNet": {
                    "applied": True,
                    "length_3D": [32, 16, 16],
                    "stride_3D": [32, 8, 16],
                    "n_filters": 2,
                }
            },
            "patches of (32, 16, 16) voxels",
        ),
    ],
)
def test_patches(config, options, samples):
    for name, section in options.items():
        config[name] = config.get(name, {}) | section
    config["transformation"] = {
        "CenterCrop": {"size": [32, 32, 16] if "Modified3DUNet" in options else [32, 32]}
    }
    run = Run(config)
    # Along an axis of 32, windows of 16 start at 0, 8 and 16. Three subjects, of ten axial slices each.
    count = 3 * 10 * 9 if "default_model" in options else 3 * 3
    assert f"Loaded {count} {samples} for the training set" in run.log
    assert len(test_of(config)) == 1


def test_several_raters_are_drawn_alike_in_two_runs(config, tmp_path):
    raters = [["_seg-manual", "_csfseg-manual"]]
    config["loader_parameters"]["target_suffix"] = raters
    first = Run(config)
    again = Run({**config, "path_output": str(tmp_path / "again")})
    assert first.result == again.result
    alone = {**config["loader_parameters"], "target_suffix": ["_seg-manual"]}
    one = Run({**config, "loader_parameters": alone, "path_output": str(tmp_path / "one")})
    assert one.result != first.result
    assert len(test_of(config)) == 1


def test_soft_ground_truth(config, study, tmp_path):
    data = shutil.copytree(study, tmp_path / "data")
    for path in data.rglob("*_T2w_seg-manual.nii.gz"):
        image = nib.load(path)
        soft = ndimage.gaussian_filter(image.get_fdata(dtype=np.float32), 1)
        nib.save(nib.Nifti1Image(soft, image.affine), path)
    config["loader_parameters"] |= {"path_data": [str(data)], "soft_gt": True}
    config["postprocessing"] = {}
    soft = Run(config)
    hard = {**config["loader_parameters"], "soft_gt": False}
    binarized = Run({**config, "loader_parameters": hard, "path_output": str(tmp_path / "hard")})
    assert soft.result[3] != binarized.result[3]
    assert len(test_of(config)) == 1


def test_slices_with_a_small_region_are_left_out(config, study, tmp_path):
    data = shutil.copytree(study, tmp_path / "data")
    for path in data.rglob("*_T2w_seg-manual.nii.gz"):
        region = nib.as_closest_canonical(nib.load(path))
        voxels = np.asanyarray(region.dataobj).copy()
        voxels[:, :, :4] = 0
        voxels[20, 20:22, :4] = 1  # four of ten slices have two voxels
        nib.save(nib.Nifti1Image(voxels, region.affine), path)
    for path in data.rglob("*_T2w.nii.gz"):
        nib.save(nib.as_closest_canonical(nib.load(path)), path)
    config["loader_parameters"] |= {
        "path_data": [str(data)],
        "roi_params": {"suffix": "_seg-manual", "slice_filter_roi": 3},
    }
    config["transformation"] = {"ROICrop": {"size": [16, 16]}}
    assert "Loaded 18 axial slices for the training set" in Run(config).log


def test_channels_with_input_dropout(config, coregistered, tmp_path):
    contrasts = {"training_validation": ["T1w", "T2w"], "testing": ["T1w", "T2w"], "balance": {}}
    loader = {"path_data": [str(coregistered)], "contrast_params": contrasts, "multichannel": True}
    config["loader_parameters"] |= loader
    plain = Run(config)
    config["loader_parameters"]["is_input_dropout"] = True
    config["path_output"] = str(tmp_path / "dropout")
    dropped = Run(config)
    assert plain.result != dropped.result
    assert list(test_of(config).index) == [name for name in dropped.names("test") if "T1w" in name]


def test_a_subject_without_one_of_the_channels_is_left_out(config, coregistered, tmp_path):
    data = shutil.copytree(coregistered, tmp_path / "data")
    (data / "sub-001" / "anat" / "sub-001_T1w.nii.gz").unlink()
    contrasts = {"training_validation": ["T1w", "T2w"], "testing": ["T1w", "T2w"], "balance": {}}
    config["loader_parameters"] |= {
        "path_data": [str(data)],
        "contrast_params": contrasts,
        "multichannel": True,
    }
    assert "sub-001 is left out: has no T1w image." in Run(config).log


def test_balance_of_contrasts(config):
    contrasts = {"training_validation": ["T1w", "T2w"], "testing": ["T2w"], "balance": {"T1w": 0.34}}
    config["loader_parameters"]["contrast_params"] = contrasts
    log = Run(config).log
    # A third of the three T1w images of training, one of the two of validation.
    assert log.count("contrast_params.balance keeps 0.34 of T1w") == 3


def test_subject_selection(config, study):
    table = pd.read_csv(study / "participants.tsv", sep="\t").set_index("participant_id")
    config["loader_parameters"]["subject_selection"] = {"n": [3], "metadata": ["sex"], "value": ["F"]}
    config["split_dataset"] |= {"train_fraction": 0.34, "test_fraction": 0.34}
    chosen = Run(config).subjects("train", "valid", "test")
    assert len(chosen) == 3
    assert set(table.loc[sorted(chosen), "sex"]) == {"F"}


def test_target_sessions(config, sessions):
    config["loader_parameters"] |= {"path_data": [str(sessions)], "target_sessions": ["02"]}
    run = Run(config)
    names = [name for side in run.split.values() for name in side]
    assert len(names) == 5
    assert all("_ses-02_" in name for name in names)
    assert len(test_of(config)) == 1


def test_two_sessions_as_two_channels(config, sessions):
    contrasts = ["ses-01_T2w", "ses-02_T2w"]
    config["loader_parameters"] |= {
        "path_data": [str(sessions)],
        "contrast_params": {"training_validation": contrasts, "testing": contrasts, "balance": {}},
        "multichannel": True,
    }
    run = Run(config)
    assert "in_channel: 2" in run.log
    assert len(run.subjects("train", "valid", "test")) == 5
    assert list(test_of(config).index) == [name for name in run.names("test") if "ses-01" in name]


def of_column(study, column):
    """Subject -> value, from participants.tsv or, for what is not there, from a sidecar."""
    table = pd.read_csv(study / "participants.tsv", sep="\t").set_index("participant_id")
    if column in table:
        return table[column].to_dict()
    sidecars = study.glob("sub-*/anat/*_T2w.json")
    return {path.name.split("_")[0]: json.loads(path.read_text())[column] for path in sidecars}


@pytest.mark.parametrize("column", ["institution_id", "Manufacturer", "age"])
def test_values_of_a_column_stay_on_one_side(config, study, column):
    config["split_dataset"] |= {"split_method": column, "train_fraction": 0.34, "test_fraction": 0.34}
    run = Run(config)
    value = of_column(study, column)
    sides = [{value[subject] for subject in run.subjects(side)} for side in ("train", "valid", "test")]
    assert all(sides)
    assert sum(map(len, sides)) == len(set().union(*sides)) == len(set(value.values()))
    assert len(test_of(config)) >= 1


def test_values_reserved_for_testing(config, study):
    value = of_column(study, "institution_id")
    reserved = value["sub-001"]
    config["split_dataset"] |= {
        "train_fraction": 0.34,
        "data_testing": {"data_type": "institution_id", "data_value": [reserved]},
    }
    run = Run(config)
    assert run.subjects("test") == {subject for subject, of in value.items() if of == reserved}
    assert reserved not in {value[subject] for subject in run.subjects("train", "valid")}


def test_categories_are_balanced(config, study, tmp_path):
    data = shutil.copytree(study, tmp_path / "data")
    groups = {f"sub-{i:03d}": "AB"[i % 2] for i in range(1, 7)}
    rows = "".join(f"{subject}\t{group}\n" for subject, group in groups.items())
    (data / "participants.tsv").write_text(f"participant_id\tgroup\n{rows}")
    config["loader_parameters"]["path_data"] = [str(data)]
    config["split_dataset"] |= {"balance": "group", "train_fraction": 0.34, "test_fraction": 0.34}
    run = Run(config)
    for side in ("train", "valid", "test"):
        assert sorted(groups[subject] for subject in run.subjects(side)) == ["A", "B"]


def test_folds_test_every_subject_once(config, tmp_path):
    tested = []
    for fold in range(3):
        config["split_dataset"] |= {"n_folds": 3, "fold": fold}
        config["path_output"] = str(tmp_path / f"fold-{fold}")
        run = Run(config)
        assert len(run.subjects("train", "valid", "test")) == 6
        tested += run.subjects("test")
    assert sorted(tested) == [f"sub-00{i}" for i in range(1, 7)]


def test_a_leak_is_refused(config, tmp_path):
    split = {"train": ["sub-001_T1w.nii.gz", "sub-002_T2w.nii.gz"], "valid": ["sub-003_T2w.nii.gz"]}
    (tmp_path / "split.json").write_text(json.dumps({**split, "test": ["sub-001_T2w.nii.gz"]}))
    config["loader_parameters"]["contrast_params"] = T2W | {"training_validation": ["T1w", "T2w"]}
    config["split_dataset"]["fname_split"] = str(tmp_path / "split.json")
    with pytest.raises(DataError, match="Split: sub-001 would be on more than one of the sides"):
        run_main(config)


def copy_renamed(study, folder, rename):
    """A copy of the study's T2w images in which each name is changed."""
    for path in study.rglob("*T2w*"):
        target = folder / rename(str(path.relative_to(study)))
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    table = (study / "participants.tsv").read_text()
    (folder / "participants.tsv").write_text(rename(table))
    return folder


def test_several_data_sets(config, study, tmp_path):
    other = copy_renamed(study, tmp_path / "other", lambda name: name.replace("sub-00", "sub-90"))
    config["loader_parameters"]["path_data"] = [str(study), str(other)]
    run = Run(config)
    assert run.subjects("train", "valid", "test") == {f"sub-{k}0{i}" for k in (0, 9) for i in range(1, 7)}
    assert list(test_of(config).index) == run.names("test")


def test_a_subject_of_two_data_sets_stays_on_one_side(config, study, tmp_path):
    """Whether they are one person or two: nothing leaks."""
    other = copy_renamed(study, tmp_path / "other", lambda name: name.replace("_T2w", "_acq-x_T2w"))
    config["loader_parameters"]["path_data"] = [str(study), str(other)]
    run = Run(config)
    assert "sub-001, sub-002, sub-003, sub-004, sub-005 and 1 more; each counts as one subject" in run.log
    sides = [run.subjects(side) for side in ("train", "valid", "test")]
    assert sum(map(len, sides)) == 6
    for name in run.split["train"]:
        assert (
            name.replace("_T2w", "_acq-x_T2w") in run.split["train"] or "T2w" not in name or "acq-x" in name
        )


def test_the_same_names_in_two_data_sets_are_refused(config, study, tmp_path):
    other = copy_renamed(study, tmp_path / "other", str)
    config["loader_parameters"]["path_data"] = [str(study), str(other)]
    with pytest.raises(DataError, match=r"The image name sub-001_T2w occurs 2 times \(.*other/sub-001"):
        run_main(config)


def test_channels_are_not_mixed_between_data_sets(config, coregistered, tmp_path):
    """T1w of one data set and T2w of another are no channels of one subject."""
    first, second = tmp_path / "first", tmp_path / "second"
    shutil.copytree(coregistered, first, ignore=shutil.ignore_patterns("*T2w*"))
    shutil.copytree(coregistered, second, ignore=shutil.ignore_patterns("*T1w*"))
    contrasts = {"training_validation": ["T1w", "T2w"], "testing": ["T1w", "T2w"], "balance": {}}
    config["loader_parameters"] |= {
        "path_data": [str(first), str(second)],
        "contrast_params": contrasts,
        "multichannel": True,
    }
    with pytest.raises(DataError, match="set is empty"):
        run_main(config)
    log = (Path(config["path_output"]) / "log").read_text(encoding="utf-8")
    assert "has no T2w image" in log
    assert "has no T1w image" in log


def test_names_that_are_no_bids_and_contrasts_of_processed_images(study, config, tmp_path):
    """Folders without sub-, with spaces, one flat image; the contrast T2w_reg, and T2w beside it."""
    data = tmp_path / "free names"
    for place, subject in enumerate(sorted(path.name for path in study.glob("sub-*"))):
        free = f"patient {place}" if place % 2 else f"p{place}"
        for folder in ("", "derivatives/labels"):
            new = data / folder / free
            new.mkdir(parents=True)
            for file in (study / folder / subject / "anat").glob("*T2w*"):
                shutil.copy(
                    file, new / file.name.replace(subject, "scan").replace("scan_T2w", f"{free}_a_T2w_reg")
                )
                shutil.copy(file, new / file.name.replace(subject, free))
    loader = config["loader_parameters"]
    loader |= {"path_data": [str(data)], "bids_validate": False}
    loader["contrast_params"] = {"training_validation": ["T2w_reg"], "testing": ["T2w_reg"], "balance": {}}
    for command in ("train", "test"):
        run_main({**config, "command": command})
    table = pd.read_csv(Path(config["path_output"]) / "bids_dataframe.csv")
    images = table[table["participant_id"].notna()]
    assert set(images["suffix"]) == {"T2w_reg"}
    assert set(images["participant_id"]) == {"p0", "patient 1", "p2", "patient 3", "p4", "patient 5"}
    predictions = sorted((Path(config["path_output"]) / "pred_masks").glob("*_pred.nii.gz"))
    assert predictions
    assert all(file.name.endswith("_a_T2w_reg_pred.nii.gz") for file in predictions)
