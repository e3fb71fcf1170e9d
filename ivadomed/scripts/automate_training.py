"""Train, and optionally test, models with different configurations and compare them."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ivadomed.config.load import load_config, read_json
from ivadomed.errors import ConfigError
from ivadomed.runtime.console import ToolParser, console_script
from ivadomed.runtime.moved import moved_names
from ivadomed.runtime.terminal import logging_to_terminal
from ivadomed.sweep.hyperparameters import SAMPLERS, get_param_list

if TYPE_CHECKING:
    import pandas as pd

__getattr__ = moved_names(
    __name__,
    {},
    {
        "ivadomed.sweep.hyperparameters": "HyperparameterOption get_base_keys keys_are_unique make_config_list "
        "update_dict",
        "ivadomed.sweep.results": "format_results",
        "ivadomed.sweep.run": "split_dataset",
    },
)

_EXAMPLE = """\
The parameter file has keys of the configuration with lists of values to compare:
  {"training_parameters": {"batch_size": [2, 64], "loss": [{"name": "DiceLoss"}, {"name": "FocalLoss"}]},
   "default_model": {"depth": [2, 3]}}
compares 6 configurations, each with one of these values; with --all-combin, all 8 combinations; with --multi-params,
two: the first values of all lists, and the second ones.

examples:
  ivadomed_automate_training -c config.json -ch parameters.json -pd DATA -j 2
  ivadomed_automate_training -c config.json -ch parameters.json -n 3 --all-combin --run-test
  ivadomed_automate_training -c config.json -ch parameters.json --cluster tcp://node1:8786
  ivadomed_automate_training -c config.json -ch space.json --search tpe --n-trials 50 -j 2
After an interruption, the same command continues.
"""


def get_parser() -> argparse.ArgumentParser:
    """Parser of the command line."""
    parser = ToolParser("ivadomed_automate_training", __doc__, _EXAMPLE)
    add = parser.add_argument
    add("-c", "--config", required=True, metavar="FILE", help="configuration shared by all runs")
    add("-ch", "--config-hyper", required=True, metavar="FILE", help="values to compare (see below)")
    add("-pd", "--path-data", nargs="+", metavar="DATA", help="one or more data sets")
    add(
        "-po",
        "--path-output",
        metavar="OUT",
        help='prefix of the run folders: OUT-depth=2, ... (default: "path_output" of the file)',
    )
    add(
        "-o",
        "--output-dir",
        metavar="FOLDER",
        help="folder of tables, figures and the state of the sweep (default: OUT)",
    )
    which = parser.add_argument_group("which configurations")
    which.add_argument(
        "--all-combin", action="store_true", help="all combinations of the values; overrides --multi-params"
    )
    which.add_argument(
        "-m", "--multi-params", action="store_true", help="the first values of all keys, the second ones, ..."
    )
    which.add_argument(
        "--search", choices=SAMPLERS, help="sample values with Optuna instead; bad runs are pruned"
    )
    how = parser.add_argument_group("runs")
    how.add_argument("--n-trials", type=int, default=20, metavar="N", help="runs of --search (%(default)s)")
    how.add_argument(
        "-n", "--n-iterations", type=int, default=1, metavar="N", help="run each configuration N times (1)"
    )
    how.add_argument(
        "--fixed-split",
        action="store_true",
        help="draw the split once (default: redraw it for each iteration)",
    )
    how.add_argument("-l", "--all-logs", action="store_true", help="keep the folders of all iterations")
    how.add_argument("--run-test", action="store_true", help="test every trained model")
    how.add_argument(
        "-t", "--thr-increment", type=float, metavar="STEP", help="search the best threshold in these steps"
    )
    how.add_argument(
        "--plot-comparison",
        action="store_true",
        help="also plot the Dice of the test images (with --run-test)",
    )
    where = parser.add_argument_group("parallel runs").add_mutually_exclusive_group()
    where.add_argument(
        "-j",
        "--jobs",
        type=int,
        metavar="N",
        help="number of parallel runs (default: one per GPU, else one); -1: one per GPU or core",
    )
    where.add_argument(
        "--cluster",
        metavar="ADDRESS",
        help="use a Dask cluster: address of its scheduler, or its scheduler file",
    )
    return parser


def automate_training(
    file_config: str | os.PathLike[str],
    file_config_hyper: str | os.PathLike[str],
    fixed_split: bool,
    all_combin: bool,
    path_data: str | Sequence[str] | None = None,
    n_iterations: int = 1,
    run_test: bool = False,
    all_logs: bool = False,
    thr_increment: float | None = None,
    multi_params: bool = False,
    output_dir: str | os.PathLike[str] | None = None,
    plot_comparison: bool = False,
) -> pd.DataFrame:
    """Train models that differ in hyperparameters, one at a time per GPU, and compare them.

    Args:
        file_config: Configuration shared by all runs.
        file_config_hyper: JSON file with lists of values to compare, e.g. ``{"default_model": {"depth": [2, 3]}}``.
        fixed_split: Draw the split once; otherwise it changes with each iteration.
        all_combin: Run all combinations of the values instead of one value at a time.
        path_data: One or more data sets, instead of those of the configuration.
        n_iterations: Number of runs of each configuration, with different seeds.
        run_test: Test every trained model.
        all_logs: Keep the folders of all iterations, not only of the first.
        thr_increment: Search the best threshold after each training, in these steps.
        multi_params: Run the first values of all keys together, then the second ones, ...
        output_dir: Folder of the results; None: ``path_output`` of the configuration.
        plot_comparison: Also plot the Dice of the test images.

    Returns:
        Table with one row per run, as in ``detailed_results.csv``.

    Raises:
        IvadomedError: See its message.
    """
    config = _configuration(file_config, path_data)
    from ivadomed.sweep.plan import SweepOptions
    from ivadomed.sweep.run import run_sweep

    return run_sweep(
        SweepOptions(
            config,
            get_param_list(read_json(Path(file_config_hyper)), [], []),
            all_combin=all_combin,
            multi_params=multi_params,
            fixed_split=fixed_split,
            n_iterations=n_iterations,
            all_logs=all_logs,
            run_test=run_test,
            thr_increment=thr_increment,
            output_dir=output_dir,
            plot_comparison=plot_comparison,
        )
    )


def train_worker(config: Mapping[str, Any], thr_incr: float | None) -> tuple[str, float, float, float, float]:
    """Train with a configuration.

    Returns:
        Folder of the run; training Dice loss, training loss, validation Dice loss, validation loss of the best epoch.
    """
    from ivadomed.sweep.member import train_config

    return str(config["path_output"]), *train_config(config, thr_incr)


def test_worker(config: Mapping[str, Any]) -> tuple[str, float, pd.DataFrame]:
    """Test the model trained with a configuration.

    Returns:
        Folder of the run; mean Dice over images; table of metrics per image.
    """
    from ivadomed.sweep.member import test_config

    return str(config["path_output"]), *test_config(config)


def _run(options: argparse.Namespace) -> None:
    if options.search and (options.all_combin or options.multi_params):
        raise ConfigError("--search samples values; leave out --all-combin and --multi-params")
    parameters = read_json(options.config_hyper)
    config = _configuration(options.config, options.path_data, options.path_output)
    # Torch and other libraries are loaded only now: errors in options, paths or keys are reported at once.
    from ivadomed.sweep.plan import SweepOptions
    from ivadomed.sweep.run import run_sweep
    from ivadomed.sweep.search import get_space, run_search

    names = {field.name for field in fields(SweepOptions)} - {"config"}
    asked = SweepOptions(config, **{name: value for name, value in vars(options).items() if name in names})
    with logging_to_terminal(source="ivadomed.sweep"):
        if options.search:
            run_search(asked, get_space(parameters), options.search, options.n_trials)
        else:
            run_sweep(replace(asked, options=get_param_list(parameters, [], [])))


def _configuration(
    file: str | os.PathLike[str], path_data: str | Sequence[str] | None, path_output: str | None = None
) -> dict[str, Any]:
    """Complete configuration; options override the file."""
    overrides: dict[str, Any] = {}
    if path_data:
        overrides["loader_parameters.path_data"] = path_data
    if path_output:
        overrides["path_output"] = path_output
    return load_config(Path(file), overrides, first_look=lambda _: None).to_json()


main = console_script(get_parser, _run, "interrupted; the same command continues")

if __name__ == "__main__":
    sys.exit(main())
