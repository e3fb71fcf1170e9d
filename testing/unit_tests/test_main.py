"""The command line: what it hands on, and how it fails."""

import json
import logging
import subprocess
import sys
from pathlib import Path

import pytest

from ivadomed import __version__
from ivadomed.commands import run
from ivadomed.config import load
from ivadomed.config.run_files import BEST, CHECKPOINT
from ivadomed.config.tree import read_json
from ivadomed.errors import ConfigError, DataError, Interrupted
from ivadomed.main import get_parser, main, run_main

MINIMAL = {
    "command": "train",
    "path_output": "from the file",
    "model_name": "m",
    "loader_parameters": {
        "path_data": ["in the file"],
        "target_suffix": ["_seg"],
        "contrast_params": {"training_validation": ["T1w"]},
    },
}


@pytest.fixture(autouse=True)
def folders(tmp_path, monkeypatch):
    """Data sets and trainings that the configurations and command lines name."""
    monkeypatch.chdir(tmp_path)
    for name in ("in the file", "a b", "c", "from the file/m", "out put/m"):
        (tmp_path / name).mkdir(parents=True)
    for run_folder in ("from the file", "out put"):
        for name in (BEST, CHECKPOINT):
            (tmp_path / run_folder / name).touch()


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "my config.json"
    path.write_text(json.dumps(MINIMAL))
    return str(path)


@pytest.fixture
def calls(monkeypatch):
    """What ``run_command`` is called with."""
    made = []

    def run_command(config, **options):
        made.append((config, options))
        return "result"

    monkeypatch.setattr(run, "run_command", run_command)
    return made


@pytest.mark.parametrize("arguments", [["-c", "FILE"], ["--config", "FILE"], ["FILE"]])
def test_the_file_is_read_and_its_command_run(file, calls, arguments):
    assert main([file if a == "FILE" else a for a in arguments]) == 0
    [(config, options)] = calls
    assert (config.command, config.path_output) == ("train", "from the file")
    assert list(config.loader_parameters.path_data) == ["in the file"]
    assert options == {
        "resume_training": False,
        "no_patch": False,
        "overlap_2d": None,
        "debug": False,
        "thr_increment": None,
        "overwrite": False,
        "n_gif": 0,
        "jobs": None,
        "cluster": None,
    }


@pytest.mark.parametrize("command", ["train", "test", "eval", "segment"])
def test_the_command_line_wins(file, calls, command):
    assert main([f"--{command}", "-c", file, "-pd", "a b", "c", "-po", "out put"]) == 0
    [(config, _)] = calls
    assert (config.command, config.path_output) == (command, "out put")
    assert list(config.loader_parameters.path_data) == ["a b", "c"]


def test_options_are_handed_on(file, calls):
    assert main(["--segment", "-c", file, "--no-patch", "--overlap-2d", "8", "4", "-j", "3", "--debug"]) == 0
    training = ["--train", "-c", file, "--gif", "3", "-t", "0.2", "--cluster", "tcp://node:8786"]
    assert main([*training, "-r"]) == main([*training, "--overwrite"]) == 0
    segment, resume, overwrite = (options for _, options in calls)
    others = {"no_patch": False, "overlap_2d": None, "debug": False, "jobs": None, "overwrite": False}
    assert resume == {
        **others,
        "resume_training": True,
        "thr_increment": 0.2,
        "n_gif": 3,
        "cluster": "tcp://node:8786",
    }
    assert overwrite == {**resume, "resume_training": False, "overwrite": True}
    assert segment == {
        **{"no_patch": True, "overlap_2d": [8, 4], "debug": True, "jobs": 3, "overwrite": False},
        **{"resume_training": False, "thr_increment": None, "n_gif": 0, "cluster": None},
    }


@pytest.mark.parametrize("source", [MINIMAL, "str", "path"])
def test_run_main_takes_a_dictionary_or_a_path(file, calls, source):
    given = {"str": file, "path": Path(file)}.get(source, source) if isinstance(source, str) else source
    assert run_main(given) == "result"
    assert calls[0][0].path_output == "from the file"
    assert MINIMAL["path_output"] == "from the file"


def test_run_main_hands_on_what_becomes_of_an_earlier_training(file, calls):
    run_main(file)
    run_main(file, overwrite=True)
    run_main(file, resume_training=True)
    assert [(o["overwrite"], o["resume_training"]) for _, o in calls] == [
        (False, False),
        (True, False),
        (False, True),
    ]


def test_run_main_without_arguments_reads_the_command_line(file, calls, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["ivadomed", "--test", "-c", file])
    assert run_main() == "result"
    assert calls[0][0].command == "test"


def test_run_main_raises_for_python(calls):
    with pytest.raises(ConfigError, match="batch_sise"):
        run_main({**MINIMAL, "training_parameters": {"batch_sise": 3}})
    with pytest.raises(ConfigError, match=r"no such file"):
        run_main("absent.json")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "no configuration given; pass one with -c"),
        (["-c", "a.json", "b.json"], "two configuration files given: b.json and a.json"),
        (["-c", "absent.json"], "absent.json: no such file"),
    ],
)
def test_errors_of_use_are_one_line_and_exit_code_one(capsys, arguments, message):
    assert main(arguments) == 1
    output = capsys.readouterr()
    assert output.err.startswith("ivadomed: ")
    assert message in output.err
    assert output.err.count("\n") == 1
    assert output.out == ""


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (DataError("image.nii.gz: damaged"), 1, "ivadomed: image.nii.gz: damaged\n"),
        (Interrupted("Stopped by SIGTERM; continue", 15), 143, "ivadomed: Stopped by SIGTERM; continue\n"),
        (Interrupted("Stopped by SIGINT; continue", 2), 130, "ivadomed: Stopped by SIGINT; continue\n"),
        (KeyboardInterrupt(), 130, "ivadomed: interrupted\n"),
    ],
)
def test_exit_codes(file, monkeypatch, capsys, error, code, message):
    def fail(config, **options):
        raise error

    monkeypatch.setattr(run, "run_command", fail)
    assert main([file]) == code
    assert capsys.readouterr().err == message


def test_a_fault_of_ours_keeps_its_traceback_and_debug_shows_all(file, monkeypatch, capsys):
    def fail(config, **options):
        raise (DataError("bad") if options["debug"] else ZeroDivisionError("ours"))

    monkeypatch.setattr(run, "run_command", fail)
    with pytest.raises(ZeroDivisionError):
        main([file])
    assert main([file, "--debug"]) == 1
    error = capsys.readouterr().err
    assert "Traceback" in error
    assert error.endswith("ivadomed: bad\n")


def test_two_commands_and_unknown_options_are_refused(capsys):
    for arguments in (["--train", "--test", "x.json"], ["--tarin", "x.json"]):
        with pytest.raises(SystemExit) as caught:
            main(arguments)
        assert caught.value.code == 2
    assert "not allowed with" in capsys.readouterr().err


def test_logging_is_left_as_it_was(file, calls):
    logger = logging.getLogger("ivadomed")
    before = list(logger.handlers), logger.level
    main([file, "--debug"])
    assert (logger.handlers, logger.level) == before


def test_long_options_may_have_underscores():
    words = [
        "--segment",
        "--config",
        "c.json",
        "--path_data",
        "a",
        "b",
        "--path_output",
        "o",
        "--no_patch",
        "--overlap_2D",
        "8",
        "4",
    ]
    options = get_parser().parse_args(words)
    assert (options.path_data, options.path_output, options.no_patch) == (["a", "b"], "o", True)
    assert options.overlap_2d == [8, 4]
    assert (
        get_parser().parse_args(["--train", "--resume_training", "--thr_increment=0.2"]).thr_increment == 0.2
    )


def test_version_and_help(capsys):
    for option in ("--version", "--help"):
        with pytest.raises(SystemExit) as caught:
            get_parser().parse_args([option])
        assert caught.value.code == 0
    output = capsys.readouterr().out
    assert output.startswith(f"ivadomed {__version__}\n")
    assert "ivadomed --train   -c my_model.json" in output


@pytest.mark.parametrize(
    ("options", "debug"), [(["-q"], False), (["--quiet"], False), (["-v"], False), (["--debug"], True)]
)
def test_how_much_is_shown_is_no_matter_of_the_run(file, calls, options, debug):
    assert main([file, *options]) == 0
    assert calls[0][1]["debug"] is debug


def test_one_way_to_show_at_a_time(file, capsys):
    with pytest.raises(SystemExit):
        main([file, "--quiet", "--verbose"])
    assert "not allowed with" in capsys.readouterr().err


def test_python_dash_m():
    done = subprocess.run(
        [sys.executable, "-m", "ivadomed", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout == f"ivadomed {__version__}\n"


WRONG = [
    (["--train", "-c", "absent.json"], "no such file"),
    (["--train", "-c", "{folder}/key.json"], "did you mean 'training_parameters.batch_size'?"),
    (["--train", "-c", "{folder}/type.json"], "expected an integer"),
    (["--train", "-c", "{folder}/place.json"], "did you mean 'training_parameters.loss.gamma'?"),
    (["--train", "-c", "{folder}/clip.json"], "did you mean 'transformation.Clahe.clip_limit'?"),
    (["--train", "-c", "{folder}/good.json", "-pd", "nowhere"], "nowhere: no such folder"),
    (["--init", "{folder}/good", "-pd", "nowhere"], "exists already"),
    (["--train", "-c", "{folder}/name.json"], "RandomMirror flips axes"),
    (["--train", "-c", "{folder}/name.json"], "'DiceLos' is unknown"),
    (["--train", "-c", "{folder}/range.json"], "3; expected a value less than or equal to 1"),
    (["--train", "-c", "{folder}/range.json"], "stride_2D: [9, 9] exceeds length_2D [8, 8]"),
    (["--train", "-c", "{folder}/step.json"], "keep_largest.clases: unknown key; did you mean 'classes'"),
    (["--train", "-c", "{folder}/metric.json"], "did you mean 'dice_score'"),
    (["--train", "-c", "{folder}/good.json", "--gif", "-1"], "--gif: -1"),
    (["--train", "-c", "{folder}/good.json", "-r", "--overwrite"], "contradict each other"),
    (["--train", "-c", "{folder}/good.json", "-j", "0"], "--jobs: 0"),
    (["--train", "-c", "{folder}/good.json", "-t", "3"], "--thr-increment: 3; expected"),
    (["--train", "-c", "{folder}/good.json", "-r"], "no checkpoint to resume from"),
    (["--test", "-c", "{folder}/good.json"], "best_model.pt: no trained model; run --train first"),
    (["--segment", "-c", "{folder}/good.json"], "no trained model; run --train first"),
]


def test_what_is_wrong_is_told_before_torch_is_loaded(tmp_path):
    data = {"loader_parameters": {"path_data": [str(tmp_path)]}}
    for name, content in {
        "key": {"bach_size": 2},
        "clip": {"training_parameters": {"clip_limit": 2}},
        "type": {"training_parameters": {"batch_size": "2"}},
        "place": {"training_parameters": {"gamma": 2}},
        "good": {"path_output": str(tmp_path / "out"), **data},
        "name": {
            "transformation": {"RandomFlip": {}},
            "training_parameters": {"loss": {"name": "DiceLos"}},
        },
        "range": {
            "transformation": {"RandomMirror": {"p": 3}},
            "default_model": {"length_2D": [8, 8], "stride_2D": [9, 9]},
        },
        "step": {"postprocessing": {"keep_largest": {"clases": [0]}}},
        "metric": {"evaluation_parameters": {"metrics": ["dice_scor"]}, **data},
    }.items():
        (tmp_path / f"{name}.json").write_text(json.dumps({"command": "train", **content}))
    given = [[argument.format(folder=tmp_path) for argument in arguments] for arguments, _ in WRONG]
    code = f"""
import sys
from ivadomed.main import main
for arguments in {given}:
    main(arguments)
    print("----", file=sys.stderr)
print({{"torch", "pandas"}} & set(sys.modules))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    for (_, message), told in zip(WRONG, done.stderr.split("----\n"), strict=False):
        assert message in told
    assert done.stdout.strip() == "set()"


def test_a_configuration_is_read_once_for_both_looks(tmp_path, monkeypatch):
    """What comes through a pipe cannot be read again."""
    path, reads = tmp_path / "config.json", []
    content = {
        "loader_parameters": {"path_data": [str(tmp_path)]},
        "postprocessing": {"keep_largest": {"key": 1}},
    }
    path.write_text(json.dumps({"path_output": str(tmp_path / "out"), **content}))
    monkeypatch.setattr(load, "read_json", lambda place: reads.append(place) or read_json(place))
    with pytest.raises(ConfigError, match=r"postprocessing\.keep_largest\.key: unknown key"):
        run_main(path)
    assert reads == [path]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-c", "my.json"], '"fold": "all"} in it, and run: ivadomed --train -c my.json'),
        (["--path-output", "x"], "--auto writes into the folder n"),
        (["--overwrite"], "--overwrite belongs to --train; remove n to start again"),
        (["--hours", "-1"], "--hours: -1; expected a number above 0"),
        ([], "--auto: no data set given"),
    ],
)
def test_auto_says_at_once_what_it_cannot_take(arguments, message, capsys):
    assert main(["--auto", "n", *arguments]) == 1
    assert message in capsys.readouterr().err
    assert not Path("n").exists()


def test_options_of_auto_belong_to_it(file, capsys):
    assert main(["--train", "-c", file, "--hours", "2"]) == 1
    assert "--hours belongs to --auto" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["--auto", "n", "--train"])
    assert "not allowed with argument" in capsys.readouterr().err
