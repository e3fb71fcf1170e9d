"""The colours of pictures and plots."""

from __future__ import annotations

import numpy as np

# One colour per class, apart also for colour-blind readers (Okabe and Ito, 2008).
COLOURS = np.array(
    [[213, 94, 0], [0, 158, 115], [86, 180, 233], [204, 121, 167], [0, 114, 178], [230, 159, 0]], np.float32
)
"""[6, 3] red, green, blue in 0..255."""

LINE_ORDER = (0, 4, 1, 3, 2, 5)
"""Order of the colours for lines of a plot: the first two are furthest apart."""
