"""Hyperparameter sweeps: plan, runs, tables and figures of trainings that differ in hyperparameters."""

from ivadomed.sweep.hyperparameters import HyperparameterOption
from ivadomed.sweep.plan import SweepOptions
from ivadomed.sweep.run import run_sweep

__all__ = ["HyperparameterOption", "SweepOptions", "run_sweep"]
