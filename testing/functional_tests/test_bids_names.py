"""Data sets with the names that BIDS has for derivatives, and names as microscopes and other programs write them."""

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest

from ivadomed.main import main
from ivadomed.scripts.check_data import main as check_data


@pytest.fixture
def data(study, tmp_path) -> Path:
    """The T2w images of the study and their cords."""
    kept = shutil.ignore_patterns("*T1w*", "*T2star*", "*gmseg*", "*lesion*", "*disc*")
    return Path(shutil.copytree(study, tmp_path / "data", ignore=kept))


@pytest.fixture
def run(config, data, tmp_path):
    """Run commands with these labels; losses of the training and table of the evaluation."""

    def run(name, suffixes, commands=("--train", "--test", "--segment"), **loader):
        folder = tmp_path / name
        contrasts = {"training_validation": ["T2w"], "testing": ["T2w"], "balance": {}}
        config["path_output"] = str(folder)
        config["loader_parameters"] |= {"path_data": [str(data)], "target_suffix": suffixes}
        config["loader_parameters"] |= {"contrast_params": contrasts, **loader}
        config["training_parameters"]["training_time"]["num_epochs"] = 1
        config["default_model"] |= {"depth": 1, "n_filters": 2}
        file = tmp_path / f"{name}.json"
        file.write_text(json.dumps(config), encoding="utf-8")
        for command in commands:
            assert main([command, "-c", str(file), "--quiet"]) == 0
        assert check_data(["-c", str(file)]) == 0
        log = (folder / "log").read_text(encoding="utf-8")
        losses = [line.split("ivadomed")[-1] for line in log.splitlines() if "loss:" in line]
        table = folder / "results_eval" / "evaluation_3Dmetrics.csv"
        return losses, pd.read_csv(table, index_col=0) if table.exists() else None

    return run


def labels_of(data: Path) -> list[Path]:
    return sorted(data.glob("derivatives/labels/sub-*/anat/*_T2w_seg-manual.nii.gz"))


def move(path: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    path.rename(target)


@pytest.mark.parametrize(
    ("folder", "name", "suffix"),
    [
        ("derivatives/group/manual", "space-T2w_label-cord_mask", "_label-cord_mask"),
        ("derivatives/pipeline/derivatives/experts", "desc-manual_dseg", "_desc-manual_dseg:1"),
    ],
)
def test_labels_of_derivatives_give_the_numbers_of_those_behind_the_name(run, data, folder, name, suffix):
    expected = run("behind", ["_seg-manual"])
    for path in labels_of(data):
        subject = path.name.split("_")[0]
        move(path, data / folder / subject / "anat" / f"{subject}_{name}.nii.gz")
    shutil.rmtree(data / "derivatives/labels")
    found = run("bids", [suffix])
    assert found[0] == expected[0]
    pd.testing.assert_frame_equal(found[1], expected[1], check_exact=True)


def test_a_first_configuration_names_labels_of_derivatives(data, tmp_path, monkeypatch):
    for path in labels_of(data):
        subject = path.name.split("_")[0]
        move(
            path, data / "derivatives/a/b" / subject / "anat" / f"{subject}_space-T2w_label-cord_mask.nii.gz"
        )
    shutil.rmtree(data / "derivatives/labels")
    monkeypatch.chdir(tmp_path)
    assert main(["--init", "first", "--path-data", str(data)]) == 0
    loader = json.loads(Path("first.json").read_text())["loader_parameters"]
    assert loader["target_suffix"] == ["_label-cord_mask"]
    assert loader["contrast_params"]["training_validation"] == ["T2w"]


def test_runs_are_numbers_and_capitals_of_extensions_do_not_count(run, data):
    expected = run("plain", ["_seg-manual"])
    for path in data.rglob("sub-*_T2w*.nii.gz"):
        run_index = "run-1" if "derivatives" in path.parts else "run-01"
        path.rename(
            path.with_name(path.name.replace("_T2w", f"_{run_index}_T2w").replace(".nii.gz", ".NII.GZ"))
        )
    contrasts = {"training_validation": ["run-001_T2w"], "testing": ["run-1_T2w"], "balance": {}}
    found = run("runs", ["_seg-manual"], contrast_params=contrasts)
    assert found[0] == expected[0]
    assert found[1].to_numpy().tolist() == expected[1].to_numpy().tolist()


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16"])
def test_a_table_of_a_spreadsheet_is_read(run, data, caplog, encoding):
    table = data / "participants.tsv"
    lines = table.read_text().splitlines()
    table.write_bytes(
        "\r\n".join([f"{lines[0]}\tcity", *(f"{line}\tZürich" for line in lines[1:])]).encode(encoding)
    )
    run("table", ["_seg-manual"], commands=("--train",))
    assert ("participants.tsv: is not UTF-8 and is read as Latin-1" in caplog.text) == (encoding == "latin-1")


def test_two_files_that_fit_are_an_error_of_every_command(run, data, config, tmp_path, capsys):
    run("run", ["_seg-manual"], commands=("--train",))
    for path in labels_of(data):
        subject = path.name.split("_")[0]
        anat = data / "derivatives/x" / subject / "anat"
        move(path, anat / f"{subject}_space-T2w_label-cord_mask.nii.gz")
    anat = data / "derivatives/x/sub-002/anat"
    shutil.copy(anat / "sub-002_space-T2w_label-cord_mask.nii.gz", anat / "sub-002_label-cord_mask.nii.gz")
    config["loader_parameters"]["target_suffix"] = ["_label-cord_mask"]
    file = tmp_path / "config.json"
    file.write_text(json.dumps(config))
    for command in (main, ["--train", "--overwrite"]), (main, ["--test"]), (check_data, []):
        capsys.readouterr()
        assert command[0]([*command[1], "-c", str(file)]) == 1
        told = capsys.readouterr()
        [line] = [line for line in (told.out + told.err).splitlines() if "is not unique" in line]
        assert "sub-002_label-cord_mask.nii.gz and" in line
        assert "sub-002_space-T2w_label-cord_mask.nii.gz; remove all but one" in line
