"""`ivadomed_visualize_transforms`."""

import json
import shutil

import imageio.v3 as iio
import nibabel as nib
import numpy as np
import pytest

from ivadomed.scripts.create_phantom import create_microscopy
from ivadomed.scripts.visualize_transforms import get_data, main, run_visualization, stem_of_chain
from ivadomed.transforms import TRANSFORMS

CHAIN = {
    "RandomAffine": {"degrees": 5, "applied_to": ["im", "gt"], "dataset_type": ["training"]},
    "Clahe": {"dataset_type": ["testing"]},
    "CenterCrop": {"size": [32, 32]},
    "RandomGamma": {"log_gamma_range": [0.5, 0.6], "p": 0.01, "applied_to": ["im"]},
}


@pytest.fixture
def image(study):
    return study / "sub-001" / "anat" / "sub-001_T2w.nii.gz"


@pytest.fixture
def label(study):
    return study / "derivatives" / "labels" / "sub-001" / "anat" / "sub-001_T2w_seg-manual.nii.gz"


@pytest.fixture
def write(tmp_path):
    def write(transformation=CHAIN, **sections):
        path = tmp_path / "config.json"
        path.write_text(json.dumps({"transformation": transformation, **sections}))
        return path

    return write


def test_a_picture_per_transform_and_slice(image, label, write, tmp_path, capsys):
    out = tmp_path / "new folder"
    code = main(["-i", str(image), "-c", str(write()), "-n", "2", "-o", str(out), "-l", str(label)])
    assert code == 0
    assert f"6 figures in {out}" in capsys.readouterr().out
    steps = ["CenterCrop", "CenterCrop_RandomAffine", "CenterCrop_RandomAffine_RandomGamma"]
    slices = sorted({int(path.stem.split("_slice")[1]) for path in out.iterdir()})
    assert len(slices) == 2
    assert sorted(p.name for p in out.iterdir()) == sorted(f"{s}_slice{z}.png" for s in steps for z in slices)
    for path in out.iterdir():
        picture = iio.imread(path)
        assert picture.shape[1] > picture.shape[0] > 300
        assert picture.std() > 20


def test_the_same_seed_draws_the_same_slices_and_transforms(image, write, tmp_path):
    def draw(folder, seed):
        config = write({"RandomAffine": {"degrees": 20}}, training_parameters={"seed": seed})
        [path] = run_visualization(image, config, 1, tmp_path / folder, None)
        return path.name, iio.imread(path)

    (name, first), (again, second), (_, other) = draw("a", 1), draw("b", 1), draw("c", 2)
    assert name == again
    np.testing.assert_array_equal(first, second)
    assert not np.array_equal(first, other)


def test_slices_along_the_slice_axis_of_the_configuration(image, write, tmp_path, caplog):
    shape = nib.as_closest_canonical(nib.load(image)).shape
    assert [get_data(image, axis)[1].shape[2] for axis in (0, 1, 2)] == list(shape)
    few = tmp_path / "few.nii.gz"
    data = np.zeros((2, 12, 14), np.float32)
    data[:, 3:, 4:] = 1 + np.arange(10)
    nib.save(nib.Nifti1Image(data, np.eye(4)), few)
    config = write({"RandomReverse": {}}, loader_parameters={"slice_axis": "sagittal"})
    written = run_visualization(few, config, 5, tmp_path / "o", None)
    assert [p.name for p in written] == ["RandomReverse_slice0.png", "RandomReverse_slice1.png"]
    assert "Only 2 slices can be shown, not 5." in caplog.text


def test_probabilities_of_axes(image, write, tmp_path):
    chain = {"RandomMirror": {"p": [0.1, 0.2], "axes": [0, 1]}, "CenterCrop": {"size": [16, 16]}}
    written = run_visualization(image, write(chain), 1, tmp_path / "o", None)
    assert [p.name.split("_slice")[0] for p in written] == ["CenterCrop", "CenterCrop_RandomMirror"]


def test_a_label_around_a_region_of_interest(study, label, write, tmp_path):
    config = write(
        {"ROICrop": {"size": [24, 24]}, "NormalizeInstance": {"applied_to": ["im"]}},
        loader_parameters={"roi_params": {"suffix": "_seg-manual", "slice_filter_roi": None}},
    )
    written = run_visualization(label, config, 1, tmp_path / "o", label)
    assert [p.name.split("_slice")[0] for p in written] == ["ROICrop", "ROICrop_NormalizeInstance"]


def test_volumes_of_a_3d_model(image, write, tmp_path):
    depth = get_data(image, 2)[1].shape[2]
    config = write(
        {"CenterCrop": {"size": [16, 16, 3]}, "RandomAffine": {"degrees": 10}},
        Modified3DUNet={"applied": True, "length_3D": [32, 32, 16], "stride_3D": [32, 32, 16]},
    )
    written = run_visualization(image, config, 3, tmp_path / "o", None)
    first = round((depth - 3) / 2)
    assert {int(p.stem.split("_slice")[1]) for p in written} == {first, first + 1, first + 2}
    assert len(written) == 6


def test_micrographs_and_their_pixel_size(write, tmp_path, capsys):
    data = create_microscopy(tmp_path / "data", 1, size=(96, 64))
    [png] = data.glob("sub-*/micr/*.png")
    labels = sorted(data.glob("derivatives/labels/sub-*/micr/*.png"))
    config = write({"Resample": {"hspace": 0.0002, "wspace": 0.0002}})
    written = run_visualization(png, config, 1, tmp_path / "o", None, labels)
    assert [p.name for p in written] == ["Resample_slice0.png"]
    alone = shutil.copy(png, tmp_path / "alone.png")
    assert main(["-i", str(alone), "-c", str(config)]) == 1
    assert (
        f"PixelSize and PixelSizeUnits of the picture in {tmp_path / 'alone.json'}" in capsys.readouterr().err
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-n", "0"], "number of slices: 0; expected at least 1"),
        (["-i", "absent.nii.gz"], "absent.nii.gz: no such image file"),
        (["-l", "absent.nii.gz"], "absent.nii.gz: no such image file"),
        (["-c", "absent.json"], "absent.json: no such file"),
    ],
)
def test_errors_are_one_line(image, write, tmp_path, capsys, arguments, message):
    options = {"-i": str(image), "-c": str(write()), "-o": str(tmp_path / "o")}
    options |= {arguments[0]: arguments[1]}
    assert main([part for pair in options.items() for part in pair]) == 1
    error = capsys.readouterr().err.strip()
    assert message in error
    assert "\n" not in error
    assert not (tmp_path / "o").exists()


def test_what_cannot_be_shown_is_told(image, label, study, write, tmp_path, capsys):
    def error_of(config, *more):
        assert main(["-i", str(image), "-c", str(config), "-o", str(tmp_path / "o"), *more]) == 1
        return capsys.readouterr().err

    assert "has no transform for training" in error_of(write({"Clahe": {"dataset_type": ["testing"]}}))
    roi = {"loader_parameters": {"roi_params": {"suffix": "_seg", "slice_filter_roi": None}}}
    assert "give its mask with -r" in error_of(write({"ROICrop": {"size": [8, 8]}}, **roi))
    other = study / "sub-001" / "anat" / "sub-001_T1w.nii.gz"
    assert "lies on another grid" in error_of(write(), "-l", str(other))
    empty = tmp_path / "empty.nii.gz"
    nib.save(nib.Nifti1Image(np.zeros((8, 8, 3), np.float32), np.eye(4)), empty)
    assert "every slice is empty" in error_of(write(), "-i", str(empty))


def test_long_chains_keep_file_names_short():
    names = ["Resample", "CenterCrop", *TRANSFORMS, *TRANSFORMS]
    stems = [stem_of_chain(names[:count]) for count in range(1, len(names))]
    assert stems[1] == "Resample_CenterCrop"
    assert len(set(stems)) == len(stems)
    assert max(len(stem) for stem in stems) < 240
