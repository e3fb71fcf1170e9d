"""Import path of ivadomed 2; implemented in `ivadomed.compat.loader`."""

from ivadomed.compat.loader import *
from ivadomed.runtime.moved import moved_names

__getattr__ = moved_names(__name__, {"BalancedSampler": "ivadomed.loader.balanced_sampler.BalancedSampler"})
