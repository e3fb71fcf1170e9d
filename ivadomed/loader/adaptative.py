"""Import path from the 2020 manual; implemented in `ivadomed.compat.hdf5` and `hdf5_samples`."""

from ivadomed.compat.hdf5 import Bids_to_hdf5 as Bids_to_hdf5
from ivadomed.compat.hdf5 import HDF5_to_Bids as HDF5_to_Bids
from ivadomed.compat.hdf5_samples import Dataframe as Dataframe
from ivadomed.compat.hdf5_samples import HDF5Dataset as HDF5Dataset
