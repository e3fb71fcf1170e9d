"""Peak memory of training on 20 and on 200 subjects; it must not grow with the data set.

One T2w image per subject, prepared to 24 slices of 128x128 (3 MB per subject), one epoch with the tutorial's
transforms. The figure is the resident memory of the largest process, as the kernel accounts for it.

    python testing/benchmarks/bench_memory.py
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from ivadomed.config import CONFIG_DIR
from ivadomed.scripts.create_phantom import create_phantom

_TRAIN = """\
import resource, sys
from ivadomed.main import run_main
run_main(sys.argv[1])
own, workers = (resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
print("PEAK", max(own, workers) / 1024)
"""


def main() -> None:
    """Print the peak for each number of subjects and the ratio of the last to the first."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--subjects", type=int, nargs="+", default=[20, 200])
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        peaks = [_peak(Path(folder, str(n)), n) for n in options.subjects]
    for n, peak in zip(options.subjects, peaks, strict=True):
        print(f"{n} subjects: {peak:.0f} MB")
    print(f"ratio {peaks[-1] / peaks[0]:.3f}")


def _peak(folder: Path, subjects: int) -> float:
    """Peak memory in MB of a training on a new phantom."""
    data = create_phantom(folder / "data", n=subjects, seed=0, contrasts=("T2w",), jobs=2)
    config = json.loads((CONFIG_DIR / "config.json").read_text(encoding="utf-8"))
    config["path_output"] = str(folder / "run")
    config["loader_parameters"]["path_data"] = [str(data)]
    config["loader_parameters"]["contrast_params"] = {"training_validation": ["T2w"], "testing": ["T2w"]}
    config["training_parameters"]["training_time"]["num_epochs"] = 1
    config["default_model"] |= {"depth": 1, "n_filters": 4}
    path = folder / "config.json"
    path.write_text(json.dumps(config), encoding="utf-8")
    run = subprocess.run(
        [sys.executable, "-c", _TRAIN, str(path)], capture_output=True, text=True, check=True
    )
    return float(run.stdout.split("PEAK")[1])


if __name__ == "__main__":
    main()
