"""Tissues, pulse sequences and the signal that a tissue gives in a sequence."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Tissue:
    """Relaxation times in ms at 3 T, and proton density relative to water.

    flowing: blood that enters the slice unsaturated. It is bright in gradient echo and void in spin echo
    images.
    """

    pd: float
    t1: float
    t2: float
    t2star: float
    flowing: bool = False


# Stanisz et al., Magn Reson Med 2005 (cord, muscle, blood); Smith et al., Magn Reson Med 2008 (cord grey and
# white matter at 3 T); de Bazelaire et al., Radiology 2004 (marrow, fat, muscle). Rounded, and grey and
# white matter set a little further apart; cortical bone and ligament get a low visible proton density
# instead of sub-millisecond relaxation times.
TISSUES: dict[str, Tissue] = {
    "air": Tissue(0.0, 1000, 50, 20),
    "skin": Tissue(0.55, 900, 35, 15),
    "fat": Tissue(0.90, 370, 68, 28),
    "muscle": Tissue(0.78, 1400, 36, 26),
    "fascia": Tissue(0.35, 900, 30, 12),
    "bone": Tissue(0.10, 800, 20, 3),
    "marrow": Tissue(0.60, 600, 55, 11),
    "annulus": Tissue(0.60, 1000, 48, 18),
    "nucleus": Tissue(0.80, 1200, 105, 35),
    "ligament": Tissue(0.18, 900, 20, 6),
    "mucosa": Tissue(0.80, 1200, 75, 25),
    "blood": Tissue(0.85, 1900, 200, 45, flowing=True),
    "csf": Tissue(1.00, 4000, 1800, 220),
    "white": Tissue(0.71, 850, 70, 36),
    "grey": Tissue(0.80, 1060, 75, 44),
    "lesion": Tissue(0.86, 1450, 130, 70),
}


@dataclass(frozen=True)
class Sequence:
    """A pulse sequence; the fields carry the names and units of the BIDS sidecar.

    spin_echo: spin echo instead of spoiled gradient echo; flip_angle: degrees; echo_time, repetition_time: s.
    """

    spin_echo: bool
    flip_angle: float
    echo_time: float
    repetition_time: float


SEQUENCES: dict[str, Sequence] = {
    "T1w": Sequence(False, 20.0, 0.0040, 0.020),
    "T2w": Sequence(True, 90.0, 0.100, 2.2),
    "T2star": Sequence(False, 28.0, 0.0170, 0.600),
}


def at_field(tissue: Tissue, tesla: float) -> Tissue:
    """Relaxation times at another field strength.

    T1 grows with the cube root of the field (Bottomley et al., Med Phys 1984), T2 stays, and the part of
    1/T2* that comes from field inhomogeneity grows in proportion to the field.
    """
    inhomogeneity = (1 / tissue.t2star - 1 / tissue.t2) * tesla / 3.0
    return replace(
        tissue, t1=tissue.t1 * (tesla / 3.0) ** (1 / 3), t2star=1 / (1 / tissue.t2 + inhomogeneity)
    )


def signal(tissue: Tissue, sequence: Sequence) -> float:
    """Steady-state signal of a tissue, 0..1 of the magnetisation of water.

    Spoiled gradient echo: PD sin(a) (1 - E1) / (1 - E1 cos(a)) exp(-TE/T2*) (Ernst angle equation). Spin
    echo with a perfect refocusing pulse: PD (1 - E1) sin(a) exp(-TE/T2). E1 = exp(-TR/T1).
    """
    angle = math.radians(sequence.flip_angle)
    echo, repetition = 1000 * sequence.echo_time, 1000 * sequence.repetition_time
    recovery = 1 - math.exp(-repetition / tissue.t1)
    if sequence.spin_echo:
        return 0.0 if tissue.flowing else tissue.pd * math.sin(angle) * recovery * math.exp(-echo / tissue.t2)
    decay = tissue.pd * math.sin(angle) * math.exp(-echo / tissue.t2star)
    # Fresh blood reaches the slice with the larger part of its equilibrium magnetisation.
    saturated = recovery / (1 - (1 - recovery) * math.cos(angle))
    return decay * (0.5 * saturated + 0.25 if tissue.flowing else saturated)


def signals(sequence: Sequence, tesla: float) -> dict[str, float]:
    """Signal of every tissue in `sequence` at `tesla`, relative to the signal of white matter."""
    values = {name: signal(at_field(tissue, tesla), sequence) for name, tissue in TISSUES.items()}
    return {name: value / values["white"] for name, value in values.items()}
