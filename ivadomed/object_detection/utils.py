"""Import path of ivadomed 2; `ivadomed.compat.boxes` does the work."""

from ivadomed.compat.boxes import *
