"""``ivadomed_check_data`` on a study with one fault at a time."""

import json
import shutil

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from ivadomed.scripts.check_data import main
from ivadomed.scripts.create_phantom import create_microscopy


@pytest.fixture
def faulty(study, tmp_path):
    """A copy of the study to break, and a configuration that reads it."""
    data = tmp_path / "data"
    shutil.copytree(study, data)
    config = {
        "loader_parameters": {
            "path_data": [str(data)],
            "target_suffix": ["_seg-manual"],
            "contrast_params": {"training_validation": ["T2w"], "testing": ["T2w"]},
        },
        "transformation": {"Resample": {"hspace": 2, "wspace": 2}, "CenterCrop": {"size": [24, 24]}},
    }
    path = tmp_path / "config.json"
    path.write_text(json.dumps(config))
    image = data / "sub-001" / "anat" / "sub-001_T2w.nii.gz"
    label = data / "derivatives" / "labels" / "sub-001" / "anat" / "sub-001_T2w_seg-manual.nii.gz"
    return path, image, label


def change(path, data=None, affine=None):
    image = nib.load(path)
    data = image.get_fdata(dtype=np.float32) if data is None else data(image.get_fdata(dtype=np.float32))
    nib.save(nib.Nifti1Image(data, image.affine if affine is None else affine(image.affine)), path)


def edit(path, **sections):
    config = json.loads(path.read_text())
    for name, section in sections.items():
        config[name] = {**config.get(name, {}), **section}
    path.write_text(json.dumps(config))


def lines_of(capsys, start=""):
    return [line for line in capsys.readouterr().out.splitlines() if line.startswith(start)]


def test_a_good_study(faulty, tmp_path, capsys):
    config, image, _ = faulty
    assert main(["-c", str(config), "--csv", str(tmp_path / "files.csv")]) == 0
    text = capsys.readouterr().out
    assert "6 cases kept, 0 files left out, 0 errors, 0 remarks." in text
    assert "training 3, validation 2, testing 1" in text
    table = pd.read_csv(tmp_path / "files.csv")
    assert len(table) == 12
    row = table[table["file"] == str(image)].iloc[0]
    assert row["shape"] == "x".join(map(str, nib.load(image).shape))
    assert row["orientation"] == "".join(nib.aff2axcodes(nib.load(image).affine))
    assert set(table["set"]) == {"training", "validation", "testing"}
    assert set(table.loc[table["role"] == "_seg-manual", "values"]) == {"0, 1"}


def test_the_table_summarizes_shapes_voxel_sizes_and_values(faulty, capsys):
    """The phantom's subjects have 40 x 40 x 10 voxels of 1.2 x 1.2 x 3 mm in RAS, stored in other orientations."""
    config, image, label = faulty
    for path in (image, label):  # ASL: the last axis of RAS comes second
        change(path, data=lambda d: d[:-2], affine=lambda a: a @ np.diag([2, 1, 1, 1]))
    assert main(["-c", str(config)]) == 0
    lines = capsys.readouterr().out.splitlines()
    row = next(line for line in lines if line.lstrip().startswith("_seg-manual"))
    assert "40 x 38-40 x 10 " in row
    assert "1.2 x 1.2-2.4 x 3 mm" in row
    assert "ASL (1) | " in row
    assert row.rstrip().endswith("0, 1")


def shifted(affine):
    moved = affine.copy()
    moved[:3, 3] += 3
    return moved


@pytest.mark.parametrize(
    ("which", "fault", "expected"),
    [
        ("label", {"affine": shifted}, "lies on another grid than"),
        ("image", {"data": lambda d: np.full_like(d, 7)}, "is constant (7)"),
        ("image", {"data": lambda d: np.where(d == d.max(), np.nan, d)}, "has NaN or infinite voxels"),
        (
            "image",
            {"data": lambda d: d * np.float32(1e30)},
            "whose variance exceeds 32-bit floats; divide them",
        ),
        ("image", {"data": lambda d: np.stack([d, d], axis=-1)}, "has 2 volumes"),
        (
            "label",
            {"data": lambda d: d + (d > 0) * (np.arange(40) % 2)},
            '; expected 0 and one other value. Name each class in loader_parameters.target_suffix: ["_seg-manual:1", ',
        ),
        ("label", {"data": lambda d: d * 0.4}, "has the values 0, 0.4; none reaches 0.5"),
    ],
)
def test_faults_are_errors(faulty, capsys, which, fault, expected):
    config, image, label = faulty
    change(image if which == "image" else label, **fault)
    assert main(["-c", str(config)]) == 1
    [line] = lines_of(capsys, "ERROR")
    assert expected in line
    assert str(image if which == "image" else label) in line


def test_soft_labels_stay_between_0_and_1(faulty, capsys):
    config, _, label = faulty
    whole = nib.load(label).get_fdata()
    change(label, data=lambda d: d * 3)  # 0 and one other value
    assert main(["-c", str(config)]) == 0
    [line] = lines_of(capsys, "remark")
    assert "set: files of _seg-manual hold 0 and another value, which differs: 1 in " in line
    assert line.endswith(", 3 in 1; each counts as the class")
    change(label, data=lambda d: np.where(np.arange(40) % 2, whole, 0.6 * whole))
    assert main(["-c", str(config)]) == 0
    [line] = lines_of(capsys, "remark")
    assert "has the values 0, 0.6, 1; 0.5 and more count as 1 (soft_gt: true keeps them)" in line
    change(label, data=lambda d: np.where(np.arange(40) % 2, whole, 3.5 * whole))
    soft = json.loads(config.read_text())["loader_parameters"] | {"soft_gt": True}
    for more in ({}, {"loader_parameters": soft}):
        edit(config, **more)
        assert main(["-c", str(config)]) == 1
        [line] = lines_of(capsys, "ERROR")
        assert "has values from 0 to 3.5 (voxels: " in line
        assert "above 1); expected 0 and one other value, or soft values from 0 to 1" in line


def test_remarks_do_not_fail_and_say_once_what_holds_for_many(faulty, capsys):
    config, image, label = faulty
    change(label, data=np.zeros_like)
    for i in (1, 2, 3):
        (image.parents[2] / f"sub-00{i}" / "anat" / f"sub-00{i}_T2w.json").unlink()
    assert main(["-c", str(config)]) == 0
    lines = lines_of(capsys, "remark")
    assert f"remark    {label}: is empty" in lines
    assert f"remark    {image} and 2 more: has no sidecar JSON" in lines


def test_damaged_and_missing_files(faulty, tmp_path, capsys):
    config, image, label = faulty
    image.write_bytes(image.read_bytes()[:100])
    other = label.parents[2] / "sub-002" / "anat" / "sub-002_T2w_seg-manual.nii.gz"
    other.unlink()
    assert main(["-c", str(config), "--csv", str(tmp_path / "files.csv")]) == 1
    text = capsys.readouterr().out
    assert f"ERROR     {image}: " in text
    assert "left out" in text
    assert "no label sub-002_T2w_seg-manual" in text
    table = pd.read_csv(tmp_path / "files.csv").set_index("file")
    assert "not a readable NIfTI file" in table.loc[str(image), "remarks"]
    left_out = table[table["set"] == "left out"]
    assert [name.rpartition("/")[2] for name in left_out.index] == ["sub-002_T2w.nii.gz"]


def test_sets_that_cannot_be_trained_on(faulty, capsys):
    config, image, _ = faulty
    edit(config, split_dataset={"train_fraction": 0.5, "test_fraction": 0.5})
    for i in range(3, 7):
        shutil.rmtree(image.parents[2] / f"sub-00{i}")
    assert main(["-c", str(config)]) == 1
    [line] = lines_of(capsys, "ERROR")
    assert "validation set: is empty" in line
    shutil.rmtree(image.parents[2] / "sub-002")
    assert main(["-c", str(config)]) == 1
    [line] = lines_of(capsys, "ERROR")
    assert line.startswith("ERROR     split: all values of participant_id (1) are in the test set")


def test_sizes_that_do_not_fit(faulty, capsys):
    config, image, label = faulty
    for path in (image, label):
        change(path, data=lambda d: d[:-8])
    loaded = json.loads(config.read_text())
    del loaded["transformation"]["CenterCrop"]
    config.write_text(json.dumps(loaded))
    assert main(["-c", str(config)]) == 1
    assert "a batch needs one size; add CenterCrop" in lines_of(capsys, "ERROR")[0]
    edit(config, default_model={"length_2D": [64, 64], "stride_2D": [32, 32]})
    assert main(["-c", str(config)]) == 1
    assert "a patch of 64x64 voxels does not fit" in lines_of(capsys, "ERROR")[0]


def test_contrasts_and_classes_that_are_not_there(faulty, capsys):
    config, _, _ = faulty
    loader = json.loads(config.read_text())["loader_parameters"]
    contrasts = {"training_validation": ["T2w", "T9w"], "testing": ["T9w"]}
    suffixes = {"target_suffix": ["_seg-manual", "_tumour"]}
    edit(config, loader_parameters=loader | suffixes | {"contrast_params": contrasts})
    assert main(["-c", str(config)]) == 1
    text = capsys.readouterr().out
    assert "no usable image has the contrast T9w; available: T2w" in text
    assert "ERROR     testing set: is empty" in text
    assert "ERROR     training set: no label _tumour has a voxel" in text
    assert "remark    training set: 3 of 3 cases have no _tumour: it counts as empty there" in text
    assert "left out" in text  # the images of the test set have another contrast


def test_subjects_without_a_channel_are_named_once(study, faulty, capsys):
    config, image, label = faulty
    for path in (image, label):  # on the grid of T2w
        shutil.copy(path, str(path).replace("T2w", "T1w"))
    for i in range(2, 7):
        for path in image.parents[2].rglob(f"sub-00{i}_T2w*"):
            shutil.copy(path, str(path).replace("T2w", "T1w"))
    (image.parents[2] / "sub-005" / "anat" / "sub-005_T1w.nii.gz").unlink()
    loader = json.loads(config.read_text())["loader_parameters"]
    contrasts = {"training_validation": ["T1w", "T2w"], "testing": ["T1w", "T2w"]}
    edit(config, loader_parameters=loader | {"contrast_params": contrasts, "multichannel": True})
    assert main(["-c", str(config)]) == 0
    text = capsys.readouterr().out
    assert [line for line in text.splitlines() if "left out" in line] == [
        "left out  sub-005: has no T1w image",
        "5 cases kept, 1 file left out, 0 errors, 0 remarks.  Cases: training 3, validation 1, testing 1.",
    ]


def test_structural_faults_end_with_one_line(faulty, capsys):
    config, image, _ = faulty
    shutil.copy(image, image.with_name("sub-001_T2w.nii.gz.nii"))
    nib.save(nib.load(image), image.with_name("sub-001_T2w.nii"))
    assert main(["-c", str(config)]) == 1
    assert "The image name sub-001_T2w occurs 2 times" in capsys.readouterr().err


def test_micrographs(tmp_path, capsys):
    data = create_microscopy(tmp_path / "data", n=4, seed=0, size=(80, 60))
    config = {
        "loader_parameters": {
            "path_data": [str(data)],
            "target_suffix": ["_seg-axon-manual"],
            "extensions": [".png"],
            "contrast_params": {"training_validation": ["SEM"]},
        },
        "transformation": {
            "Resample": {"hspace": 0.0001, "wspace": 0.0001},
            "CenterCrop": {"size": [48, 48]},
        },
    }
    path = tmp_path / "config.json"
    path.write_text(json.dumps(config))
    assert main(["-c", str(path)]) == 0
    assert "60 x 80 0.08-0.13 x 0.08-0.13 um" in capsys.readouterr().out
    for sidecar in data.rglob("*_SEM.json"):
        sidecar.unlink()
    assert main(["-c", str(path)]) == 1
    [line] = lines_of(capsys, "ERROR")
    assert "its pixel size is unknown, and Resample needs it" in line
