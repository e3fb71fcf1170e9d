"""``ivadomed_check_data`` on a study with one fault at a time."""

import json
import shutil

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from ivadomed.scripts.check_data import main


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
        }
    }
    (tmp_path / "config.json").write_text(json.dumps(config))
    image = data / "sub-001" / "anat" / "sub-001_T2w.nii.gz"
    label = data / "derivatives" / "labels" / "sub-001" / "anat" / "sub-001_T2w_seg-manual.nii.gz"
    return tmp_path / "config.json", image, label


def change(path, data=None, affine=None):
    image = nib.load(path)
    data = image.get_fdata(dtype=np.float32) if data is None else data(image.get_fdata(dtype=np.float32))
    nib.save(nib.Nifti1Image(data, image.affine if affine is None else affine(image.affine)), path)


def test_a_good_study(faulty, tmp_path, capsys):
    config, image, _ = faulty
    assert main(["-c", str(config), "--csv", str(tmp_path / "files.csv")]) == 0
    assert "6 cases kept, 0 files left out, 0 errors, 0 remarks." in capsys.readouterr().out
    table = pd.read_csv(tmp_path / "files.csv")
    assert len(table) == 12
    row = table[table["file"] == str(image)].iloc[0]
    assert row["shape"] == "x".join(map(str, nib.load(image).shape))
    assert row["orientation"] == "".join(nib.aff2axcodes(nib.load(image).affine))


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
        ("label", {"data": lambda d: d * 3}, "has the values 0, 3; expected 0 and 1"),
    ],
)
def test_faults_are_errors(faulty, capsys, which, fault, expected):
    config, image, label = faulty
    change(image if which == "image" else label, **fault)
    assert main(["-c", str(config)]) == 1
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("ERROR")]
    assert any(
        expected in line and f"sub-001_T2w{'' if which == 'image' else '_seg'}" in line for line in lines
    )


def test_remarks_do_not_fail(faulty, capsys):
    config, image, label = faulty
    change(label, data=np.zeros_like)
    image.with_name("sub-001_T2w.json").unlink()
    assert main(["-c", str(config)]) == 0
    text = capsys.readouterr().out
    assert "sub-001_T2w_seg-manual.nii.gz: is empty" in text
    assert "sub-001_T2w.nii.gz: has no sidecar JSON" in text


def test_damaged_and_missing_files(faulty, capsys):
    config, image, label = faulty
    image.write_bytes(image.read_bytes()[:100])
    other = label.parents[2] / "sub-002" / "anat" / "sub-002_T2w_seg-manual.nii.gz"
    other.unlink()
    assert main(["-c", str(config)]) == 1
    text = capsys.readouterr().out
    assert f"ERROR     {image}: " in text
    assert "left out" in text
    assert "no label sub-002_T2w_seg-manual" in text
