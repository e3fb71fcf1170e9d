"""Single sections of a configuration, as callers from Python give them: migrated, validated, completed."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from pydantic import Field, ValidationError

from ivadomed.config import problems
from ivadomed.config.migrate import migrate, reconcile
from ivadomed.config.schema.training import TrainingParameters, Wandb
from ivadomed.errors import ConfigError
from ivadomed.registry.section import Section

logger = logging.getLogger(__name__)


class _Sections(Section):
    training_parameters: TrainingParameters = Field(default_factory=TrainingParameters)
    wandb: Wandb | None = None


def training_section(params: Mapping[str, Any]) -> TrainingParameters:
    """The section ``training_parameters`` ; what is not given has its default.

    Raises:
        ConfigError: A key is unknown, or a value wrong.
    """
    return _validated("training_parameters", params).training_parameters


def wandb_section(params: Mapping[str, Any]) -> Wandb:
    """The section ``wandb``, see `training_section`."""
    return _validated("wandb", params).wandb or Wandb()


def _validated(name: str, params: Mapping[str, Any]) -> _Sections:
    tree, warnings = migrate({name: dict(params)})
    tree, more = reconcile(tree)
    for warning in (*warnings, *more):
        logger.warning("%s", warning)
    try:
        return _Sections.model_validate({name: tree.get(name)})
    except ValidationError as error:
        raise ConfigError("\n".join(dict.fromkeys(problems.lines(_Sections, error)))) from None
