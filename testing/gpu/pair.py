"""One of two processes that train together on one device: ``python pair.py CONFIG``.

NCCL refuses two processes on one GPU, so they talk through gloo.
"""

from __future__ import annotations

import sys
from functools import partial
from typing import Any

from lightning_fabric.strategies import DDPStrategy

from ivadomed.main import main
from ivadomed.training import processes

through_gloo: Any = partial(DDPStrategy, process_group_backend="gloo")

if __name__ == "__main__":
    processes.DDPStrategy = through_gloo
    sys.exit(main(["--train", "-c", sys.argv[1]]))
