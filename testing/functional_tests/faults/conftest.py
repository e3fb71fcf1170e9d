"""A tiny study with one contrast, one trained run, and a check that a command fails as it should."""

import json
import shutil
from pathlib import Path

import pytest

from ivadomed.main import main as ivadomed_main
from testing.conftest import config as phantom_config
from testing.functional_tests.faults.clear import assert_clear, contents

T2W = {"training_validation": ["T2w"], "testing": ["T2w"], "balance": {}}


class Study:
    """A copy of the phantom's T2w images that may be broken."""

    def __init__(self, study: Path, folder: Path) -> None:
        self.folder = shutil.copytree(study, folder, ignore=shutil.ignore_patterns("*T1w*", "*T2star*"))
        self.image = folder / "sub-001" / "anat" / "sub-001_T2w.nii.gz"
        self.labels = folder / "derivatives" / "labels"
        self.label = self.labels / "sub-001" / "anat" / "sub-001_T2w_seg-manual.nii.gz"
        self.table = folder / "participants.tsv"


def small_config(study: Path, folder: Path) -> dict:
    """One epoch of the smallest U-Net on the T2w images; the output lies in ``folder``."""
    config = phantom_config.__wrapped__(study, folder)
    config["loader_parameters"]["contrast_params"] = T2W
    config["training_parameters"]["training_time"]["num_epochs"] = 1
    config["default_model"] = {"name": "Unet", "depth": 1, "n_filters": 2}
    return config


@pytest.fixture
def broken(study, tmp_path) -> Study:
    """A copy of the study that a test may break."""
    return Study(study, tmp_path / "data set")


@pytest.fixture
def config(study, tmp_path) -> dict:
    """Configuration of a training within a second or two, on the data that all tests share."""
    return small_config(study, tmp_path)


@pytest.fixture
def write(tmp_path):
    """Return a function that writes a configuration and gives its path."""

    def to_file(config: dict, name: str = "config.json") -> Path:
        path = tmp_path / name
        path.write_text(json.dumps(config, ensure_ascii=False), encoding="utf-8")
        return path

    return to_file


@pytest.fixture(scope="session")
def trained_once(study, tmp_path_factory) -> Path:
    """Folder with ``config.json`` and the run ``out put``: trained, tested and packaged. Not to be written into."""
    folder = tmp_path_factory.mktemp("faults")
    path = folder / "config.json"
    path.write_text(json.dumps(small_config(study, folder)), encoding="utf-8")
    for step in ("--train", "--test"):
        assert ivadomed_main([step, str(path)]) == 0
    return folder


@pytest.fixture
def run(trained_once, tmp_path, config) -> Path:
    """A copy of the trained run, in the output folder of ``config``."""
    return Path(shutil.copytree(trained_once / "out put", config["path_output"]))


@pytest.fixture
def refused(capsys, tmp_path):
    """Return a function that runs a command which must fail clearly and change nothing."""

    def check(arguments, pattern, keeps=(), main=ivadomed_main) -> str:
        before = [contents(folder) for folder in keeps]
        capsys.readouterr()
        code = main([str(argument) for argument in arguments])
        error = capsys.readouterr().err
        assert_clear(code, error, pattern)
        assert [contents(folder) for folder in keeps] == before
        assert not list(tmp_path.rglob(".*~*")), "a temporary file was left"
        return error

    return check
