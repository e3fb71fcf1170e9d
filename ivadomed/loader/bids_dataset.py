"""Import path of ivadomed 2; implemented in `ivadomed.compat.bids`."""

from ivadomed.compat.bids import BidsDataset as BidsDataset
