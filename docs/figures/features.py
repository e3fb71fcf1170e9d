"""Draw the figures of ``docs/features.md``: FiLM, uncertainty, Mixup, dilated labels.

python docs/figures/features.py          (trains a small network on the phantom, some minutes)
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import matplotlib
import nibabel as nib
import numpy as np
import pandas as pd
import torch

from ivadomed.inference import segment_volume
from ivadomed.main import run_main
from ivadomed.scripts.create_phantom import create_phantom
from ivadomed.training.mixup import mixup
from ivadomed.transforms import Pipeline

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # the backend comes first

IMAGES = Path(__file__).parents[1] / "images"
STRUCTURES = ("cord", "canal")
CONFIG: dict[str, Any] = {
    "gpu_ids": [],
    "model_name": "seg",
    "default_model": {"depth": 2, "n_filters": 8, "dropout_rate": 0.2},
    "postprocessing": {"binarize_prediction": {"thr": 0.5}},
    "transformation": {
        "Resample": {"hspace": 1, "wspace": 1},
        "CenterCrop": {"size": [64, 64]},
        "RandomAffine": {
            "degrees": 10,
            "scale": [0.1, 0.1],
            "translate": [0.05, 0.05],
            "applied_to": ["im", "gt"],
            "dataset_type": ["training"],
        },
        "NormalizeInstance": {"applied_to": ["im"]},
    },
}


def main() -> None:
    """Draw all four."""
    with tempfile.TemporaryDirectory() as folder:
        data = create_phantom(Path(folder) / "data", n=12, seed=3, coregistered=True)
        draw_dilation(data)
        draw_mixup(data)
        draw_uncertainty(data, Path(folder) / "uncertainty")
        draw_film(label_by_metadata(data), Path(folder) / "film")


def configuration(data: Path, output: Path, contrasts: list[str], epochs: int, **more: Any) -> dict[str, Any]:
    """A U-Net that learns the phantom's cord in some minutes."""
    return {
        **CONFIG,
        "path_output": str(output),
        "loader_parameters": {
            "path_data": [str(data)],
            "target_suffix": ["_seg-manual"],
            "contrast_params": {"training_validation": contrasts},
        },
        "training_parameters": {
            "batch_size": 16,
            "training_time": {"num_epochs": epochs},
            "scheduler": {"initial_lr": 0.01},
        },
        **more,
    }


def label_by_metadata(data: Path) -> Path:
    """Let every second subject's label be the whole canal, which only a column of the table tells."""
    table = pd.read_csv(data / "participants.tsv", sep="\t")
    table["structure"] = [STRUCTURES[place % 2] for place in range(len(table))]
    table.to_csv(data / "participants.tsv", sep="\t", index=False)
    for subject in table.participant_id[table.structure == "canal"]:
        folder = data / "derivatives/labels" / subject / "anat"
        for cord in folder.glob("*_T2w_seg-manual.nii.gz"):
            file = nib.load(cord)
            fluid = nib.load(cord.with_name(cord.name.replace("_seg", "_csfseg")))
            both = np.maximum(np.asarray(file.dataobj), np.asarray(fluid.dataobj))
            nib.save(nib.Nifti1Image(both, file.affine, file.header), cord)
    return data


def draw_film(data: Path, output: Path) -> None:
    """One network and one slice, segmented under two values of the metadata, and its scales and shifts."""
    film = {"FiLMedUnet": {"applied": True, "metadata": "structure"}}
    split = {"split_dataset": {"balance": "structure", "train_fraction": 0.7, "test_fraction": 0.1}}
    run_main({**configuration(data, output, ["T2w"], 40, **film, **split), "command": "train"})
    path = data / "sub-001/anat/sub-001_T2w.nii.gz"
    image = read(path)
    place = image.shape[2] // 2
    figure, axes = plt.subplots(1, 5, figsize=(9, 2.1), layout="constrained")
    for axis, structure in zip(axes, STRUCTURES, strict=False):
        [mask], _ = segment_volume(str(output / "seg"), [str(path)], options={"metadata": structure})
        show(axis, image[..., place], f'told "{structure}"')
        found = nib.as_closest_canonical(mask).get_fdata()[..., place]
        axis.contour(middle(found).T, levels=[0.5], colors="tab:orange", linewidths=1.5)
    names = np.load(output / "metadata_values.npy", allow_pickle=True).ravel()
    rows = [int(np.flatnonzero(names == name)[0]) for name in STRUCTURES]
    for axis, layer in zip(axes[2:], (2, 3, 4), strict=True):
        gamma = np.load(output / f"gamma_layer_{layer}.npy")[rows].reshape(len(rows), -1)
        drawn = axis.imshow(gamma, aspect="auto", cmap="viridis", vmin=0, vmax=1, interpolation="nearest")
        axis.set_xticks([])
        axis.set_yticks(range(len(rows)), STRUCTURES if layer == 2 else [], fontsize=8)
        axis.set_title(f"gamma, layer {layer}", fontsize=9)
    figure.colorbar(drawn, ax=axes[4]).ax.tick_params(labelsize=7)
    save(figure, "film")


def draw_uncertainty(data: Path, output: Path) -> None:
    """Mean of samples and their entropy, for both kinds of uncertainty."""
    config = configuration(data, output, ["T1w", "T2w", "T2star"], 8)
    run_main({**config, "command": "train"})
    figure, axes = plt.subplots(1, 5, figsize=(9, 2.0), layout="constrained")
    shown: tuple[str, int] | None = None
    for column, kind in ((1, "epistemic"), (3, "aleatoric")):
        run_main({**config, "command": "test", "uncertainty": {kind: True, "n_it": 20}})
        name, place = shown = shown or case_to_show(output)
        mean, entropy = (
            read(output / "pred_masks" / f"{name}_{map_}.nii.gz")[..., place] for map_ in ("soft", "unc-vox")
        )
        show(axes[column], mean, f"{kind}: mean", vmin=0, vmax=1)
        show(axes[column + 1], entropy, f"{kind}: entropy", cmap="magma", vmin=0, vmax=0.69)
    subject = name.partition("_")[0]
    show(axes[0], read(data / subject / "anat" / f"{name}.nii.gz")[..., place], "image and truth")
    truth = read(data / "derivatives/labels" / subject / "anat" / f"{name}_seg-manual.nii.gz")[..., place]
    axes[0].contour(middle(truth).T, levels=[0.5], colors="gold", linewidths=1)
    save(figure, "uncertainty")


def case_to_show(output: Path) -> tuple[str, int]:
    """Image and slice with the most uncertain voxels."""
    maps = sorted((output / "pred_masks").glob("*_unc-vox.nii.gz"))
    sums = {path: read(path).sum(axis=(0, 1)) for path in maps}
    path = max(sums, key=lambda path: float(sums[path].max()))
    return path.name.removesuffix("_unc-vox.nii.gz"), int(sums[path].argmax())


def draw_mixup(data: Path) -> None:
    """Two slices, and what one of them becomes in a batch of both."""
    slices = [slice_of(data, subject, "T2w") for subject in ("sub-001", "sub-002")]
    images, labels = (torch.from_numpy(np.stack(x)[:, None]) for x in zip(*slices, strict=True))
    mixed, soft = next(
        pair
        for seed in range(100)
        if 0.3
        < (pair := mixup(images, labels, 2.0, generator=torch.Generator().manual_seed(seed)))[1].unique()[1]
        < 0.45
    )
    figure, axes = plt.subplots(1, 4, figsize=(9, 2.5), layout="constrained")
    for axis, (image, label), title in zip(axes, slices, ("a sample", "another one"), strict=False):
        show(axis, image, title)
        axis.contour(middle(label).T, levels=[0.5], colors="gold", linewidths=1)
    show(axes[2], mixed[0, 0].numpy(), "mixed")
    show(axes[3], soft[0, 0].numpy(), "label of the mixed sample", cmap="magma", vmin=0, vmax=1)
    save(figure, "mixup")


def draw_dilation(data: Path) -> None:
    """A lesion, its label, and the softly dilated label."""
    masks = sorted(data.glob("derivatives/labels/sub-*/anat/*_T2w_lesion-manual.nii.gz"))
    path = max(masks, key=lambda path: float(read(path).sum()))
    volume = read(path)
    place = int(volume.sum(axis=(0, 1)).argmax())
    name = path.name.removesuffix("_lesion-manual.nii.gz")
    image = read(data / path.parts[-3] / "anat" / f"{name}.nii.gz")[..., place]
    figure, axes = plt.subplots(1, 4, figsize=(9, 2.5), layout="constrained")
    show(axes[0], image, "image", size=40)
    for axis, factor in zip(axes[1:], (0, 0.2, 0.5), strict=True):
        config = {"DilateGT": {"dilation_factor": factor, "applied_to": ["gt"]}}
        plan = Pipeline.from_config(config).plan(volume.shape[:2], (1, 1), np.random.default_rng(0))
        label = plan.apply(volume[None, ..., place], "gt", order=1)[0]
        show(axis, label, f"label, dilation_factor {factor}", cmap="magma", vmin=0, vmax=1, size=40)
    save(figure, "dilation")


def slice_of(data: Path, subject: str, contrast: str) -> tuple[np.ndarray, np.ndarray]:
    """Middle slice of an image, mean 0 and deviation 1, and of its label."""
    image = read(data / subject / "anat" / f"{subject}_{contrast}.nii.gz")
    folder = data / "derivatives/labels" / subject / "anat"
    label = read(folder / f"{subject}_{contrast}_seg-manual.nii.gz")
    place = image.shape[2] // 2
    return (image[..., place] - image.mean()) / image.std(), label[..., place]


def read(path: Path) -> np.ndarray:
    """Voxels, right to left, back to front, bottom to top."""
    return nib.as_closest_canonical(nib.load(path)).get_fdata(dtype=np.float32)


def middle(image: np.ndarray, size: int = 64) -> np.ndarray:
    """The middle `size` x `size` pixels."""
    first = [(length - size) // 2 for length in image.shape]
    return image[first[0] : first[0] + size, first[1] : first[1] + size]


def show(axis: Any, image: np.ndarray, title: str, size: int = 64, **options: Any) -> None:
    """Draw the middle of a slice."""
    axis.imshow(middle(image, size).T, origin="lower", interpolation="nearest", **{"cmap": "gray", **options})
    axis.set_title(title, fontsize=9)
    axis.axis("off")


def save(figure: Any, name: str) -> None:
    """Write ``docs/images/NAME.png``."""
    figure.savefig(IMAGES / f"{name}.png", dpi=110, bbox_inches="tight", pad_inches=0.03)
    plt.close(figure)


if __name__ == "__main__":
    main()
