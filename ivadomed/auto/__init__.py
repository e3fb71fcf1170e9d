"""From a data set to a packaged ensemble within a budget of time: candidates, folds, their choice and their record."""

from ivadomed.auto.planning import AutoOptions
from ivadomed.auto.run import run_auto

__all__ = ["AutoOptions", "run_auto"]
