"""From prepared cases to batches: windows of the cases, with random transforms."""

from ivadomed.loader.samples.batch import Batch, Sample, collate, stack_conditions
from ivadomed.loader.samples.dataset import SampleDataset
from ivadomed.loader.samples.loading import EpochSampler, SampleLoader, in_order, make_loader

__all__ = [
    "Batch",
    "EpochSampler",
    "Sample",
    "SampleDataset",
    "SampleLoader",
    "collate",
    "in_order",
    "make_loader",
    "stack_conditions",
]
