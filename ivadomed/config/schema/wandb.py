"""`wandb`: tracking of a run with Weights & Biases."""

from __future__ import annotations

from pydantic import Field

from ivadomed.registry.section import Section, key
from ivadomed.registry.types import Positive, Text


class Wandb(Section):
    """Where the run is logged."""

    wandb_api_key: Text = Field(
        default="",
        repr=False,
        description="API key. Better left empty: the environment variable WANDB_API_KEY or `wandb login` "
        "then count, "
        "and the key is in no file.",
        examples=[""],
    )
    project_name: Text = key("ivadomed", "Name of the project.", "cord")
    group_name: Text | None = key(None, "Name of the group of runs; null: none.", "dropout")
    run_name: Text | None = key(None, "Name of the run; null: chosen by wandb.", "dropout-0.2")
    log_grads_every: Positive = key(100, "Log gradients every this many batches (> 0).", 50)
