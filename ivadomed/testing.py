"""Test a trained network with the functions of ivadomed 2: predictions of a data set, metrics, best threshold."""

from ivadomed.compat.testing import get_gt, run_inference, test, threshold_analysis

__all__ = ["get_gt", "run_inference", "test", "threshold_analysis"]
