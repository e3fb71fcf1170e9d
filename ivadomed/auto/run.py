"""An ``--auto`` run, from the plan to the model."""

from __future__ import annotations

import time
from pathlib import Path

from ivadomed.auto.folder import CANDIDATES, LOG, PLAN
from ivadomed.auto.plan import Plan, read_plan
from ivadomed.auto.planning import AutoOptions, make_plan
from ivadomed.auto.stages import Stages
from ivadomed.commands.records import log_file
from ivadomed.errors import Interrupted
from ivadomed.runtime.run_lock import run_lock
from ivadomed.runtime.terminal import say, shell_word


def run_auto(options: AutoOptions, plan_only: bool = False, debug: bool = False) -> Path:
    """Build a packaged model from a data set within a budget, or resume an interrupted run.

    Args:
        options: Options of the user.
        plan_only: Stop after writing the plan and the configurations.
        debug: Log details.

    Returns:
        Folder of the packaged model; the plan with ``plan_only``.

    Raises:
        ConfigError: The folder holds a run with another data set or budget.
        IvadomedError: A step failed; the message names it.
        Interrupted: SIGINT or SIGTERM was received; the same call continues.
    """
    folder = options.folder
    folder.mkdir(parents=True, exist_ok=True)
    with run_lock(folder), log_file(folder / LOG, debug):
        plan = read_plan(folder)
        if plan is None:
            plan = make_plan(options)
            plan.write(folder)
        else:
            plan.check(folder, options.path_data, options.hours, options.target_suffix, options.contrasts)
        tell(plan, folder)
        if plan_only:
            say(
                "Next",
                f"change {folder / CANDIDATES}/*.json or {folder / PLAN} if you like; "
                f"ivadomed --auto {shell_word(folder)}",
            )
            return folder / PLAN
        try:
            return Stages(plan, options, debug).carry_out()
        except Interrupted as error:
            what = str(error).partition(";")[0]
            raise Interrupted(
                f"{what}; ivadomed --auto {shell_word(folder)} continues", error.exit_code - 128
            ) from error


def tell(plan: Plan, folder: Path) -> None:
    """Show the division of the time before training."""
    for number, line in enumerate(plan.lines()):
        say("" if number else "Plan", line)
    end = time.strftime("%H:%M", time.localtime(time.time() + 60 * plan.minutes_to_train))
    say("", f"the last training ends at about {end}, if none is finished yet; {folder / PLAN} has the plan")
