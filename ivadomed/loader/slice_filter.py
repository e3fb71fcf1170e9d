"""Import path of ivadomed 2; `ivadomed.compat.filters` does the work."""

from ivadomed.compat.filters import SliceFilter as SliceFilter
