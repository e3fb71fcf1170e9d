"""Import path of ivadomed 2; implemented in `ivadomed.compat.keywords`."""

from ivadomed.compat.keywords import *
