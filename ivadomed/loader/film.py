"""Import path of ivadomed 2; `ivadomed.compat.film` does the work."""

from ivadomed.compat.film import *
