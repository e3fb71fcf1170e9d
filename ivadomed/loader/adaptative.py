"""HDF5 data sets under the names of the manual: conversion from and to BIDS, the table, and the samples."""

from ivadomed.loader.hdf5_dataset import HDF5Dataset
from ivadomed.loader.hdf5_export import HDF5_to_Bids
from ivadomed.loader.hdf5_table import Dataframe
from ivadomed.loader.hdf5_write import Bids_to_hdf5

__all__ = ["Bids_to_hdf5", "Dataframe", "HDF5Dataset", "HDF5_to_Bids"]
