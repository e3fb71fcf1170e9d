"""Import path of ivadomed 2; `ivadomed.compat.pairs` does the work."""

from ivadomed.compat.pairs import SampleMetadata as SampleMetadata
