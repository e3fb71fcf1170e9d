"""The colours of classes."""

import numpy as np

# Apart also for colour-blind readers (Okabe and Ito, 2008).
COLOURS = np.array(
    [[213, 94, 0], [0, 158, 115], [86, 180, 233], [204, 121, 167], [0, 114, 178], [230, 159, 0]], np.float32
)
