"""HDF5 data sets under the names of the manual: conversion from and to BIDS, the table, and the samples."""

from ivadomed.loader.hdf5.dataset import HDF5Dataset
from ivadomed.loader.hdf5.export import HDF5_to_Bids
from ivadomed.loader.hdf5.table import Dataframe
from ivadomed.loader.hdf5.write import Bids_to_hdf5

__all__ = ["Bids_to_hdf5", "Dataframe", "HDF5Dataset", "HDF5_to_Bids"]
