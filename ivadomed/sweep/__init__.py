"""Many trainings that differ in hyperparameters: their plan, their runs, their tables and pictures."""

from ivadomed.sweep.hyperparameters import HyperparameterOption
from ivadomed.sweep.plan import SweepOptions
from ivadomed.sweep.run import run_sweep

__all__ = ["HyperparameterOption", "SweepOptions", "run_sweep"]
