"""What bad data get: one or two lines that name the file; and data in unusual places, which just work."""

import json
import os
import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import tifffile

from ivadomed.errors import DataError
from ivadomed.images.io import read_image, write_picture
from ivadomed.main import main, run_main
from ivadomed.runtime.terminal import SCREEN
from ivadomed.scripts.check_data import main as check_data
from ivadomed.scripts.create_phantom import create_microscopy
from ivadomed.training import loop
from testing.functional_tests.faults.clear import contents
from testing.functional_tests.faults.conftest import T2W, Study

IMAGE, LABEL = "sub-001_T2w.nii.gz", "sub-001_T2w_seg-manual.nii.gz"


@pytest.fixture
def config(config, broken):
    config["loader_parameters"]["path_data"] = [str(broken.folder)]
    return config


def change(path, of_data, of_affine=lambda affine: affine):
    image = nib.load(path)
    nib.save(nib.Nifti1Image(of_data(image.get_fdata(dtype=np.float32)), of_affine(image.affine)), path)


def shift(path):
    change(path, lambda data: data, lambda affine: affine + np.outer([1, 1, 1, 0], [0, 0, 0, 2]))


def turn(path):
    """The label's voxels stay, its axes are named otherwise."""
    change(path, lambda data: data, lambda affine: affine @ np.diag([1, 1, -1, 1]))


def cut(path, keep=0.5):
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * keep)])


def set_voxel(path, value):
    change(path, lambda data: np.where(data == data.max(), value, data))


def unpack(path, keep=1.0):
    """As .nii, perhaps truncated."""
    plain = path.with_name(path.name.removesuffix(".gz"))
    nib.save(nib.load(path), plain)
    path.unlink()
    cut(plain, keep)


def copy_to(path, target):
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(path, target)


def remove_subjects(s, keep):
    for folder in sorted(s.folder.glob("sub-*"))[keep:]:
        shutil.rmtree(folder)


FAULTS = {
    "another shape": (
        lambda s: change(s.label, lambda d: d[:-1]),
        rf"{LABEL} lies on another grid than .*{IMAGE}",
    ),
    "another place": (
        lambda s: shift(s.label),
        rf"{LABEL} lies on another grid than .*{IMAGE}: .* instead of",
    ),
    "another orientation": (lambda s: turn(s.label), rf"{LABEL} lies on another grid than .*{IMAGE}"),
    "truncated gz": (lambda s: cut(s.image, 0.9), rf"{IMAGE}: truncated or damaged \(.+\); replace"),
    "truncated header": (
        lambda s: cut(s.image, 0.01),
        rf"{IMAGE}: not a readable NIfTI file \(.+\); replace",
    ),
    "truncated label": (lambda s: cut(s.label, 0.9), rf"{LABEL}: truncated or damaged"),
    "truncated nii": (lambda s: unpack(s.image, 0.9), r"sub-001_T2w.nii: truncated or damaged \("),
    "zero-byte image": (
        lambda s: cut(s.image, 0),
        rf"{IMAGE}: not a readable NIfTI file \(Empty file\); replace",
    ),
    "zero-byte label": (
        lambda s: cut(s.label, 0),
        rf"{LABEL}: not a readable NIfTI file \(Empty file\); replace",
    ),
    "no NIfTI": (lambda s: s.image.write_text("text"), rf"{IMAGE}: not a readable NIfTI file"),
    "NaN": (lambda s: set_voxel(s.image, np.nan), rf"{IMAGE}: has NaN or infinite voxels"),
    "infinite": (lambda s: set_voxel(s.image, np.inf), rf"{IMAGE}: has NaN or infinite voxels"),
    "NaN in a label": (lambda s: set_voxel(s.label, np.nan), rf"{LABEL}: has NaN or infinite voxels"),
    "4D image": (
        lambda s: change(s.image, lambda d: np.stack([d] * 3, -1)),
        rf"{IMAGE}: has 3 volumes.*slicer",
    ),
    "4D label": (
        lambda s: change(s.label, lambda d: np.stack([d] * 3, -1)),
        rf"{LABEL}: has 3 volumes.*slicer",
    ),
    "no labels": (
        lambda s: shutil.rmtree(s.labels),
        rf"No usable image.*available labels: none\n6 left out, such as .*{IMAGE}: no label sub-001_T2w_seg",
    ),
    "labels of another name": (
        lambda s: [
            path.rename(path.parent / path.name.replace("manual", "x")) for path in s.labels.rglob("*manual*")
        ],
        "No usable image.*available labels: .*_seg-x",
    ),
    "no subject": (
        lambda s: remove_subjects(s, 0),
        r"No usable image: .*data set .*available images: none",
    ),
    "one subject": (
        lambda s: remove_subjects(s, 1),
        r"all values of participant_id \(1\) are in the test set",
    ),
    "two subjects": (
        lambda s: remove_subjects(s, 2),
        "validation set is empty: the split assigns no image to it",
    ),
    "no data set": (lambda s: shutil.rmtree(s.folder), "data set: no such folder"),
    "participant twice": (
        lambda s: s.table.write_text(s.table.read_text() + s.table.read_text().splitlines()[1] + "\n"),
        r"participants\.tsv: sub-001 is listed twice; keep one row",
    ),
    "table without subjects": (
        lambda s: s.table.write_text("name\tage\nsub-001\t3\n"),
        r'participants\.tsv: has no column "participant_id"',
    ),
    "table of bytes": (
        lambda s: s.table.write_bytes(b"\xff\xfe\x00"),
        r"participants\.tsv: cannot be read as",
    ),
    "label in two derivatives": (
        lambda s: copy_to(s.label, s.folder / "derivatives" / "other" / "sub-001" / "anat" / LABEL),
        rf'{IMAGE}: the label "_seg-manual" is not unique, found .*labels.*{LABEL} and .*other.*{LABEL}',
    ),
    "label in two formats": (
        lambda s: nib.save(nib.load(s.label), s.label.with_suffix("")),
        r'the label "_seg-manual" is not unique, found .*manual\.nii and .*manual\.nii\.gz',
    ),
    "image in two formats": (
        lambda s: nib.save(nib.load(s.image), s.image.with_suffix("")),
        r"The image name sub-001_T2w occurs 2 times \(.*T2w\.nii, .*T2w\.nii\.gz\)",
    ),
    "damaged sidecar": (
        lambda s: s.image.with_name("sub-001_T2w.json").write_text("{"),
        r"sub-001_T2w\.json: is not valid JSON",
    ),
    "empty labels": (
        lambda s: [change(path, np.zeros_like) for path in s.labels.rglob("*_seg-manual*")],
        "the training set has no labelled voxel: the labels _seg-manual",
    ),
    "label of several classes": (
        lambda s: change(s.label, lambda d: d + (np.arange(d.shape[0]) % 3 == 0)[:, None, None]),
        rf'{LABEL}: has the values 0 .*, 1 .*, 2 \([\d,]+ voxels\); expected 0 and one other value.*"_seg-manual:2"',
    ),
    "label that is constant NaN": (
        lambda s: change(s.label, lambda d: np.full_like(d, np.nan)),
        rf"{LABEL}: has NaN or infinite",
    ),
}


@pytest.mark.parametrize("name", list(FAULTS))
def test_bad_data(broken, config, name, write, refused):
    breaks, message = FAULTS[name]
    breaks(broken)
    refused(["--train", write(config)], message, keeps=[broken.folder] if broken.folder.exists() else [])


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        (
            {"loader_parameters": {"contrast_params": {"training_validation": ["T9w"]}}},
            r"No usable image: .*'T9w'.*available images: T2w\.nii\.gz",
        ),
        (
            {"loader_parameters": {"extensions": [".png"]}},
            r"No usable image: .*available images: T2w\.nii\.gz",
        ),
        ({"loader_parameters": {"target_sessions": ["07"]}}, r"No usable image: .*of sessions \['07'\]"),
        ({"loader_parameters": {"roi_params": {"suffix": "_roi"}}}, "no label sub-001_T2w_roi"),
        ({"split_dataset": {"split_method": "site"}}, 'split_method: the data set has no column "site"'),
        (
            {"loader_parameters": {"subject_selection": {"n": [9], "metadata": ["sex"], "value": ["F"]}}},
            r'subject_selection: 9 subjects with sex "F" wanted, \d found; lower n',
        ),
        (
            {"default_model": {"length_2D": [64, 64], "stride_2D": [32, 32]}},
            "a patch of 64x64 voxels does not fit an image of 32x32 voxels after preprocessing: reduce",
        ),
    ],
)
def test_configurations_that_do_not_fit_the_data(config, sections, message, write, refused):
    for name, section in sections.items():
        config[name] |= section
    refused(["--train", write(config)], message)


def test_samples_that_are_too_small_for_the_network(config, write, refused):
    config["default_model"] |= {"depth": 3, "length_2D": [4, 4], "stride_2D": [4, 4]}
    refused(
        ["--train", write(config)], "samples of 4x4 voxels are too small for Unet: depth 3 requires 8 voxels"
    )


def test_slices_of_several_sizes_do_not_fit_into_a_batch(broken, config):
    for path in (broken.image, broken.label):
        change(path, lambda data: data[:-8])
    del config["transformation"]["CenterCrop"]
    with pytest.raises(
        DataError, match=r"sub-00\d_T2w has \d+x\d+ voxels.* a batch needs one size; add CenterCrop"
    ):
        run_main(config)
    config["training_parameters"]["batch_size"] = 1
    run_main(config)
    table, _ = run_main({**config, "command": "test"})
    assert len(table) == 1


def test_all_faults_of_headers_are_counted_before_anything_is_prepared(broken, config):
    for path in broken.labels.rglob("*_seg-manual*"):
        shift(path)
    with pytest.raises(DataError, match=r"another grid.*\n\d more images? ha.* a fault; ivadomed_check_data"):
        run_main(config)
    assert not (Path(config["path_output"]) / "cache").exists()


def test_a_missing_label_leaves_the_image_out_and_says_so(broken, config):
    broken.label.unlink()
    run_main(config)
    log = (Path(config["path_output"]) / "log").read_text(encoding="utf-8")
    assert f"Left out {broken.image}: no label sub-001_T2w_seg-manual" in log
    assert "kept 5 of 6 images" in log


def screen_lines(caplog, title: str) -> list[str]:
    shown = [record.getMessage() for record in caplog.records if record.name == SCREEN]
    caplog.clear()
    return [" ".join(line.split()) for line in shown if line.startswith(title)]


def test_what_is_left_out_is_one_line_of_the_screen(broken, config, write, caplog):
    broken.label.unlink()
    (broken.folder / "sub-002" / "anat" / "sub-003_T2w.nii.gz").write_bytes(broken.image.read_bytes())
    other = broken.folder / "sub-009" / "anat" / "sub-009_T1w.nii.gz"
    other.parent.mkdir(parents=True)
    other.write_bytes(broken.image.read_bytes())
    assert main(["--train", str(write(config))]) == 0
    log = Path(config["path_output"]) / "log"
    assert screen_lines(caplog, "Left out") == [
        "Left out 3: a name or place that breaks the rules (sub-003_T2w.nii.gz); no label _seg-manual "
        f"(sub-001_T2w.nii.gz); no image of the contrast T2w (sub-009). {log} lists all"
    ]
    for name in ("sub-003_T2w.nii.gz", "sub-001_T2w.nii.gz", "sub-009"):
        assert any("eft out" in line and name in line for line in log.read_text("utf-8").splitlines())
    assert main(["--segment", str(write(config))]) == 0
    [line] = screen_lines(caplog, "Left out")
    assert line.startswith("Left out 2: ")
    assert "no label" not in line
    assert "no image of the contrast T2w (sub-009)" in line


def test_subjects_without_one_of_the_channels_are_a_line_of_the_screen(broken, config, write, caplog):
    for path in broken.folder.rglob("sub-00[2356]/anat/*_T2w*.nii.gz"):
        shutil.copy(path, path.with_name(path.name.replace("T2w", "T1w")))
    config["loader_parameters"] |= {
        "multichannel": True,
        "contrast_params": {"training_validation": ["T1w", "T2w"], "testing": ["T1w", "T2w"]},
    }
    config["split_dataset"]["data_testing"] = {
        "data_type": "participant_id",
        "data_value": ["sub-001", "sub-002"],
    }
    path = str(write(config))
    of_the_test = "1: no T1w image (sub-001)"
    expected = {
        "--train": "1: no T1w image (sub-004)",
        "--test": of_the_test,
        "--eval": of_the_test,
        "--segment": "2: no T1w image (sub-001, sub-004)",
    }
    for step, left_out in expected.items():
        assert main([step, path]) == 0
        [line] = screen_lines(caplog, "Left out")
        assert line.startswith(f"Left out {left_out}. ")


def test_nothing_that_is_left_out_is_no_line(config, write, caplog):
    config["loader_parameters"]["contrast_params"] = T2W | {"balance": {"T2w": 0.9}}
    assert main(["--train", str(write(config))]) == 0
    assert screen_lines(caplog, "Left out") == []


def test_without_the_suffix_of_a_label_the_key_and_the_labels_are_named(config, write, refused):
    del config["loader_parameters"]["target_suffix"]
    for step in ("--train", "--eval"):
        refused(
            [step, write(config)],
            r'loader_parameters.target_suffix: is empty; expected .*\["_seg-manual"\]; available labels: '
            ".*_seg-manual",
        )
    refused(["-c", write(config)], "loader_parameters.target_suffix: is empty", main=check_data)


def test_an_empty_set_says_what_its_images_lack(config, write, refused):
    config["loader_parameters"]["contrast_params"] = T2W | {"training_validation": ["T2star"]}
    config["loader_parameters"]["contrast_params"]["testing"] = ["T2w"]
    refused(
        ["--train", write(config)], r"the \w+ set is empty: its images \(\d+\) are all left out: .*T2star"
    )


def test_a_data_set_without_its_description_is_a_warning(broken, config, write, caplog):
    (broken.folder / "dataset_description.json").unlink()
    assert main(["--train", str(write(config))]) == 0
    assert caplog.text.count(f"{broken.folder}: has no dataset_description.json") == 1
    caplog.clear()
    config["loader_parameters"]["bids_validate"] = False
    assert main(["--train", "--overwrite", str(write(config))]) == 0
    assert "dataset_description" not in caplog.text


@pytest.mark.parametrize(
    ("breaks", "warning"),
    [
        (lambda s: s.table.unlink(), "participants.tsv is missing: subjects have no metadata"),
        (
            lambda s: s.table.write_text("participant_id\nsub-001\n"),
            "participants.tsv lists no sub-002, sub-003",
        ),
    ],
)
def test_a_table_that_is_not_needed_may_be_missing(broken, config, breaks, warning):
    breaks(broken)
    run_main(config)
    assert warning in (Path(config["path_output"]) / "log").read_text(encoding="utf-8")


def test_a_contrast_without_an_image_is_a_warning(config):
    config["loader_parameters"]["contrast_params"] = T2W | {"testing": ["T9w"]}
    run_main(config)
    log = (Path(config["path_output"]) / "log").read_text(encoding="utf-8")
    assert "no usable image has the contrast T9w; available: T2w" in log
    with pytest.raises(DataError, match=r"the testing set is empty.*T9w"):
        run_main({**config, "command": "test"})


def test_a_damaged_image_is_named_by_every_command(broken, config, write, refused):
    path = write(config)
    assert main(["--train", str(path)]) == 0
    for image in broken.folder.glob("sub-*/anat/*.nii.gz"):
        cut(image, 0.9)
    for command in (["--test"], ["--segment"], ["--train", "--overwrite"]):
        refused([*command, path], r"_T2w\.nii\.gz: truncated or damaged", keeps=[broken.folder])


def write_stack(path):
    tifffile.imwrite(path, np.zeros((3, 60, 80), np.uint8), photometric="minisblack")


@pytest.mark.parametrize(
    ("extension", "breaks", "message"),
    [
        (".png", lambda path: cut(path, 0.9), "not a readable picture"),
        (".png", lambda path: cut(path, 0), "not a readable picture"),
        (".tif", lambda path: cut(path, 0.9), "not a readable picture"),
        (".tif", lambda path: cut(path, 0), "not a readable picture"),
        (".tif", write_stack, "has 3 pages, expected one"),
    ],
)
def test_bad_pictures(config, tmp_path, extension, breaks, message):
    data = create_microscopy(tmp_path / "data", n=4, seed=0, size=(80, 60))
    for path in list(data.rglob("*.png")):
        if extension != ".png":
            write_picture(path.with_suffix(extension), read_image(path).data[..., 0].astype(np.uint8))
            path.unlink()
    image = sorted(data.glob(f"sub-*/micr/*{extension}"))[0]
    breaks(image)
    config["loader_parameters"] = {
        "path_data": [str(data)],
        "target_suffix": ["_seg-axon-manual"],
        "extensions": [extension],
        "contrast_params": {"training_validation": ["SEM"]},
    }
    config["transformation"] = {"CenterCrop": {"size": [32, 32]}}
    config["split_dataset"] = {"train_fraction": 0.5, "test_fraction": 0.25, "data_testing": {}}
    with pytest.raises(DataError, match=rf"{image.name}: {message}") as caught:
        run_main(config)
    assert "\n" not in str(caught.value)


def listing(folder: Path) -> dict[str, tuple[int, int, int]]:
    paths = [folder, *folder.rglob("*")]
    return {str(path): (path.stat().st_size, path.stat().st_mtime_ns, path.stat().st_mode) for path in paths}


@pytest.mark.parametrize("name", ["données é 子", 'a\'b "c" [d] {e} #1'])
def test_unusual_paths_and_a_data_set_that_cannot_be_written(study, config, tmp_path, name):
    """A data set and an output folder with spaces, quotes, brackets and letters of all kinds."""
    data = Study(study, tmp_path / name / "data").folder
    config["loader_parameters"]["path_data"] = [str(data)]
    config["path_output"] = str(tmp_path / name / "out")
    path = tmp_path / name / "config.json"
    path.write_text(json.dumps(config, ensure_ascii=False), encoding="utf-8")
    for entry in [*data.rglob("*"), data]:
        entry.chmod(entry.stat().st_mode & ~(stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH))
    before = listing(data)
    try:
        for command in ("--train", "--test", "--eval", "--segment"):
            assert main([command, "-c", str(path)]) == 0
        assert listing(data) == before
    finally:
        for entry in (data, *data.rglob("*")):
            entry.chmod(entry.stat().st_mode | stat.S_IWUSR)
    predictions = tmp_path / name / "out" / "pred_masks"
    assert len(list(predictions.glob("*_class-0_pred.nii.gz"))) == 6


def test_links_to_files_and_folders(broken, config, tmp_path):
    """As datalad and git-annex keep data sets: files are links into a store, and the data set is one itself."""
    store = tmp_path / "store"
    store.mkdir()
    for number, path in enumerate(sorted(broken.folder.rglob("*.nii.gz"))):
        kept = path.rename(store / f"{number}{''.join(path.suffixes)}")
        path.symlink_to(os.path.relpath(kept, path.parent) if number % 2 else kept)
    gone = broken.folder / "sub-003" / "anat" / "sub-003_T2w.nii.gz"
    gone.unlink()
    gone.symlink_to("not fetched")
    for path in (broken.folder / "sub-002", broken.labels):
        kept = path.rename(path.parent / f".{path.name}")  # relative links within continue leading somewhere
        path.symlink_to(kept, target_is_directory=True)
    (tmp_path / "link").symlink_to(broken.folder, target_is_directory=True)
    config["loader_parameters"]["path_data"] = [str(tmp_path / "link")]
    run_main(config)
    log = (Path(config["path_output"]) / "log").read_text(encoding="utf-8")
    assert "sub-003_T2w.nii.gz: a link without content; fetch it first" in log
    assert "kept 5 of 5 images" in log


def links_into_another_subject(s):
    """The data set is whole, but the label's name only begins like that of another subject."""
    folder = s.labels / "sub-0011" / "anat"
    copy_to(s.label, folder / "sub-0011_T2w_seg-manual.nii.gz")
    s.label.unlink()


def test_the_label_of_a_subject_with_a_similar_name_is_not_taken(broken, config):
    links_into_another_subject(broken)
    run_main(config)
    log = (Path(config["path_output"]) / "log").read_text(encoding="utf-8")
    assert f"Left out {broken.image}: no label sub-001_T2w_seg" in log
    assert "kept 5 of 6 images" in log


def test_a_label_in_the_folder_of_another_subject_is_not_taken(broken, config):
    shutil.move(broken.label, broken.labels / "sub-002" / "anat")
    run_main(config)
    assert f"Left out {broken.image}" in (Path(config["path_output"]) / "log").read_text(encoding="utf-8")


def test_a_missing_contrast_is_not_filled_by_another_subject(study, config, tmp_path):
    data = shutil.copytree(study, tmp_path / "two contrasts")
    (data / "sub-001" / "anat" / "sub-001_T1w.nii.gz").unlink()
    copy_to(
        data / "sub-002" / "anat" / "sub-002_T1w.nii.gz", data / "sub-0011" / "anat" / "sub-0011_T1w.nii.gz"
    )
    config["loader_parameters"] |= {
        "path_data": [str(data)],
        "multichannel": True,
        "contrast_params": {"training_validation": ["T1w", "T2w"], "testing": ["T1w", "T2w"], "balance": {}},
    }
    for path in data.glob("sub-*/anat/*_T1w.nii.gz"):  # on one grid, so that nothing else is wrong
        other = path.with_name(path.name.replace("T1w", "T2w"))
        if other.exists():
            shutil.copy(other, path)
    run_main(config)
    log = (Path(config["path_output"]) / "log").read_text(encoding="utf-8")
    assert re.search(r"(Left out|Dropped|left out).*sub-001.*T1w", log), log


def test_one_subject_in_two_data_sets_is_on_one_side_of_the_split(broken, config, tmp_path):
    second = shutil.copytree(broken.folder, tmp_path / "second")
    config["loader_parameters"]["path_data"].append(str(second))
    with pytest.raises(DataError, match=r"sub-00\d_T2w.*2 times|occurs 2 times"):
        run_main(config)
    for path in sorted(second.rglob("*_T2w*"), key=lambda path: -len(path.parts)):
        name = re.sub(r"_T2w", "_acq-ax_T2w", path.name)
        path.rename(path.with_name(name))
    config["loader_parameters"]["contrast_params"]["training_validation"] = ["T2w", "acq-ax_T2w"]
    run_main(config)
    split = json.loads((Path(config["path_output"]) / "split_datasets.json").read_text())
    sides = [{name.split("_")[0] for name in names} for names in split.values()]
    assert not sides[0] & sides[1] | sides[0] & sides[2] | sides[1] & sides[2]


def test_a_data_set_named_twice(config, write, refused):
    config["loader_parameters"]["path_data"] *= 2
    refused(["--train", write(config)], "path_data.*twice|named twice|2 times")


def test_all_slices_filtered_out(broken, config, write, refused):
    for path in broken.folder.glob("sub-*/anat/*.nii.gz"):
        change(path, np.zeros_like)
    config["loader_parameters"]["slice_filter_params"] = {"filter_empty_input": True}
    refused(["--train", write(config)], "slice_filter_params|filter_empty_input", keeps=[broken.folder])


def test_a_batch_that_is_larger_than_the_data_set(config):
    config["training_parameters"]["batch_size"] = 5000
    assert np.isfinite(run_main(config)).all()


def test_an_image_that_is_replaced_while_the_training_runs(broken, config, monkeypatch):
    """What was prepared is used to the end; the next command looks at the new file."""
    plain = loop.Trainer._train_epoch

    def train_epoch(self, epoch, *others):
        for path in broken.folder.glob("sub-*/anat/*.nii.gz"):
            change(path, lambda data: data[:-3])
        return plain(self, epoch, *others)

    expected = run_main(config)
    monkeypatch.setattr(loop.Trainer, "_train_epoch", train_epoch)
    assert run_main({**config, "path_output": config["path_output"] + "2"}) == expected
    with pytest.raises(DataError, match="lies on another grid than"):
        run_main({**config, "command": "test"})


def test_a_data_set_on_a_read_only_mount(broken, config, write, tmp_path):
    """In a name space of its own, where root may not write either."""
    mount = f"mount --bind '{broken.folder}' '{broken.folder}' && mount -o remount,bind,ro '{broken.folder}'"
    in_space = ["unshare", "--mount", "--map-root-user", "sh", "-c"]
    if shutil.which("unshare") is None or subprocess.run([*in_space, mount], capture_output=True).returncode:
        pytest.skip("no mounts may be made here")
    before = contents(broken.folder)
    program = tmp_path / "steps.py"
    program.write_text(
        "import sys\nfrom ivadomed.main import main\n"
        "sys.exit(max(main([step, sys.argv[1]]) for step in ('--train', '--test', '--segment')))\n"
    )
    steps = f"! touch '{broken.folder}/x' && '{sys.executable}' '{program}' '{write(config)}'"
    done = subprocess.run([*in_space, f"{mount} && {steps}"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert contents(broken.folder) == before
    assert (Path(config["path_output"]) / "results_eval" / "evaluation_3Dmetrics.csv").is_file()
