"""Import path of ivadomed 2; implemented in `ivadomed.compat.bids`."""

from ivadomed.compat.bids import Bids3DDataset as Bids3DDataset
