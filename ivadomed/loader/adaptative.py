"""Import path of the manual of 2020; `ivadomed.compat.hdf5` and `hdf5_samples` do the work."""

from ivadomed.compat.hdf5 import Bids_to_hdf5 as Bids_to_hdf5
from ivadomed.compat.hdf5 import HDF5_to_Bids as HDF5_to_Bids
from ivadomed.compat.hdf5_samples import Dataframe as Dataframe
from ivadomed.compat.hdf5_samples import HDF5Dataset as HDF5Dataset
