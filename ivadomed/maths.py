"""Import path of ivadomed 2; implemented in `ivadomed.images.heatmaps`."""

from ivadomed.images.heatmaps import gaussian_kernel as gaussian_kernel
from ivadomed.images.heatmaps import heatmap_generation as heatmap_generation
from ivadomed.images.heatmaps import rescale_values_array as rescale_values_array
