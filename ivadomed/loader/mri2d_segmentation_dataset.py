"""Import path of ivadomed 2; `ivadomed.compat.datasets` does the work."""

from ivadomed.compat.datasets import MRI2DSegmentationDataset as MRI2DSegmentationDataset
