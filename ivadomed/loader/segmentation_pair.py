"""Import path of ivadomed 2; implemented in `ivadomed.compat.pairs`."""

from ivadomed.compat.pairs import SegmentationPair as SegmentationPair
