"""Import path of ivadomed 2; implemented in `ivadomed.compat.datasets`."""

from ivadomed.compat.datasets import MRI2DSegmentationDataset as MRI2DSegmentationDataset
