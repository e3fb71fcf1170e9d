"""Import path of ivadomed 2; `ivadomed.compat.loader` does the work."""

from ivadomed.compat.loader import *
from ivadomed.runtime.moved import moved_names

__getattr__ = moved_names(__name__, {"BalancedSampler": "ivadomed.loader.balanced_sampler.BalancedSampler"})
