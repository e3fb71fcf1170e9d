"""Import path of ivadomed 2; implemented in `ivadomed.images.midslice`."""

from ivadomed.images.midslice import get_midslice_average as get_midslice_average
