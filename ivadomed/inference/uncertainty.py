"""Uncertainty of a prediction from Monte Carlo samples, voxel-wise and structure-wise.

Samples are soft predictions [X, Y, Z, K] in 0..1, from dropout at test time (epistemic; Gal and Ghahramani, 2016; Nair
et al., 2018) or test-time augmentation (aleatoric; Wang et al., 2019).
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.ndimage import find_objects

from ivadomed.errors import DataError
from ivadomed.images.io import Image, read_classes, write_nifti
from ivadomed.postprocessing.objects import EDGES, label_objects

_SAMPLE = re.compile(r"(.+)_pred_\d+\.nii(\.gz)?$")
_EPS = 1e-5  # keeps the logarithm finite, as in ivadomed 2.9.10


@dataclass(frozen=True, eq=False)
class UncertaintyMaps:
    """Maps of a set of samples, each [X, Y, Z, K] float32.

    Args:
        soft: Mean of the samples.
        hard: 1 where the mean reaches ``hard_threshold``.
        vox: Entropy of the mean, in nats.
        cv: In each structure of ``hard``, see ``structures``, the coefficient of variation of its volume over the
            samples, where every voxel above 0 belongs to an object.
        iou: In each structure, intersection over union of its shapes in the samples.
        avg_unc: In each structure, the mean of ``vox``.
    """

    soft: np.ndarray
    hard: np.ndarray
    vox: np.ndarray
    cv: np.ndarray
    iou: np.ndarray
    avg_unc: np.ndarray

    def files(self, prefix: str | os.PathLike[str]) -> dict[Path, np.ndarray]:
        """File name and content of each map except ``hard``: ``<prefix>_unc-vox.nii.gz`` and so on."""
        named = {
            "soft": self.soft,
            "unc-vox": self.vox,
            "unc-cv": self.cv,
            "unc-iou": self.iou,
            "unc-avgUnc": self.avg_unc,
        }
        return {Path(f"{os.fspath(prefix)}_{name}.nii.gz"): data for name, data in named.items()}


class MonteCarlo:
    """Accumulates samples: stores their sum, and one bit per voxel and sample.

    Attributes:
        count: Number of samples so far.
    """

    def __init__(self) -> None:
        self.count = 0
        self._sum: np.ndarray | None = None
        self._masks: list[np.ndarray] = []

    def add(self, sample: np.ndarray) -> None:
        """Add a sample [X, Y, Z, K].

        Raises:
            DataError: Its shape differs from the previous ones.
        """
        if self._sum is None:
            self._sum = np.zeros_like(sample, np.float64)
        if sample.shape != self._sum.shape:
            raise DataError(f"Monte Carlo sample of shape {sample.shape}, expected {self._sum.shape}")
        self._sum += sample
        self._masks.append(np.packbits(sample > 0))
        self.count += 1

    def maps(self) -> UncertaintyMaps:
        """All maps of the samples so far (at least one)."""
        assert self._sum is not None
        soft = self._sum / self.count
        hard = soft >= hard_threshold(self.count)
        vox = entropy(soft)
        maps = structures(hard, lambda: self._unpacked(soft.shape), vox)
        return UncertaintyMaps(*(data.astype(np.float32, copy=False) for data in (soft, hard, vox, *maps)))

    def _unpacked(self, shape: tuple[int, ...]) -> Iterator[np.ndarray]:
        size = int(np.prod(shape))
        return (np.unpackbits(bits, count=size).view(bool).reshape(shape) for bits in self._masks)


def hard_threshold(count: int) -> float:
    """Threshold of the mean: reached by a single sample, but at most 0.5."""
    return min(1 / count, 0.5)


def entropy(soft: np.ndarray, eps: float = _EPS) -> np.ndarray:
    """Binary entropy of probabilities, in nats; 0 where the probability is 0 or 1."""
    return np.maximum(-soft * np.log(soft + eps) - (1 - soft) * np.log(1 - soft + eps), 0)


def structures(
    hard: np.ndarray, samples: Callable[[], Iterable[np.ndarray]], vox: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Structure-wise uncertainty (Roy et al., "Bayesian QuickNAT", 2019), class by class.

    A structure is an object of ``hard`` with more than one voxel. Its counterpart in a sample is the whole object that
    shares most voxels with it, or nothing if no object overlaps it.

    Args:
        hard: [X, Y, Z, K] bool.
        samples: Returns the masks of the samples, [X, Y, Z, K] bool each; called once per class.
        vox: [X, Y, Z, K] voxel-wise uncertainty.

    Returns:
        ``cv``, ``iou`` and ``avg_unc`` of ``UncertaintyMaps``; 0 outside the structures.
    """
    cv, iou, average = (np.zeros(hard.shape, np.float32) for _ in range(3))
    for k in range(hard.shape[-1]):
        labels, count = label_objects(hard[..., k], EDGES)
        if not count:
            continue
        found = [_SampleObjects.of(mask[..., k], labels, count) for mask in samples()]
        # In soft samples, one large object often contains many structures: its agreement is computed once.
        known: dict[tuple[int, ...], tuple[float, float]] = {}
        for index, box in enumerate(find_objects(labels.view(np.int32), count), start=1):
            inside, where = labels[box] == index, (*box, k)
            if np.count_nonzero(inside) < 2:
                continue
            numbers = tuple(int(sample.best[index]) for sample in found)
            if numbers not in known:
                known[numbers] = _agreement(found, numbers)
            cv[where][inside], iou[where][inside] = known[numbers]
            average[where][inside] = vox[where][inside].mean()
    return cv, iou, average


@dataclass(frozen=True, eq=False)
class _SampleObjects:
    """Objects of one sample.

    Args:
        labels: [X, Y, Z], 0 background.
        boxes: Bounding box of each object.
        best: Number of the object that shares most voxels with each structure, 0 for none; [structures + 1].
    """

    labels: np.ndarray
    boxes: Sequence[tuple[slice, ...]]
    best: np.ndarray

    @classmethod
    def of(cls, mask: np.ndarray, structures: np.ndarray, count: int) -> _SampleObjects:
        labels, n_objects = label_objects(mask, EDGES)
        boxes = find_objects(labels.view(np.int32), n_objects)
        both = (structures > 0) & (labels > 0)
        pairs = structures[both].astype(np.int64) * (n_objects + 1) + labels[both]
        pairs, voxels = np.unique(pairs, return_counts=True)
        structure, number = np.divmod(pairs, n_objects + 1)
        best = np.zeros(count + 1, np.int64)
        # The last one assigned stays: most voxels, of equals the first object.
        order = np.lexsort((-number, voxels))
        best[structure[order]] = number[order]
        # Those of all samples are in memory at once.
        return cls(labels.astype(np.min_scalar_type(n_objects)), boxes, best)


def _agreement(samples: Sequence[_SampleObjects], numbers: Sequence[int]) -> tuple[float, float]:
    """Coefficient of variation and intersection over union of one object, or none (0), of each sample."""
    chosen = [(sample, number) for sample, number in zip(samples, numbers, strict=True) if number]
    if not chosen:
        return 0.0, 0.0
    reach = tuple(
        slice(min(side.start for side in sides), max(side.stop for side in sides))
        for sides in zip(*(sample.boxes[number - 1] for sample, number in chosen), strict=True)
    )
    votes = np.zeros([side.stop - side.start for side in reach], np.uint16)
    volumes = np.zeros(len(samples))
    for i, (sample, number) in enumerate(chosen):
        mask = sample.labels[reach] == number
        volumes[i] = np.count_nonzero(mask)
        votes += mask
    common = np.count_nonzero(votes == len(samples))
    return float(volumes.std() / volumes.mean()), common / np.count_nonzero(votes)


def run_uncertainty(image_folder: str | os.PathLike[str]) -> None:
    """Write the maps of each image whose samples ``<image>_pred_NN.nii.gz`` are in a folder.

    Writes ``<image>_pred.nii.gz`` (hard), ``_soft``, ``_unc-vox``, ``_unc-cv``, ``_unc-iou`` and ``_unc-avgUnc``.

    Args:
        image_folder: Folder of the samples.

    Raises:
        DataError: A sample cannot be read or differs in shape from the others of its image.
    """
    folder = Path(image_folder)
    samples: dict[str, list[Path]] = {}
    for path in sorted(folder.iterdir()):
        match = _SAMPLE.fullmatch(path.name)
        if match:
            samples.setdefault(match[1], []).append(path)
    for name, paths in samples.items():
        maps, reference = _maps_of(paths)
        for path, data in (maps.files(folder / name) | {folder / f"{name}_pred.nii.gz": maps.hard}).items():
            write_nifti(path, data, reference.affine, reference.header)


def combine_predictions(fname_lst: Sequence[str], fname_hard: str, fname_prob: str, thr: float = 0.5) -> None:
    """Write the mean of samples, and the mean binarized at ``thr``.

    Args:
        fname_lst: Files of the samples.
        fname_hard: Output file of the binarized mean, uint8.
        fname_prob: Output file of the mean, float32.
        thr: Threshold, between 0 and 1.
    """
    images = _read(fname_lst)
    mean = _mean(images)
    write_nifti(fname_prob, mean.astype(np.float32), images[0].affine, images[0].header)
    write_nifti(fname_hard, (mean >= thr).astype(np.uint8), images[0].affine, images[0].header)


def voxelwise_uncertainty(fname_lst: Sequence[str], fname_out: str, eps: float = _EPS) -> None:
    """Write the entropy of the mean of samples.

    Args:
        fname_lst: Files of the samples.
        fname_out: Output file.
        eps: Keeps the logarithm finite.
    """
    images = _read(fname_lst)
    write_nifti(fname_out, entropy(_mean(images), eps).astype(np.float32), images[0].affine, images[0].header)


def structurewise_uncertainty(
    fname_lst: Sequence[str], fname_hard: str, fname_unc_vox: str, fname_out: str
) -> None:
    """Write the uncertainty of each structure of a hard segmentation.

    Args:
        fname_lst: Files of the samples.
        fname_hard: Hard segmentation, whose objects are the structures.
        fname_unc_vox: Voxel-wise uncertainty.
        fname_out: ``<prefix>.nii.gz``; the outputs are ``<prefix>-cv.nii.gz``, ``<prefix>-iou.nii.gz`` and
            ``<prefix>-avgUnc.nii.gz``.
    """
    hard, vox = read_classes(fname_hard).data > 0, read_classes(fname_unc_vox).data
    images = _read(fname_lst)
    maps = structures(hard, lambda: (image.data > 0 for image in images), vox)
    prefix = fname_out.split(".nii")[0]
    for name, data in zip(("cv", "iou", "avgUnc"), maps, strict=True):
        write_nifti(f"{prefix}-{name}.nii.gz", data, images[0].affine, images[0].header)


def _maps_of(paths: Iterable[str | os.PathLike[str]]) -> tuple[UncertaintyMaps, Image]:
    samples, image = MonteCarlo(), None
    for path in paths:
        image = read_classes(path)
        try:
            samples.add(image.data)
        except DataError as error:
            raise DataError(f"{os.fspath(path)}: {error}; remove the samples of an earlier run") from error
    assert image is not None
    return samples.maps(), image


def _read(paths: Sequence[str]) -> list[Image]:
    if not paths:
        raise DataError("uncertainty: no Monte Carlo sample given; set uncertainty.n_it above 0")
    return [read_classes(path) for path in paths]


def _mean(images: Sequence[Image]) -> np.ndarray:
    return np.stack([image.data for image in images]).mean(axis=0, dtype=np.float64)
