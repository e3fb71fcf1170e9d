"""``ivadomed --segment --model``: a packaged model on data sets of any layout and on files, without a configuration."""

import json
import re
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from ivadomed.loader.bids.label_tables import read_table
from ivadomed.main import main
from ivadomed.scripts import segment_image
from ivadomed.scripts.create_phantom import create_phantom
from testing.functional_tests.test_layouts import write_copies

EXCLUSIVE = {"binarize_maxpooling": {}}
CLASSES = ("_seg-cord", "_dseg:grey matter")


def read(path: Path) -> np.ndarray:
    return np.asanyarray(nib.load(path).dataobj)


@pytest.fixture(scope="module")
def copies(tmp_path_factory) -> Path:
    """Folder with two subjects in every layout; tests must not write into it."""
    root = tmp_path_factory.mktemp("layouts")
    write_copies(
        create_phantom(root / "study", n=2, size="tiny", contrasts=("T1w", "T2w"), coregistered=True), root
    )
    return root


@pytest.fixture
def model(package) -> Path:
    return package(classes=CLASSES, postprocessing=EXCLUSIVE)


def segment(model: Path, data: Path | list[Path], output: Path, *options: str) -> int:
    data = data if isinstance(data, list) else [data]
    texts = map(str, ("--segment", "--model", model, "--path-data", *data, "--path-output", output, *options))
    return main([*texts, "--quiet"])


def test_a_data_set_gives_a_data_set_of_derivatives(model, copies, tmp_path):
    before = sorted(copies.rglob("*"))
    assert segment(model, copies / "bids", tmp_path / "out") == 0
    assert sorted(copies.rglob("*")) == before
    description = json.loads((tmp_path / "out" / "dataset_description.json").read_text())
    assert description["DatasetType"] == "derivative"
    assert description["GeneratedBy"][0]["Name"] == "ivadomed"
    assert description["SourceDatasets"] == [{"URL": (copies / "bids").as_uri()}]
    assert read_table(tmp_path / "out" / "dseg.tsv") == {"seg-cord": (1,), "grey matter": (2,)}
    for image in (copies / "bids").glob("sub-*/anat/*_T1w.nii.gz"):
        stem = str(tmp_path / "out" / image.relative_to(copies / "bids")).removesuffix(".nii.gz")
        cord, grey = (read(f"{stem}_{name}_pred.nii.gz") for name in ("seg-cord", "dseg-grey-matter"))
        assert cord.any() or grey.any()
        np.testing.assert_array_equal(read(f"{stem}_dseg.nii.gz"), cord + 2 * grey)
        np.testing.assert_array_equal(nib.load(f"{stem}_dseg.nii.gz").affine, nib.load(image).affine)
    assert not list((tmp_path / "out").rglob("*T2w*"))  # the model was trained on T1w
    assert not list((tmp_path / "out").rglob("config_file.json"))
    assert segment(model, copies / "bids", tmp_path / "out", "--no-label-map") == 0
    assert not list((tmp_path / "out").rglob("*_dseg.nii.gz"))


def test_every_layout_gives_the_numbers_of_bids(package, copies, tmp_path):
    model = package(contrasts=("T1w", "T2w"))
    found = {}
    for layout in ("bids", "nnunet", "decathlon", "table.csv"):
        assert segment(model, copies / layout, tmp_path / layout) == 0
        files = sorted((tmp_path / layout).rglob("*_pred.nii.gz"))
        assert [len(file.relative_to(tmp_path / layout).parts) for file in files] == [3, 3]
        assert len(list((tmp_path / layout).rglob("sub-*_dseg.nii.gz"))) == 2  # of one class too
        found[layout] = [read(file) for file in files]
        assert any(map(np.any, found[layout]))
        np.testing.assert_equal(found[layout], found["bids"])


def test_files_and_folders_of_files(model, copies, tmp_path):
    images = sorted((copies / "bids").glob("sub-*/anat/*_T1w.nii.gz"))
    assert segment(model, images[0], tmp_path / "one") == 0
    name = images[0].name.removesuffix(".nii.gz")
    assert sorted(path.name for path in (tmp_path / "one").iterdir()) == sorted(
        ["dseg.tsv", *(f"{name}_{end}.nii.gz" for end in ("dseg", "dseg-grey-matter_pred", "seg-cord_pred"))]
    )
    folder = tmp_path / "scans"
    folder.mkdir()
    for image in images:
        shutil.copy(image, folder)
    assert segment(model, folder, tmp_path / "all") == 0
    assert len(list((tmp_path / "all").glob("*_dseg.nii.gz"))) == 2
    np.testing.assert_array_equal(
        read(tmp_path / "all" / f"{name}_dseg.nii.gz"), read(tmp_path / "one" / f"{name}_dseg.nii.gz")
    )
    assert segment_image.main(["-m", str(model), "-i", str(folder), "-o", str(folder), "--no-label-map"]) == 0
    assert segment_image.main(["-m", str(model), "-i", str(folder), "-o", str(folder)]) == 0
    assert len(list(folder.glob("*_dseg.nii.gz"))) == 2  # its own results are not segmented


def test_a_drawn_label_map_is_not_replaced(model, copies, tmp_path, capsys):
    image = next((copies / "bids").glob("sub-*/anat/*_T1w.nii.gz"))
    drawn = tmp_path / image.name.replace("_T1w", "_T1w_dseg")
    shutil.copy(image, tmp_path)
    shutil.copy(image, drawn)
    before = drawn.read_bytes()
    arguments = ["-m", str(model), "-i", str(tmp_path / image.name), "-o", str(tmp_path)]
    assert segment_image.main(arguments) == 1
    assert "would be replaced" in capsys.readouterr().err
    assert segment_image.main([*arguments, "--no-label-map"]) == 0
    assert drawn.read_bytes() == before


def test_the_only_contrast_of_a_data_set_is_taken_and_one_of_several_must_be_named(
    package, copies, tmp_path, capsys
):
    model = package(contrasts=("T2star",), postprocessing=EXCLUSIVE)
    assert segment(model, copies / "bids", tmp_path / "out") == 1
    error = capsys.readouterr().err
    assert "expects T2star, but" in error
    assert "has T1w, T2w; choose with --contrasts T1w" in error
    assert segment(model, copies / "bids", tmp_path / "out", "--contrasts", "T2w") == 0
    assert len(list((tmp_path / "out").rglob("*_T2w_dseg.nii.gz"))) == 2
    only = shutil.copytree(copies / "bids", tmp_path / "only", ignore=shutil.ignore_patterns("*_T2w*"))
    assert segment(model, only, tmp_path / "second") == 0
    assert len(list((tmp_path / "second").rglob("*_T1w_dseg.nii.gz"))) == 2


@pytest.mark.parametrize(
    ("output", "message"),
    [
        ("run", r"is the folder of a training; choose another --path-output, such as .*run/segmentations"),
        ("run/pred_masks", "holds the predictions of a test set"),
        ("data", "holds another data set"),
    ],
)
def test_folders_with_another_purpose_are_refused(model, copies, tmp_path, output, message, capsys):
    (tmp_path / "run" / "pred_masks").mkdir(parents=True)
    (tmp_path / "run" / "config_file.json").write_text("{}")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "dataset_description.json").write_text('{"Name": "x", "BIDSVersion": "1.9.0"}')
    before = sorted(tmp_path.rglob("*"))
    assert segment(model, copies / "bids", tmp_path / output) == 1
    image = next((copies / "bids").glob("sub-*/anat/*_T1w.nii.gz"))
    assert segment(model, image, tmp_path / output) == 1
    first, second = capsys.readouterr().err.splitlines()
    assert first == second
    assert re.search(message, first)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--train", "--model", "{model}"], "--model belongs to --segment"),
        (["--segment", "--model", "{model}", "--path-output", "x"], "add --path-data"),
        (["--segment", "--model", "{model}", "--path-data", "{model}"], "add --path-output"),
        (["--segment", "--model", "{model}", "-c", "x.json"], "leave -c CONFIG out"),
        (
            ["--segment", "--model", "nowhere", "--path-data", "{model}", "-po", "x"],
            "--model: nowhere: no such",
        ),
        (
            ["--segment", "--model", "{model}", "--path-data", "nowhere", "-po", "x"],
            "--path-data: nowhere: no such",
        ),
        (["--segment"], "or a model with --model FOLDER"),
    ],
)
def test_arguments_that_do_not_go_together(model, arguments, message, capsys):
    assert main([text.format(model=model) for text in arguments]) == 1
    assert message in capsys.readouterr().err
