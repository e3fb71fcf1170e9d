"""What a run writes about itself."""

import json
import logging
import platform
import subprocess
import sys

import pytest
import torch

from ivadomed import __version__
from ivadomed.commands.records import (
    run_folder,
    trained_in,
    version_text,
    versions,
    write_manifest,
)
from ivadomed.config import load_config
from ivadomed.errors import OutputError
from ivadomed.runtime.terminal import Mode, logging_to_terminal, say

LOGGER = logging.getLogger("ivadomed")
SHOWN = {
    Mode.QUIET: ["look"],
    Mode.SCREEN: ["Data      6 images", "look"],
    Mode.VERBOSE: ["Data      6 images", "look", "hello"],
    Mode.DEBUG: ["Data      6 images", "look", "hello", "detail"],
}


@pytest.fixture
def make(tmp_path):
    def make(folder="out put", **sections):
        return load_config(
            {
                "command": "train",
                "path_output": str(tmp_path / folder),
                "model_name": "m",
                "loader_parameters": {
                    "path_data": [str(tmp_path / "data")],
                    "target_suffix": ["_seg"],
                    "contrast_params": {"training_validation": ["T1w"]},
                },
                "split_dataset": {"random_seed": 6},
                "training_parameters": {"seed": 11},
                "wandb": {"wandb_api_key": "c0ffee", "project_name": "p"},
                **sections,
            }
        )

    (tmp_path / "data").mkdir()
    description = {"Name": "Phantom é", "BIDSVersion": "1.9.0", "Authors": ["A"]}
    (tmp_path / "data" / "dataset_description.json").write_text(json.dumps(description), encoding="utf-8")
    return make


def test_a_run_folder_has_configuration_versions_and_log(make, tmp_path):
    config = make()
    with run_folder(config) as folder:
        assert folder == tmp_path / "out put"
        logging.getLogger("ivadomed.some.module").info("grüße from %s", "inside")
        logging.getLogger("ivadomed.some.module").debug("a detail")
    assert sorted(p.name for p in folder.iterdir()) == ["config_file.json", "log", "version_info.log"]
    assert load_config(folder / "config_file.json").loader_parameters == config.loader_parameters
    text = (folder / "log").read_text(encoding="utf-8")
    assert "INFO ivadomed.some.module: grüße from inside" in text
    assert "a detail" not in text


def test_version_info_says_what_ran_where(make):
    with run_folder(make()) as folder:
        text = (folder / "version_info.log").read_text(encoding="utf-8")
    for part in (
        f"version: {__version__}",
        "commit: ",
        "Name: Phantom é",
        "BIDSVersion: 1.9.0",
        f"python: {platform.python_version()}",
        f"torch: {torch.__version__}",
        '"model_name": "m"',
    ):
        assert part in text
    assert "Authors" not in text


def test_secrets_are_in_no_file(make):
    config = make()
    with run_folder(config) as folder:
        write_manifest(config, folder, {})
    for path in folder.iterdir():
        assert "c0ffee" not in path.read_text(encoding="utf-8"), path


@pytest.mark.parametrize("fails", [True, False])
def test_handlers_and_level_are_as_before(make, fails):
    handlers, level = list(LOGGER.handlers), LOGGER.level
    try:
        with run_folder(make(debugging=True)) as folder:
            [added] = [h for h in LOGGER.handlers if h not in handlers]
            assert LOGGER.level == logging.DEBUG
            if fails:
                raise ZeroDivisionError
    except ZeroDivisionError:
        assert fails
    assert LOGGER.handlers == handlers
    assert LOGGER.level == level
    assert added.stream is None  # closed
    size = (folder / "log").stat().st_size
    LOGGER.warning("after the run")
    assert (folder / "log").stat().st_size == size


@pytest.mark.parametrize("mode", [Mode.QUIET, Mode.SCREEN, Mode.VERBOSE])
def test_the_log_file_is_the_same_however_much_is_shown(make, mode):
    with logging_to_terminal(mode), run_folder(make()) as folder:
        say("Data", "6 images")
        LOGGER.info("hello")
    lines = (folder / "log").read_text().splitlines()
    assert [line.partition(": ")[2] for line in lines[-2:]] == ["Data      6 images", "hello"]


@pytest.mark.parametrize(("debug", "debugging"), [(True, False), (False, True)])
def test_details_are_logged_when_asked_for(make, debug, debugging):
    with run_folder(make(debugging=debugging), debug) as folder:
        LOGGER.debug("a detail")
    assert "a detail" in (folder / "log").read_text()


def test_a_second_run_in_the_folder_adds_to_its_log(make):
    for _ in range(2):
        with run_folder(make(log_file="my.log")) as folder:
            pass
    text = (folder / "my.log").read_text()
    assert text.count("Creating output path") == 1
    assert text.count("Output path already exists") == 1


def test_a_folder_that_cannot_be_made_is_named(make, tmp_path):
    (tmp_path / "file").write_text("")
    for folder in ("file", "file/below"):
        with (
            pytest.raises(OutputError, match=r"file.*: cannot be written .*--path-output"),
            run_folder(make(folder)),
        ):
            pass
    assert not any(isinstance(h, logging.FileHandler) for h in LOGGER.handlers)


def test_the_build_of_torch_is_part_of_its_version(make, monkeypatch, tmp_path):
    """The metadata of packages of an index are without it."""
    monkeypatch.setattr(torch, "__version__", "2.14.1+cu130")
    monkeypatch.setattr("ivadomed.commands.records.version", lambda name: "2.14.1")
    assert versions()["torch"] == "2.14.1+cu130"
    assert "torch: 2.14.1+cu130\n" in version_text(make())
    (tmp_path / "out").mkdir()
    write_manifest(make(), tmp_path / "out", {})
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["libraries"]["torch"] == "2.14.1+cu130"


def test_the_manifest_holds_what_repeats_the_run(make, monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "argv", ["ivadomed", "--train", "-c", "x.json"])
    config, split = make(), {"train": ["a"], "valid": ["b"], "test": []}
    (tmp_path / "out").mkdir()
    assert trained_in(tmp_path / "out") == {}
    write_manifest(config, tmp_path / "out", split, "32 bits (auto)", "contiguous (auto)")
    assert trained_in(tmp_path / "out") == {"precision of the training": "32 bits (auto)"}
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["ivadomed"] == __version__
    assert manifest["command_line"] == ["ivadomed", "--train", "-c", "x.json"]
    assert manifest["seeds"] == {"split": 6, "training": 11}
    assert manifest["split"] == split
    assert manifest["precision"] == "32 bits (auto)"
    assert manifest["memory_format"] == "contiguous (auto)"
    assert manifest["libraries"]["torch"] == str(torch.__version__)
    assert manifest["date"].endswith("+00:00")
    [data] = manifest["data"]
    assert data["path"] == str((tmp_path / "data").resolve())
    assert (data["Name"], data["BIDSVersion"]) == ("Phantom é", "1.9.0")
    assert load_config(manifest["config"]).architecture == config.architecture


def test_the_commit_of_a_versioned_data_set_is_recorded(make, tmp_path):
    data = tmp_path / "data"
    git = ["git", "-C", str(data), "-c", "user.name=n", "-c", "user.email=e"]
    for command in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "m", "--no-gpg-sign"]):
        subprocess.run([*git, *command], check=True)
    head = subprocess.run(
        [*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True
    ).stdout.strip()
    (tmp_path / "out").mkdir()
    for expected in (head, f"{head}-dirty"):
        write_manifest(make(), tmp_path / "out", {})
        assert json.loads((tmp_path / "out" / "manifest.json").read_text())["data"][0]["commit"] == expected
        (data / "dataset_description.json").write_text("{}")


def test_without_git_and_description_the_run_goes_on(make, tmp_path, monkeypatch):
    (tmp_path / "data" / "dataset_description.json").write_text("no JSON")
    monkeypatch.setenv("PATH", str(tmp_path))
    (tmp_path / "out").mkdir()
    write_manifest(make(), tmp_path / "out", {})
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["commit"] == "unknown"
    assert manifest["data"] == [{"path": str((tmp_path / "data").resolve()), "commit": "unknown"}]


def test_a_description_that_is_no_object_is_survived(make, tmp_path):
    (tmp_path / "data" / "dataset_description.json").write_text("3")
    (tmp_path / "out").mkdir()
    write_manifest(make(), tmp_path / "out", {})
    assert (tmp_path / "out" / "manifest.json").is_file()


def test_terminal_logging_is_set_up_unless_the_program_has_its_own(capsys, monkeypatch):
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", [])
    for mode, lines in SHOWN.items():
        with logging_to_terminal(mode):
            say("Data", "6 images")
            LOGGER.warning("look")
            LOGGER.info("hello")
            LOGGER.debug("detail")
        assert capsys.readouterr().out.splitlines() == lines
    monkeypatch.setattr(root, "handlers", [logging.NullHandler()])
    before = list(LOGGER.handlers)
    with logging_to_terminal():
        assert LOGGER.handlers == before
    assert LOGGER.level == logging.NOTSET
