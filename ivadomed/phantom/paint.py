"""Paint the signal of a neck on a lattice, structure by structure from the skin to the lesions.

Each structure covers earlier ones by its fraction of a voxel, which gives partial volumes at all
borders. Small structures are painted in the block of the lattice that contains them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .anatomy import Anatomy, Array, Lesion, Point
from .lattice import Lattice

Block = tuple[slice, slice, slice]
MASKS = ("cord", "sac", "grey", "lesion", "rater1", "rater2")


def coverage(distance: Array, width: float) -> Array:
    """Fraction of a voxel inside a shape, 0..1: a linear ramp of `width` mm around the surface.

    This is exact for a plane that crosses a cube along an axis, and an approximation of supersampling elsewhere.
    """
    return np.clip(0.5 - distance * np.float32(1.0 / width), 0.0, 1.0)


def ellipse(u: Array, v: Array, a: Array | float, b: Array | float) -> Array:
    """First-order distance to the ellipse with half axes `a`, `b`: (q - 1) q / |grad|, exact on the axes."""
    pu, pv = u / a, v / b
    q = np.maximum(np.sqrt(pu * pu + pv * pv), 1e-6)
    # |grad| >= q / max(a, b) everywhere, which also makes the distance at the center finite.
    gradient = np.maximum(np.sqrt((pu / a) ** 2 + (pv / b) ** 2), q / np.maximum(a, b))
    return (q - 1.0) * q / gradient


def capsule(
    u: Array, v: Array, start: Point, end: Point, radius: float, radius_end: float | None = None
) -> Array:
    """Distance to the segment `start`-`end` thickened by a radius that may change along it."""
    eu, ev = end[0] - start[0], end[1] - start[1]
    pu, pv = u - start[0], v - start[1]
    along = np.clip((pu * eu + pv * ev) / (eu * eu + ev * ev), 0.0, 1.0)
    grown = radius + along * ((radius if radius_end is None else radius_end) - radius)
    return np.sqrt((pu - along * eu) ** 2 + (pv - along * ev) ** 2) - grown


def rounded_box(u: Array, v: Array, half_u: Array | float, half_v: float, corner: float) -> Array:
    """Distance to a rectangle of half sides `half_u`, `half_v` with corners of radius `corner`."""
    qu, qv = np.abs(u) - (half_u - corner), np.abs(v) - (half_v - corner)
    outside = np.sqrt(np.maximum(qu, 0.0) ** 2 + np.maximum(qv, 0.0) ** 2)
    return outside + np.minimum(np.maximum(qu, qv), 0.0) - corner


def smooth_union(first: Array, second: Array, blend: float) -> Array:
    """Union of two shapes whose seam is rounded over `blend` mm (polynomial smooth minimum)."""
    overlap = np.maximum(blend - np.abs(first - second), 0.0) / blend
    return np.minimum(first, second) - overlap * overlap * (blend / 4.0)


@dataclass(frozen=True)
class CordFrame:
    """Coordinates of the points of a lattice relative to the cord: right, anterior, superior, mm."""

    u: Array
    v: Array
    z: Array

    @classmethod
    def of(cls, anatomy: Anatomy, lattice: Lattice) -> CordFrame:
        """Coordinates of the points of `lattice`."""
        x, y, z = (lattice.coordinate(axis) - np.float32(anatomy.origin[axis]) for axis in range(3))
        u0, v0 = anatomy.centre(z)
        return cls(x - u0, y - v0, z)

    def block(self, **ranges: tuple[float, float]) -> Block | None:
        """Smallest block that contains all points within `ranges` of u, v, z (mm); None without any.

        Each coordinate changes almost only along its own axis, so the outer rows of the lattice bound
        it.
        """
        slices = [slice(None)] * 3
        for axis, name in enumerate("uvz"):
            if name in ranges:
                rows = np.moveaxis(getattr(self, name), axis, 0)
                rows = rows[:, :: max(1, rows.shape[1] - 1), :: max(1, rows.shape[2] - 1)].reshape(
                    len(rows), -1
                )
                low, high = ranges[name]
                near = np.flatnonzero((rows.max(axis=1) >= low - 1.0) & (rows.min(axis=1) <= high + 1.0))
                if not len(near):
                    return None
                slices[axis] = slice(int(near[0]), int(near[-1]) + 1)
        return slices[0], slices[1], slices[2]

    def __getitem__(self, block: Block) -> CordFrame:
        return CordFrame(self.u[block], self.v[block], self.z[block])


class Painting:
    """The signal image of one slab.

    Args:
        anatomy: The subject.
        lattice: Centres of the voxels.
        subslices: Points per voxel along the slab, i.e. lattice slices per voxel slice.
        signals: Signal per tissue.
        widths: Extent of a voxel (mm) within a slice and of a sub-slice, over which borders are blurred.
    """

    def __init__(
        self,
        anatomy: Anatomy,
        lattice: Lattice,
        subslices: int,
        signals: dict[str, float],
        widths: tuple[float, float],
    ) -> None:
        self.anatomy, self.signals = anatomy, signals
        self.width, self.height = widths
        fine = lattice.subdivided(subslices)
        self.frame = CordFrame.of(anatomy, fine)
        self.image = np.repeat(self.soft_tissue(lattice), subslices, axis=2)

    def cover(self, block: Block, share: Array, tissue: str) -> None:
        """Blend `tissue` into a block of the image by its `share` of each voxel."""
        part = self.image[block]
        part += share * (np.float32(self.signals[tissue]) - part)

    def fill(self, block: Block, distance: Array, tissue: str) -> None:
        """Blend in the interior of a shape given by its signed `distance`."""
        self.cover(block, coverage(distance, self.width), tissue)

    def shape_in_plane(
        self, tissue: str, start: tuple[float, float], end: tuple[float, float], radius: float
    ) -> None:
        """A column along the cord whose section is a capsule, on both sides of the midline."""
        for side in (-1, 1):
            a, b = (side * start[0], start[1]), (side * end[0], end[1])
            block = self.frame.block(
                u=(min(a[0], b[0]) - radius, max(a[0], b[0]) + radius),
                v=(min(a[1], b[1]) - radius, max(a[1], b[1]) + radius),
            )
            if block is not None:
                near = self.frame[block]
                self.fill(block, capsule(near.u, near.v, a, b, radius), tissue)

    def paint(self, raters: tuple[tuple[Lesion, ...], ...]) -> tuple[Array, dict[str, Array]]:
        """Paint all structures.

        Args:
            raters: The lesions as outlined by each of the two raters.

        Returns:
            The signal, and the fraction of each voxel that belongs to each of `MASKS`, both [I, J, K].
        """
        self.throat_and_vessels()
        self.arch()
        self.column()
        return self.image, self.canal(raters)

    def soft_tissue(self, lattice: Lattice) -> Array:
        """Skin, subcutaneous fat, and muscles with the fat between them: the first layer of the painting.

        These change slowly along the neck, so one point per voxel is enough.
        """
        frame, (half_u, half_v, shift) = CordFrame.of(self.anatomy, lattice), self.anatomy.neck
        warp_u, warp_v = (waves(lattice) for waves in self.anatomy.warp)
        taper = frame.u / (1.0 - 0.16 * (frame.v - shift) / half_v)
        depth = ellipse(taper, frame.v - shift, half_u, half_v)
        inner = depth + 1.8 + self.anatomy.fat * (1.0 + 0.3 * warp_u)
        gap = self.muscle_gap(np.abs(frame.u + 1.5 * warp_u), frame.v + 2.0 * warp_v)
        gap = np.minimum(gap, np.abs(inner) * 1.5)
        ground = np.zeros(lattice.shape, np.float32)
        inside = coverage(inner, self.width)
        for share, tissue in (
            (coverage(depth, self.width), "skin"),
            (coverage(depth + 1.8, self.width), "fat"),
            (inside, "muscle"),
            (inside * coverage(gap - 0.55 - 0.3 * warp_v, self.width), "fat"),
            (inside * coverage(gap - 0.3, self.width), "fascia"),
        ):
            ground += share * (np.float32(self.signals[tissue]) - ground)
        return ground * (1.0 + 0.06 * self.anatomy.texture(lattice))

    def muscle_gap(self, u: Array, v: Array) -> Array:
        """Distance (mm) to the border between the two nearest muscles, from |right| and anterior."""
        first = np.full(u.shape, np.inf, np.float32)
        second = first.copy()
        for middle_u, middle_v in self.anatomy.muscles:
            du, dv = u - np.float32(middle_u), v - np.float32(middle_v)
            squared = du * du + dv * dv
            np.minimum(second, np.maximum(squared, first), out=second)
            np.minimum(first, squared, out=first)
        return (np.sqrt(second) - np.sqrt(first)) / 2

    def throat_and_vessels(self) -> None:
        """Larynx with its airway, oesophagus, carotid arteries, jugular veins."""
        front = self.anatomy.sac(0.0)[1] + 2 * self.anatomy.vertebra[1]
        self.shape_in_plane("ligament", (0, front + 20), (3, front + 26), 11.5)
        self.shape_in_plane("mucosa", (0, front + 20), (2, front + 25), 9.5)
        self.shape_in_plane("air", (0, front + 18), (0.5, front + 27), 7.0)
        self.shape_in_plane("mucosa", (0, front + 5), (4, front + 5), 2.2)
        for place, radius in (((26.0, front + 4), 3.3), ((34.0, front + 1), 4.6)):
            self.shape_in_plane("fascia", place, (place[0] + 1, place[1] + 0.5), radius + 0.7)
            self.shape_in_plane("blood", place, (place[0] + 1, place[1] + 0.5), radius)

    def level(self, near: CordFrame) -> Array:
        """Signed distance (mm) along the spine to the center of the nearest disc."""
        height = near.z - self.anatomy.disc_middle + self.anatomy.disc_tilt * near.v
        return height - self.anatomy.disc_period * np.rint(height / self.anatomy.disc_period)

    def arch(self) -> None:
        """Transverse and spinous processes, laminae, vertebral arteries, ligaments between the arches."""
        half_u, half_v = self.anatomy.sac(0.0)
        back = -half_v - self.anatomy.spinous - 4.0
        block = self.frame.block(u=(-26, 26), v=(back - 4, half_v + 10))
        if block is None:
            return
        near = self.frame[block]
        side = np.abs(near.u)
        at_vertebra = coverage(3.5 - np.abs(self.level(near)), self.height)
        transverse = capsule(side, near.v, (half_u + 3, 1.5), (half_u + 12, 2.5), 4.0, 2.6)
        facet = capsule(side, near.v, (half_u + 3.5, -2.0), (half_u + 6, -5.0), 3.6)
        lamina = capsule(side, near.v, (half_u + 3, -2.5), (0.5, -half_v - 3.2), 2.1, 2.4)
        spine = capsule(side, near.v, (0.0, -half_v - 4), (1.5, back), 2.0, 2.4)
        bone = smooth_union(smooth_union(lamina, spine, 2.0), smooth_union(transverse, facet, 2.0), 2.0)
        self.cover(block, coverage(lamina, self.width) * (1 - at_vertebra), "ligament")
        self.cover(block, coverage(facet, self.width), "bone")
        self.cover(block, coverage(facet + 0.9, self.width), "marrow")
        self.cover(block, coverage(bone, self.width) * at_vertebra, "bone")
        self.cover(block, coverage(bone + 0.9, self.width) * at_vertebra, "marrow")
        artery = (half_u + 7.5, 4.5)
        self.shape_in_plane("fat", artery, (artery[0] + 0.1, artery[1]), 2.9)
        self.shape_in_plane("blood", artery, (artery[0] + 0.1, artery[1]), 1.9)

    def column(self) -> None:
        """Vertebral bodies with cortical shell and marrow, discs with annulus and nucleus, long ligaments."""
        half_u, half_v = self.anatomy.vertebra
        middle = self.anatomy.sac(0.0)[1] + self.anatomy.sac_shift + 1.0 + half_v
        block = self.frame.block(u=(-half_u - 2, half_u + 2), v=(middle - half_v - 2, middle + half_v + 3))
        if block is None:
            return
        near = self.frame[block]
        height = np.abs(self.level(near))
        v = near.v - middle
        waist = 1.8 * np.clip(2 * height / self.anatomy.disc_period, 0, 1)
        outline = rounded_box(near.u, v, half_u - waist, half_v, 6.5) + 0.4 * waist
        disc_outline = rounded_box(near.u, v, half_u, half_v + 0.4, 6.8)
        beyond_disc = self.anatomy.disc_half - height
        self.fill(block, np.minimum(outline, disc_outline) - 0.9, "ligament")
        body = coverage(outline, self.width)
        inside = coverage(outline + 0.8, self.width) * coverage(beyond_disc + 0.8, self.height)
        self.cover(block, body, "bone")
        self.cover(block, inside, "marrow")
        in_disc = coverage(-beyond_disc, self.height)
        nucleus = ellipse(near.u, v + 0.5, 0.55 * half_u, 0.5 * half_v)
        self.cover(block, coverage(disc_outline, self.width) * in_disc, "annulus")
        self.cover(block, coverage(nucleus, 2.5) * coverage(0.7 - beyond_disc, self.height), "nucleus")

    def canal(self, raters: tuple[tuple[Lesion, ...], ...]) -> dict[str, Array]:
        """Epidural fat, dural sac, cord, gray matter, fissure and lesions; returns the fractions of `MASKS`."""
        masks = {name: np.zeros(self.image.shape, np.float32) for name in MASKS}
        half_u, half_v = self.anatomy.sac(0.0)
        block = self.frame.block(u=(-half_u - 3, half_u + 3), v=(-half_v - 5, half_v + 3))
        if block is None:
            return masks
        near = self.frame[block]
        v = near.v - self.anatomy.sac_shift
        dura = ellipse(near.u, v, half_u, half_v)
        self.fill(
            block, np.minimum(dura - 0.7, capsule(near.u, v, (-2, -half_v + 1), (2, -half_v + 1), 2.6)), "fat"
        )
        self.fill(block, dura - 0.3, "ligament")
        masks["sac"][block] = sac = coverage(dura, self.width)
        self.cover(block, sac, "csf")
        calibre = self.anatomy.calibre(near.z)
        masks["cord"][block] = cord = coverage(ellipse(near.u, near.v, *calibre), self.width)
        self.cover(block, cord, "white")
        masks["grey"][block] = grey = np.minimum(coverage(butterfly(near, calibre), self.width), cord)
        self.cover(block, grey, "grey")
        fissure = capsule(near.u, near.v - calibre[1], (0.0, 0.0), (0.0, -1.3), 0.25, 0.12)
        self.cover(block, cord * coverage(fissure, self.width), "csf")
        for name, lesions in zip(
            ("lesion", "rater1", "rater2"), (self.anatomy.lesions, *raters), strict=True
        ):
            for lesion in lesions:
                self.lesion(lesion, masks["cord"], masks[name])
        self.cover(block, masks["lesion"][block], "lesion")
        return masks

    def lesion(self, lesion: Lesion, cord: Array, mask: Array) -> None:
        """Add the voxel fractions of one lesion to `mask`, within the cord."""
        reach = 1.3 * lesion.radii[2]
        a, b = self.anatomy.cord
        block = self.frame.block(u=(-2 * a, 2 * a), v=(-2 * b, 2 * b), z=(lesion.z - reach, lesion.z + reach))
        if block is not None:
            near = self.frame[block]
            distance = lesion.distance(near.u, near.v, near.z, self.anatomy.calibre(near.z))
            np.maximum(mask[block], coverage(distance, self.width) * cord[block], out=mask[block])


def butterfly(near: CordFrame, calibre: tuple[Array, Array]) -> Array:
    """Signed distance (mm) to the gray matter: thick anterior horns, slender posterior horns, a commissure.

    Defined in the cross section of an average cord (half axes 6.4 and 3.9 mm) and scaled with the cord.
    """
    u, v = np.abs(near.u) * (6.4 / calibre[0]), near.v * (3.9 / calibre[1])
    anterior = capsule(u, v, (1.3, 0.3), (2.1, 1.4), 0.75, 0.95)
    posterior = capsule(u, v, (1.2, 0.1), (2.7, -2.2), 0.6, 0.42)
    commissure = capsule(u, v, (-0.5, 0.15), (1.4, 0.15), 0.42)
    return smooth_union(smooth_union(anterior, posterior, 0.5), commissure, 0.5) * np.minimum(
        calibre[1] / 3.9, 1.2
    )
