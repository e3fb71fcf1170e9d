"""Import path of ivadomed 2; implemented in `ivadomed.compat.filters`."""

from ivadomed.compat.filters import SliceFilter as SliceFilter
