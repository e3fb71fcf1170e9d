"""Write ``config_hippocampus.json``: what ``--init`` suggests for 25 minutes on two cores.

python testing/make_config_hippocampus.py /data/msd_hippocampus
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

from ivadomed.config import CONFIG_DIR
from ivadomed.config.tree import merged
from ivadomed.images.files import write_text
from ivadomed.suggest import Machine, survey, tree
from ivadomed.suggest.choices import choices_of
from ivadomed.suggest.plan import StudyPlan
from ivadomed.suggest.recipe import NEVER_EARLY

MINUTES = 25
_SHORT = 100
_PACE = {4: 40e9, 8: 70e9, 12: 76e9, 16: 100e9, 24: 112e9, 32: 112e9}
MACHINE = Machine(gpu=False, memory=8 << 30, pace=lambda n_axes, n_filters: _PACE[n_filters])
"""Two cores with AVX2, without bf16; the pace is written here, so that the file does not depend on where it is made."""


def hippocampus_config(data: Path) -> dict[str, Any]:
    """The suggested configuration, with the number of epochs in the place of the minutes, and names for everyone.

    Args:
        data: Folder of the data set.
    """
    plan = StudyPlan(survey([data]), MACHINE, MINUTES)
    config = tree(choices_of(plan, "hippocampus"))
    config["training_parameters"]["training_time"] = {"num_epochs": plan.epochs, **NEVER_EARLY}
    names = {
        "gpu_ids": [0],
        "model_name": "seg_hippocampus_t1",
        "loader_parameters": {"path_data": [data.name]},
    }
    return merged(config, names)


def _compact(text: str) -> str:
    """Short lists and dictionaries on one line, as in the other examples."""

    def joined(found: re.Match[str]) -> str:
        line = re.sub(r"(?<=[{\[]) | (?=[}\]])", "", re.sub(r"\s+", " ", found.group()))
        return line if len(line) <= _SHORT else found.group()

    for part in (
        r"\[[^\[\]{}]*\]",
        r"\{[^{}]*\}",
        r"\{(?:[^{}]|\{[^{}\n]*\})*\}",
    ):  # from the innermost outwards
        text = re.sub(part, joined, text)
    return text + "\n"


if __name__ == "__main__":
    text = json.dumps(hippocampus_config(Path(sys.argv[1])), indent=4)
    write_text(CONFIG_DIR / "config_hippocampus.json", _compact(text))
