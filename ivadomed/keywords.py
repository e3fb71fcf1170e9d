"""Import path of ivadomed 2; `ivadomed.compat.keywords` does the work."""

from ivadomed.compat.keywords import *
