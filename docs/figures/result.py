"""Draws a segmentation beside its image in three planes (sagittal, coronal, axial): the picture of the README.

Made from a test subject of the hippocampus (Medical Segmentation Decathlon, CC-BY-SA 4.0), in the layout of BIDS:

    python docs/figures/result.py IMAGE PREDICTION LABEL... -o docs/images/hippocampus.png

``PREDICTION`` is the file that ``ivadomed --test`` wrote, ``LABEL`` one file per class.
"""

import argparse

import matplotlib
import nibabel as nib
import numpy as np

matplotlib.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.colors import to_rgb

COLORS = ("#ff8c1a", "#35b7ff")


def canonical(path: str) -> np.ndarray:
    """Voxels of a NIfTI file with axes right, anterior, superior."""
    return np.asarray(nib.as_closest_canonical(nib.load(path)).dataobj, dtype=np.float32)


def panel(axis: plt.Axes, image: np.ndarray, masks: list[np.ndarray], outlines: list[np.ndarray]) -> None:
    """Draw a slice, coloured masks on it, and the outlines of the labels."""
    low, high = np.percentile(image, (1, 99.5))
    rgb = np.repeat(np.clip((image - low) / (high - low), 0, 1)[..., None], 3, axis=2)
    for mask, color in zip(masks, COLORS, strict=False):
        rgb[mask > 0.5] = 0.45 * rgb[mask > 0.5] + 0.55 * np.array(to_rgb(color))
    axis.imshow(np.rot90(rgb), interpolation="nearest")
    for outline in outlines:
        if outline.any():
            axis.contour(np.rot90(outline), [0.5], colors="white", linewidths=1.1)
    axis.set_axis_off()


def main() -> None:
    """Draw the picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("image")
    parser.add_argument("prediction")
    parser.add_argument("labels", nargs="+")
    parser.add_argument("-o", "--output", required=True)
    options = parser.parse_args()
    image, prediction = canonical(options.image), canonical(options.prediction)
    masks = [prediction[..., k] for k in range(len(options.labels))]
    labels = [canonical(path) for path in options.labels]
    centre = [round(c) for c in np.argwhere(sum(labels) > 0).mean(axis=0)]

    volumes = (image, *masks, *labels)
    cuts = [[np.take(volume, centre[k], axis=k) for volume in volumes] for k in range(3)]
    cuts[2] = [cut.T for cut in cuts[2]]  # anterior is on the right, as in the sagittal plane
    ratios = [cut[0].shape[0] / cut[0].shape[1] for cut in cuts for _ in range(2)]  # panels of one height
    figure, axes = plt.subplots(
        1, len(ratios), figsize=(12, 12 / sum(ratios)), dpi=90, facecolor="black", width_ratios=ratios
    )
    for k, cut in enumerate(cuts):
        panel(axes[2 * k], cut[0], [], [])
        panel(axes[2 * k + 1], cut[0], cut[1 : 1 + len(masks)], cut[1 + len(masks) :])
    figure.subplots_adjust(0, 0, 1, 1, wspace=0.01)
    figure.savefig(options.output, facecolor="black")


if __name__ == "__main__":
    main()
