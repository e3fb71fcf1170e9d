"""Data sets of nnU-Net, of the Decathlon and of a table are used as BIDS ones are, from the first configuration on."""

import json
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from ivadomed.main import main
from ivadomed.scripts import check_data, to_bids
from ivadomed.scripts.create_phantom import create_phantom

LAYOUTS = ["nnunet", "decathlon", "table.csv"]
CONTRASTS = ("T1w", "T2w")
CLASSES = {"white matter": 1, "grey matter": 2}
SUFFIXES = [f"_dseg:{name}" for name in CLASSES]


def save(path: Path, data: np.ndarray, affine: np.ndarray) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(data, affine), path)
    return str(path)


def write_copies(study: Path, root: Path) -> None:
    """Write a study with two contrasts on one grid as BIDS with a label map, and in the other layouts."""
    rows, listed = [], []
    for number, folder in enumerate(sorted(study.glob("sub-*"))):
        subject = folder.name.removeprefix("sub-")
        case = f"{subject[:-2]}_{subject[-2:]}"  # the subject is the letters and digits of the case
        images = [nib.load(folder / f"anat/{folder.name}_{contrast}.nii.gz") for contrast in CONTRASTS]
        affine = images[0].affine
        channels = [np.asanyarray(image.dataobj) for image in images]
        labels = study / f"derivatives/labels/{folder.name}/anat/{folder.name}_T1w"
        cord, inner = (
            np.asanyarray(nib.load(f"{labels}_{name}-manual.nii.gz").dataobj) >= 0.5
            for name in ("seg", "gmseg")
        )
        mapped = np.where(inner, 2, cord).astype(np.uint8)
        cells = [case, str(30 + number)]
        for channel, contrast in enumerate(CONTRASTS):
            stem = f"{folder.name}/anat/{folder.name}_{contrast}"
            save(root / f"bids/{stem}.nii.gz", channels[channel], affine)
            save(root / f"bids/derivatives/labels/{stem}_dseg.nii.gz", mapped, affine)
            path = root / f"nnunet/imagesTr/{case}_{channel:04}.nii.gz"
            cells.append(str(Path(save(path, channels[channel], affine)).relative_to(root)))
        save(root / f"decathlon/imagesTr/{case}.nii.gz", np.stack(channels, axis=3), affine)
        (root / f"decathlon/imagesTr/._{case}.nii.gz").write_bytes(b"Mac OS X")
        save(root / f"nnunet/labelsTr/{case}.nii.gz", mapped, affine)
        cells.append(f"decathlon/labelsTr/{case}.nii.gz")
        save(root / cells[-1], mapped, affine)
        rows.append(",".join(cells))
        listed.append({"image": f"./imagesTr/{case}.nii.gz", "label": f"./labelsTr/{case}.nii.gz"})
    describe(root, rows, listed)


def describe(root: Path, rows: list[str], listed: list[dict[str, str]]) -> None:
    index = "index\tname\n" + "".join(f"{value}\t{name}\n" for name, value in CLASSES.items())
    (root / "bids/derivatives/labels/dseg.tsv").write_text(index)
    (root / "bids/dataset_description.json").write_text('{"Name": "phantom", "BIDSVersion": "1.9.0"}')
    subjects = ["sub-" + row.split(",")[0].replace("_", "") + "\t" + row.split(",")[1] for row in rows]
    (root / "bids/participants.tsv").write_text("\n".join(["participant_id\tage", *subjects, ""]))
    (root / "dseg.tsv").write_text(index)
    (root / "table.csv").write_text("\n".join(["participant_id,age,T1w,T2w,dseg", *rows, ""]))
    channels = dict(enumerate(CONTRASTS))
    nnunet = {"channel_names": channels, "labels": {"background": 0, **CLASSES}, "file_ending": ".nii.gz"}
    (root / "nnunet/dataset.json").write_text(json.dumps({**nnunet, "numTraining": len(rows)}))
    values = {"0": "background", **{str(value): name for name, value in CLASSES.items()}}
    decathlon = {"name": "phantom", "modality": channels, "labels": values, "training": listed, "test": []}
    (root / "decathlon/dataset.json").write_text(json.dumps(decathlon))


@pytest.fixture(scope="module")
def copies(tmp_path_factory) -> Path:
    """Folder with the same six subjects in every layout; tests must not write into it."""
    root = tmp_path_factory.mktemp("layouts")
    study = create_phantom(root / "study", n=6, seed=1, size="tiny", contrasts=CONTRASTS, coregistered=True)
    write_copies(study, root)
    return root


@dataclass(frozen=True)
class Run:
    """What came out of a training, its test and a segmentation; ``split`` is the text of the file."""

    losses: list[str]
    table: pd.DataFrame
    written: dict[str, np.ndarray]
    split: str

    def is_same_as(self, other: "Run") -> None:
        """Fail unless every number is the same."""
        assert (self.losses, self.split) == (other.losses, other.split)
        pd.testing.assert_frame_equal(self.table, other.table, check_exact=True)
        np.testing.assert_equal(self.written, other.written)


@pytest.fixture
def run(config, copies, tmp_path):
    """Train one epoch, test and segment."""

    def run(layout, **loader):
        folder = tmp_path / layout
        config["path_output"] = str(folder)
        config["loader_parameters"] |= {
            "path_data": [str(copies / layout)],
            "target_suffix": SUFFIXES,
            "multichannel": True,
            **loader,
        }
        contrasts = {"training_validation": list(CONTRASTS), "testing": list(CONTRASTS)}
        config["loader_parameters"]["contrast_params"] |= contrasts
        config["training_parameters"]["training_time"]["num_epochs"] = 1
        config["postprocessing"] = {}
        config["default_model"] |= {"depth": 1, "n_filters": 2, "final_activation": "softmax"}
        file = tmp_path / f"{layout}.json"
        file.write_text(json.dumps(config), encoding="utf-8")
        for command in ("--train", "--test"):
            assert main([command, "-c", str(file), "--quiet"]) == 0
        table = pd.read_csv(folder / "results_eval" / "evaluation_3Dmetrics.csv", index_col=0)
        log = (folder / "log").read_text(encoding="utf-8")
        losses = [line.split("ivadomed")[-1] for line in log.splitlines() if "loss:" in line]
        assert main(["--segment", "-c", str(file), "--quiet"]) == 0
        files = (folder / "pred_masks").glob("*_pred.nii.gz")
        written = {path.name: np.asanyarray(nib.load(path).dataobj) for path in files}
        return Run(losses, table, written, (folder / "split_datasets.json").read_text())

    return run


def test_the_numbers_are_those_of_the_bids_form(run, copies, tmp_path, capsys):
    first = run("bids")
    assert first.losses
    assert len(first.written) == 6 * len(CLASSES) + 1  # those of --segment, and that of the test set
    assert all(0 < voxels.max() < 1 for voxels in first.written.values())
    for layout in LAYOUTS:
        run(layout).is_same_as(first)
        [identity] = json.loads((tmp_path / layout / "manifest.json").read_text())["data"]
        assert identity["layout"] == {"nnunet": "nnU-Net", "decathlon": "Decathlon"}.get(layout, "table")
    assert to_bids.main([str(copies / "decathlon"), "-o", str(tmp_path / "data")]) == 0
    assert f"6 subjects, 12 images, 12 labels in {tmp_path / 'data'}" in capsys.readouterr().out
    run("copy", path_data=[str(tmp_path / "data")]).is_same_as(first)


def test_columns_of_a_table_select_subjects(run):
    older = {"n": [1] * 5, "metadata": ["age"] * 5, "value": ["31", "32", "33", "34", "35"]}
    split = json.loads(run("table.csv", subject_selection=older).split)
    assert {name.split("_")[0] for side in split.values() for name in side} == {
        f"sub-00{n}" for n in range(2, 7)
    }


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_first_configuration_is_trained_as_it_is(copies, tmp_path, monkeypatch, layout):
    monkeypatch.chdir(tmp_path)
    assert main(["--init", "first", "--path-data", str(copies / layout)]) == 0
    config = json.loads(Path("first.json").read_text())
    loader = config["loader_parameters"]
    assert loader["target_suffix"] == SUFFIXES
    assert loader["contrast_params"]["training_validation"] == list(CONTRASTS)
    assert loader["multichannel"] is True
    config["training_parameters"]["training_time"]["num_epochs"] = 1
    config["training_parameters"]["num_workers"] = 0
    config["default_model"]["n_filters"] = 2
    Path("first.json").write_text(json.dumps(config))
    for command in ("--train", "--test"):
        assert main([command, "-c", "first.json", "--quiet"]) == 0
    assert check_data.main(["-c", "first.json"]) == 0


def test_a_folder_that_is_no_data_set_is_answered_with_the_four(copies, capsys):
    assert main(["--init", "first", "--path-data", str(copies)]) == 1
    message = capsys.readouterr().err
    assert "contains data sets but is not one itself" in message
    for kind in ("BIDS", "nnU-Net", "Decathlon", "a table"):
        assert f"  {kind} " in message
