"""Import path of ivadomed 2; `ivadomed.detection.utils` does the work."""

from ivadomed.detection.utils import *
