"""Draw ``docs/images/transforms.png``: what each random transform does to a slice of the phantom and its label.

python docs/figures/transforms.py
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import matplotlib
import nibabel as nib
import numpy as np

from ivadomed.scripts.create_phantom import create_phantom
from ivadomed.transforms import Pipeline

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # the backend comes first

TARGET = Path(__file__).parents[1] / "images" / "transforms.png"
SHOWN = {
    "as it is": {},
    "RandomAffine": {"RandomAffine": {"degrees": [20, 20], "translate": [0.05, 0.05], "scale": [0.1, 0.1]}},
    "ElasticTransform": {"ElasticTransform": {"alpha_range": [60, 60], "sigma_range": [5, 5], "p": 1}},
    "RandomMirror": {"RandomMirror": {"axes": [1], "p": 1}},
    "RandomBlur": {"RandomBlur": {"sigma_range": [1.2, 1.5], "p": 1, "applied_to": ["im"]}},
    "RandomLowResolution": {"RandomLowResolution": {"factor_range": [4, 4], "axes": [1], "p": 1}},
    "AdditiveGaussianNoise": {"AdditiveGaussianNoise": {"std": 0.4, "applied_to": ["im"]}},
    "RandomBiasField": {"RandomBiasField": {"coefficients": 0.6, "order": 3, "p": 1, "applied_to": ["im"]}},
    "RandomGamma": {"RandomGamma": {"log_gamma_range": [0.6, 0.6], "p": 1, "applied_to": ["im"]}},
    "RandomBrightness": {"RandomBrightness": {"factor_range": [1.5, 1.5], "p": 1}},
    "RandomContrast": {"RandomContrast": {"factor_range": [2, 2], "keep_range": True, "p": 1}},
    "DilateGT": {"DilateGT": {"dilation_factor": 0.15, "applied_to": ["gt"]}},
}


def main() -> None:
    """Draw all of them side by side."""
    image, label, zooms = phantom_slice()
    figure, axes = plt.subplots(3, 4, figsize=(8, 6.8))
    for axis, (title, config) in zip(axes.flat, SHOWN.items(), strict=True):
        plan = Pipeline.from_config(config).plan(image.shape, zooms, np.random.default_rng(3))
        shown = plan.apply_all({"im": image[None], "gt": label[None]}, 1)
        axis.imshow(shown["im"][0].T, cmap="gray", vmin=image.min(), vmax=image.max(), origin="lower")
        axis.contour(shown["gt"][0].T, levels=[0.01, 0.5], colors=["gold", "tomato"], linewidths=0.6)
        axis.set_title(title, fontsize=9)
        axis.axis("off")
    figure.tight_layout(pad=0.4, h_pad=1.2)
    figure.savefig(TARGET, dpi=90)


def phantom_slice() -> tuple[np.ndarray, np.ndarray, tuple[float, float]]:
    """Middle axial slice of a T2w image, normalized, its label, and the voxel size in mm."""
    with tempfile.TemporaryDirectory() as folder:
        study = create_phantom(Path(folder) / "study", n=1, seed=3)
        path = next(study.glob("sub-*/anat/*_T2w.nii.gz"))
        file = nib.as_closest_canonical(nib.load(path))
        mask = next((study / "derivatives").rglob("*_T2w_seg-manual.nii.gz"))
        image, label = (
            nib.as_closest_canonical(nib.load(p)).get_fdata(dtype=np.float32) for p in (path, mask)
        )
        zooms = file.header.get_zooms()[:2]
    middle = image.shape[2] // 2
    fixed, _ = Pipeline.from_config({"CenterCrop": {"size": [96, 96]}}).split_fixed()
    plan = fixed.plan(image.shape[:2], zooms, np.random.default_rng(0))
    cut = plan.apply_all({"im": image[None, ..., middle], "gt": label[None, ..., middle]}, 1)
    x = cut["im"][0]
    return (x - x.mean()) / x.std(), cut["gt"][0], (float(zooms[0]), float(zooms[1]))


if __name__ == "__main__":
    main()
