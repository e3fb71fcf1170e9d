"""Test a trained network, by the calls of ivadomed 2: predictions of a data set, their metrics, the best threshold."""

from ivadomed.compat.testing import get_gt, run_inference, test, threshold_analysis

__all__ = ["get_gt", "run_inference", "test", "threshold_analysis"]
