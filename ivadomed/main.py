"""Command line ``ivadomed``, and ``run_main`` for Python."""

from __future__ import annotations

import argparse
import math
import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ivadomed import __version__
from ivadomed.errors import ConfigError, Interrupted, IvadomedError
from ivadomed.runtime.console import ToolParser, add_pixel_size, exit_code
from ivadomed.runtime.moved import moved_names
from ivadomed.runtime.ranks import current_world
from ivadomed.runtime.terminal import Mode, Style, logging_to_terminal, shell_word
from ivadomed.runtime.working import working

if TYPE_CHECKING:
    from ivadomed.config import RunConfig

COMMANDS = ("train", "test", "eval", "segment")

KEPT = {
    "ivadomed.compat.main": "MODEL_LIST check_multiple_raters create_dataset_and_ivadomed_version_log "
    "create_path_model film_normalize_data get_dataset run_command run_segment_command save_config_file "
    "set_loader_params set_model_params set_output_path update_film_model_params"
}
"""Steps of a run, with their names of 2.x."""

__getattr__ = moved_names(__name__, {}, KEPT)

_EXAMPLES = """\
examples:
  ivadomed --auto my_model --path-data DATA --hours 4      from a folder to an ensemble of models, in four hours
  ivadomed --init my_model --path-data DATA                a first configuration, my_model.json
  ivadomed --train   -c my_model.json                      train; results are written to path_output
  ivadomed --test    -c my_model.json                      predict the test set and evaluate
  ivadomed --segment --model MODEL --path-data NEW --path-output OUT
                                                           segment new images or a data set
  ivadomed --segment -c my_model.json --path-data NEWDATA  the same with the settings of the run
  ivadomed --eval    -c my_model.json                      evaluate existing predictions
  ivadomed config.json                                     run the command that the file names

ivadomed_completion lets the Tab key complete options.
"""


def get_parser() -> argparse.ArgumentParser:
    """Parser of the command line."""
    parser = ToolParser(
        "ivadomed",
        "Train, test and apply deep learning models on medical images; one JSON file drives everything.",
        _EXAMPLES,
    )
    _add_commands(parser)
    add = parser.add_argument_group(
        "configuration, data and output (these options override the configuration)"
    ).add_argument
    add("config_file", nargs="?", metavar="CONFIG", help="the same as -c")
    add("-c", "--config", metavar="CONFIG", help="JSON configuration file")
    add(
        "-pd",
        "--path-data",
        nargs="+",
        metavar="PATH_DATA",
        help="one or more data sets: BIDS, nnU-Net or Decathlon folders, or tables (.tsv, .csv); with --model, images "
        "or folders of images",
    )
    add("-po", "--path-output", metavar="PATH_OUTPUT", help="folder of the run, or of the results of --model")
    add(
        "-m",
        "--model",
        metavar="MODEL",
        help="--segment: folder of a packaged model or ensemble, instead of a configuration",
    )
    _add_auto(parser.add_argument_group("from a folder to an ensemble (--auto)"))
    _add_init(parser.add_argument_group("choice of the data (--init, --auto)"))
    _add_training(parser.add_argument_group("training (--train)"))
    _add_predictions(parser)
    add = parser.add_argument_group(
        "parallel jobs (preparing images, --segment, evaluation, trainings of --auto)"
    ).add_argument
    add("-j", "--jobs", type=int, metavar="N", help="number of processes on this machine; -1: one per core")
    add(
        "--cluster",
        metavar="ADDRESS",
        help="use a Dask cluster instead: address of its scheduler, or its scheduler file",
    )
    _add_output(
        parser.add_argument_group(
            "output on the screen (the log file always contains everything)"
        ).add_mutually_exclusive_group()
    )
    add = parser.add_argument_group("other").add_argument
    add("--version", action="version", version=f"ivadomed {__version__}")
    return parser


def _add_commands(parser: argparse.ArgumentParser) -> None:
    what = parser.add_argument_group('commands (default: "command" of the configuration)')
    add = what.add_mutually_exclusive_group().add_argument
    add(
        "--init",
        metavar="NAME",
        help="write a configuration for the data set PATH_DATA, NAME.json, and the reasons, NAME.md",
    )
    add(
        "--auto",
        metavar="NAME",
        help="train and test a model for the data set PATH_DATA within HOURS, in the folder NAME; after an "
        "interruption, run the same command again",
    )
    add("--train", action="store_true", help="train a model")
    add("--test", action="store_true", help="predict the test set and evaluate the predictions")
    add("--eval", action="store_true", help="evaluate the predictions in PATH_OUTPUT/pred_masks")
    add("--segment", action="store_true", help="segment images without labels with the packaged model")


def _add_auto(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add(
        "--hours",
        type=float,
        metavar="HOURS",
        help="time budget (default: 4), which determines the size of the networks and how many are trained",
    )
    add(
        "--plan",
        action="store_true",
        help="write the plan (NAME/auto.json) and the configurations (NAME/candidates), then stop; edit them and "
        "continue without --plan",
    )


def _add_init(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add(
        "--target-suffix",
        nargs="+",
        default=[],
        metavar="SUFFIX",
        help="labels to train on, one per class, e.g. _seg-manual (default: all usable ones)",
    )
    add(
        "--contrasts",
        nargs="+",
        default=[],
        metavar="CONTRAST",
        help="images to train on, e.g. T2w (default: all with labels); with --segment --model, images to segment",
    )
    add(
        "--candidates",
        action="store_true",
        help="write several configurations to compare: NAME_2d.json, NAME_3d.json, ...",
    )
    add(
        "--minutes",
        type=float,
        metavar="MINUTES",
        help="choose network and training for this duration on this machine",
    )


def _add_training(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add("-r", "--resume-training", action="store_true", help="continue from PATH_OUTPUT/checkpoint.pth.tar")
    add("--overwrite", action="store_true", help="replace the training in PATH_OUTPUT")
    add(
        "-t",
        "--thr-increment",
        type=float,
        metavar="STEP",
        help="after training (or before the test), search for the best threshold in steps of STEP (e.g. 0.1) on the "
        "training and validation sets, and save it in the configuration of the run",
    )
    add(
        "-g",
        "--gif",
        type=int,
        default=0,
        metavar="N",
        help="animate the predictions of N validation samples over the epochs",
    )


def _add_predictions(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("label maps (--test, --segment)").add_argument
    add(
        "--no-label-map",
        action="store_true",
        help="leave out IMAGE_dseg.nii.gz, all classes in one image (written where classes do not overlap)",
    )
    add = parser.add_argument_group("segmentation with 2D patches (--segment)").add_argument
    add("--no-patch", action="store_true", help="predict whole slices")
    add(
        "--overlap-2d",
        "--overlap-2D",
        nargs=2,
        type=int,
        metavar=("H", "W"),
        help="overlap of neighboring patches in voxels",
    )
    add_pixel_size(parser.add_argument_group("pictures without a data set (--segment --model)"))


def _add_output(group: argparse._MutuallyExclusiveGroup) -> None:
    add = group.add_argument
    add("-q", "--quiet", action="store_true", help="warnings and errors only")
    add("-v", "--verbose", action="store_true", help="every line of the log")
    add("--debug", action="store_true", help="details, and the traceback of errors")


def run_main(
    config: str | os.PathLike[str] | Mapping[str, Any] | None = None,
    *,
    resume_training: bool = False,
    overwrite: bool = False,
) -> Any:
    """Run the command of a configuration.

    Args:
        config: Dictionary or path of a JSON file whose "command" is run; None to read the command line.
        resume_training: "train": resume the training in the output folder.
        overwrite: "train": replace the training in the output folder.

    Returns:
        "train": best training Dice loss, training loss, validation Dice loss and validation loss. "test": the table of
        3D metrics, one row per image, and the metrics averaged over images. "eval": the table. "segment": the files
        written.

    Raises:
        IvadomedError: See its message.
    """
    if config is None:
        return _run(get_parser().parse_args())
    return _dispatch(config, {}, resume_training=resume_training, overwrite=overwrite)


def _run(args: argparse.Namespace) -> Any:
    if args.auto:
        return _auto(args)
    if args.model:
        return _segment(args)
    for option in ("hours", "plan"):
        if getattr(args, option):
            raise ConfigError(f"--{option} belongs to --auto")
    if args.init:
        return _init(args)
    for option in ("target_suffix", "contrasts", "candidates", "minutes"):
        if getattr(args, option):
            raise ConfigError(
                f"--{option.replace('_', '-')} belongs to --init and --auto; otherwise set it in the configuration"
            )
    if args.config_file and args.config:
        raise ConfigError(f"two configuration files given: {args.config_file} and {args.config}; pass one")
    source = args.config_file or args.config
    if args.pixel_size:
        raise ConfigError("--pixel-size belongs to --segment --model; data sets specify it in sidecars")
    if source is None:
        model = " or a model with --model FOLDER" if args.segment else ""
        raise ConfigError(
            f"no configuration given; pass one with -c CONFIG{model} (ivadomed --help shows examples)"
        )
    overrides: dict[str, Any] = {}
    for name in COMMANDS:
        if getattr(args, name):
            overrides["command"] = name
    if args.path_output:
        overrides["path_output"] = args.path_output
    if args.path_data:
        overrides["loader_parameters.path_data"] = args.path_data
    return _dispatch(
        source,
        overrides,
        resume_training=args.resume_training,
        no_patch=args.no_patch,
        overlap_2d=args.overlap_2d,
        thr_increment=args.thr_increment,
        mode=_mode(args),
        overwrite=args.overwrite,
        n_gif=args.gif,
        jobs=args.jobs,
        cluster=args.cluster,
        **({"label_map": False} if args.no_label_map else {}),
    )


def _segment(args: argparse.Namespace) -> list[Path]:
    if not args.segment:
        raise ConfigError("--model belongs to --segment")
    if args.config_file or args.config:
        raise ConfigError("--model replaces a configuration; leave -c CONFIG out")
    for option in ("path_data", "path_output"):
        if not getattr(args, option):
            raise ConfigError(f"--segment --model: add --{option.replace('_', '-')}")
    others = (
        "hours",
        "plan",
        "target_suffix",
        "candidates",
        "minutes",
        "resume_training",
        "overwrite",
        "gif",
    )
    for option in (option for option in (*others, "thr_increment") if getattr(args, option)):
        raise ConfigError(f"--{option.replace('_', '-')} has no effect with --segment --model; leave it out")
    model, *data = (Path(text).expanduser() for text in (args.model, *args.path_data))
    if absent := next((path for path in (model, *data) if not path.exists()), None):
        raise ConfigError(
            f"{'--model' if absent == model else '--path-data'}: {absent}: no such file or folder"
        )
    mode = _mode(args)
    with logging_to_terminal(mode):
        # Torch and the rest are loaded only now.
        from ivadomed.commands.segment_model import ModelRun, segment_with_model

        run = ModelRun(
            model,
            data,
            Path(args.path_output).expanduser(),
            args.contrasts,
            args.no_patch,
            args.overlap_2d,
            not args.no_label_map,
            args.jobs,
            args.cluster,
            mode is Mode.DEBUG,
            args.pixel_size,
            args.pixel_size_units,
        )
        return segment_with_model(run)


def _init(args: argparse.Namespace) -> Path:
    from ivadomed.commands.init import init_command

    if args.config_file or args.config:
        raise ConfigError("--init writes a configuration and reads none; leave -c CONFIG out")
    if args.minutes is not None and not 0 < args.minutes < math.inf:
        raise ConfigError(f"--minutes: {args.minutes:g}; expected a number of minutes above 0")
    if not args.path_data:
        raise ConfigError("--init: no data set given; add --path-data DATA")
    return init_command(
        args.init,
        args.path_data,
        args.target_suffix,
        args.contrasts,
        args.quiet,
        args.candidates,
        args.minutes,
    )


def _auto(args: argparse.Namespace) -> Path:
    if source := args.config_file or args.config:
        raise ConfigError(
            f"--auto writes configurations and reads none; for folds and an ensemble with the settings of {source} set "
            '"split_dataset": {"n_folds": 5, "fold": "all"} in it, and run: ivadomed --train -c '
            + shell_word(source)
        )
    if args.path_output:
        raise ConfigError(f"--path-output: --auto writes into the folder {args.auto}; leave it out")
    training = {
        "resume-training": "--auto continues by itself",
        "overwrite": f"remove {args.auto} to start again",
    }
    training |= {"thr-increment": "--auto searches it on held-out subjects", "gif": "see the run folders"}
    for option, remedy in training.items():
        if getattr(args, option.replace("-", "_")):
            raise ConfigError(f"--{option} belongs to --train; {remedy}")
    mode = _mode(args)
    with logging_to_terminal(mode):
        from ivadomed.auto.folder import refuse_useless

        refuse_useless(args.auto, args.path_data or (), args.hours)
        with working("Loading libraries"):
            # Torch and the rest are loaded only now.
            from ivadomed.auto.planning import AutoOptions
            from ivadomed.auto.run import run_auto

        options = AutoOptions(
            args.auto,
            args.path_data or (),
            args.hours,
            args.jobs,
            args.cluster,
            args.target_suffix,
            args.contrasts,
        )
        return run_auto(options, args.plan, mode is Mode.DEBUG)


def _mode(args: argparse.Namespace) -> Mode:
    chosen = (mode for mode in (Mode.QUIET, Mode.VERBOSE, Mode.DEBUG) if getattr(args, mode.name.lower()))
    return next(chosen, Mode.SCREEN)


def _dispatch(source: Any, overrides: Mapping[str, Any], mode: Mode = Mode.SCREEN, **options: Any) -> Any:
    from ivadomed.commands.first_look import RunOptions, refuse_useless
    from ivadomed.config.load import load_config

    source = Path(source).expanduser() if isinstance(source, str | os.PathLike) else source
    known = {field.name for field in fields(RunOptions)}
    asked = RunOptions(**{name: value for name, value in options.items() if name in known})
    with logging_to_terminal(mode):
        with ExitStack() as loading:

            def first_look(config: RunConfig) -> None:
                refuse_useless(config, asked)
                loading.enter_context(working("Loading libraries"))

            config = load_config(source, overrides, first_look=first_look)
            # Torch and the rest are loaded only now: a mistyped option, path or key is answered at once.
            from ivadomed.commands.run import run_command

        return run_command(config, debug=mode is Mode.DEBUG, **options)


def main(args: Sequence[str] | None = None) -> int:
    """Console script: return 0, or print a message on standard error and return the exit code of the error."""
    parsed = get_parser().parse_args(args)

    def work() -> None:
        _run(parsed)

    try:
        return exit_code(work, _complain, parsed.debug)
    except KeyboardInterrupt:
        print("ivadomed: interrupted", file=sys.stderr)
        return 130


def _complain(error: IvadomedError) -> None:
    """Print a message; if several processes are interrupted, only the first one prints it."""
    world = current_world()
    if world.is_first or not isinstance(error, Interrupted):
        who = "" if world.is_first else f" (process {world.rank} of {world.size})"
        print(Style.of_terminal(sys.stderr).red(f"ivadomed{who}: {error}"), file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
