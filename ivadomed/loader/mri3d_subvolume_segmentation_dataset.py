"""Import path of ivadomed 2; `ivadomed.compat.datasets` does the work."""

from ivadomed.compat.datasets import MRI3DSubVolumeSegmentationDataset as MRI3DSubVolumeSegmentationDataset
