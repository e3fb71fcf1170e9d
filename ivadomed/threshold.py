"""Import path of ivadomed 3.0; `ivadomed.testing` provides the same function."""

from ivadomed.compat.testing import threshold_analysis

__all__ = ["threshold_analysis"]
