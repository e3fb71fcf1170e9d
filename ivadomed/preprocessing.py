"""Import path of ivadomed 2; `ivadomed.images.midslice` does the work."""

from ivadomed.images.midslice import get_midslice_average as get_midslice_average
