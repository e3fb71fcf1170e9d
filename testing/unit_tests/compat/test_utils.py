"""Names of ``ivadomed.utils`` of 2.x."""

import hashlib
import logging
import re
import sys
from pathlib import Path

import pandas as pd
import pytest

import ivadomed
from ivadomed import utils
from ivadomed.errors import ConfigError, DataError
from ivadomed.main import get_parser


def test_tables():
    assert utils.AXIS_DCT == {"sagittal": 0, "coronal": 1, "axial": 2}
    assert utils.CLASSIFIER_LIST == ["resnet18", "densenet121"]
    assert Path(utils.__ivadomed_dir__, "ivadomed", "__init__.py").samefile(ivadomed.__file__)


def test_metavar_shows_its_text():
    assert {m.name: str(m) for m in utils.Metavar} == {
        kind: f"<{kind}>" for kind in ("file", "str", "folder", "int", "list", "float")
    }


def test_arguments_that_cannot_be_parsed_raise(capsys):
    assert utils.get_arguments(get_parser(), ["--train", "-c", "a.json"]).config == "a.json"
    with pytest.raises(utils.ArgParseException, match="ivadomed"):
        utils.get_arguments(get_parser(), ["--trian"])
    assert "--trian" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["train", "test", "segment", "eval"])
def test_the_command_line_says_the_command(command):
    assert utils.get_command(get_parser().parse_args([f"--{command}"]), {"command": "other"}) == command


def test_what_the_command_line_leaves_out_is_in_the_configuration():
    none = get_parser().parse_args([])
    context = {"command": "eval", "path_output": "out", "loader_parameters": {"path_data": ["a", "b"]}}
    assert utils.get_command(none, context) == "eval"
    assert utils.get_path_output(none, context) == "out"
    assert utils.get_path_data(none, context) == ["a", "b"]
    given = get_parser().parse_args(["-pd", "c", "d", "-po", "e"])
    assert utils.get_path_output(given, context) == "e"
    assert utils.get_path_data(given, context) == ["c", "d"]


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("get_command", "command"),
        ("get_path_output", "path_output"),
        ("get_path_data", "loader_parameters.path_data"),
    ],
)
def test_what_nobody_says_is_an_error(name, key):
    with pytest.raises(ConfigError, match=rf"^{re.escape(key)}: not given"):
        getattr(utils, name)(get_parser().parse_args([]), {})


def test_paths_as_a_list():
    assert utils.format_path_data("a") == ["a"]
    assert utils.format_path_data(["a", "b"]) == ["a", "b"]
    with pytest.raises(ConfigError, match="path_data: 3"):
        utils.format_path_data(3)


@pytest.mark.parametrize(
    ("name", "task"),
    [("Unet", "segmentation"), ("Countception", "segmentation"), ("resnet18", "classification")],
)
def test_task(name, task):
    assert utils.get_task(model_name=name) == task


def test_what_is_shown(caplog):
    caplog.set_level(logging.INFO, "ivadomed")
    utils.display_selected_model_spec({"name": "Unet", "depth": 3})
    utils.display_selected_transfoms({"CenterCrop": {"size": [32, 32]}}, ["training"])
    utils.print_stats([1, 2, 3, 6])
    utils.init_ivadomed()
    for text in ("Unet", "depth: 3", "['training']", "CenterCrop: {'size': [32, 32]}"):
        assert text in caplog.text
    assert "Mean: 3.0 %" in caplog.text
    assert "Median: 2.5 %" in caplog.text
    assert "[1.75, 3.75]" in caplog.text
    assert ivadomed.__version__ in caplog.text


def test_checksums_are_stored_in_the_configuration(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    df = pd.DataFrame({"filename": ["sub-1_T1w.nii.gz"], "path": [str(tmp_path / "a")]})
    context = {}
    utils.generate_sha_256(context, df, ["sub-1_T1w.nii.gz"])
    assert context == {"training_sha256": {"sub-1_T1w.nii.gz": hashlib.sha256(b"abc").hexdigest()}}
    with pytest.raises(DataError, match="sub-2"):
        utils.generate_sha_256(context, df, ["sub-2_T1w.nii.gz"])


def test_time_stamps_are_names_of_folders_and_ascend():
    first, second = utils.get_timestamp(), utils.get_timestamp()
    assert re.fullmatch(r"\d{8}T\d{6}\.\d{6}", first)
    assert first <= second


def test_programs():
    assert utils.check_exe(sys.executable) == sys.executable
    assert utils.check_exe("no-such-program-anywhere") is None


def test_similar_texts():
    assert utils.similarity_score("abcd", "abcd") == 1
    assert utils.similarity_score("abcd", "bcde") == 0.75  # 2 * 3 / 8
    assert utils.similarity_score("ab", "xy") == 0


@pytest.mark.skipif(sys.platform != "linux", reason="reads what Linux says")
def test_memory():
    total = int(re.search(r"MemTotal:\s+(\d+)", Path("/proc/meminfo").read_text())[1]) / 1024**2
    assert utils.get_linux_system_memory() == pytest.approx(total)
    assert utils.get_system_memory() == utils.get_linux_system_memory()
    assert utils.get_win_system_memory() is None
