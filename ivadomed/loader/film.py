"""Import path of ivadomed 2; implemented in `ivadomed.compat.film`."""

from ivadomed.compat.film import *
