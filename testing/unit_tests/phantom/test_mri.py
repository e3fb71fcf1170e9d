"""Signal equations against hand-computed values, and what a radiologist expects of the contrasts."""

import math

import pytest

from ivadomed.phantom.mri import SEQUENCES, TISSUES, Sequence, Tissue, at_field, signal, signals


def test_spin_echo_by_hand():
    # TR = T1 ln 2 recovers one half, TE = T2 ln 4 leaves one quarter.
    tissue = Tissue(pd=0.8, t1=1000, t2=100, t2star=50)
    sequence = Sequence(True, 90.0, 0.1 * math.log(4), 1.0 * math.log(2))
    assert signal(tissue, sequence) == pytest.approx(0.8 * 0.5 * 0.25)


def test_gradient_echo_by_hand():
    # 90 degrees: sin = 1, cos = 0, so that only recovery and decay remain.
    tissue = Tissue(pd=1.0, t1=1000, t2=100, t2star=50)
    assert signal(tissue, Sequence(False, 90.0, 0.05 * math.log(2), math.log(4))) == pytest.approx(0.75 * 0.5)
    # 60 degrees with E1 = 1/2: sin 60 (1/2) / (1 - 1/4) = sin 60 * 2/3.
    expected = math.sin(math.pi / 3) * 2 / 3
    assert signal(tissue, Sequence(False, 60.0, 0.0, math.log(2))) == pytest.approx(expected)


def test_field_strength():
    tissue = Tissue(pd=1.0, t1=1000, t2=100, t2star=50)
    weak = at_field(tissue, 1.5)
    assert weak.t1 == pytest.approx(1000 * 0.5 ** (1 / 3))
    assert weak.t2 == 100
    assert 1 / weak.t2star == pytest.approx(1 / 100 + 0.5 * (1 / 50 - 1 / 100))
    assert at_field(tissue, 3.0).t2star == pytest.approx(50)


@pytest.mark.parametrize("tesla", [1.5, 3.0])
def test_contrasts(tesla):
    t1w, t2w, t2star = (signals(SEQUENCES[name], tesla) for name in ("T1w", "T2w", "T2star"))
    assert t1w["csf"] < 0.6 * t1w["white"]
    assert t1w["fat"] > 1.5 * t1w["white"]
    assert t2w["csf"] > 2 * t2w["white"]
    assert t2w["lesion"] > 1.5 * t2w["white"]
    assert t2star["grey"] > 1.1 * t2star["white"]
    assert t2star["lesion"] > 1.2 * t2star["white"]
    assert t2w["blood"] == 0 < t2star["blood"]
    for values in (t1w, t2w, t2star):
        assert set(values) == set(TISSUES)
        assert values["air"] == 0
        assert values["bone"] < 0.2 * values["white"]
