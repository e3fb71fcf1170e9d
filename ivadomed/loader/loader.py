"""Import path of ivadomed 2; implemented in `ivadomed.compat.bids`."""

from ivadomed.compat.bids import Bids3DDataset as Bids3DDataset
from ivadomed.compat.bids import BidsDataset as BidsDataset
from ivadomed.compat.bids import load_dataset as load_dataset
from ivadomed.runtime.moved import moved_names

_PLACES = {
    "mri2d_segmentation_dataset": "MRI2DSegmentationDataset",
    "mri3d_subvolume_segmentation_dataset": "MRI3DSubVolumeSegmentationDataset",
    "segmentation_pair": "SegmentationPair",
}

__getattr__ = moved_names(__name__, {name: f"ivadomed.loader.{at}.{name}" for at, name in _PLACES.items()})
