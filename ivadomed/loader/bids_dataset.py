"""Import path of ivadomed 2; `ivadomed.compat.bids` does the work."""

from ivadomed.compat.bids import BidsDataset as BidsDataset
