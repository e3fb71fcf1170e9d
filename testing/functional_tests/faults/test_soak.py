"""Many runs in one process: nothing grows. The full numbers: testing/benchmarks/soak.py."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from ivadomed.inference import Predictor

PROGRAM = """
import sys
from pathlib import Path
from testing.benchmarks.soak import soak_segmentations, soak_trainings
study, run, folder, kind, times = (*map(Path, sys.argv[1:4]), sys.argv[4], int(sys.argv[5]))
before, after = soak_trainings(study, folder, times) if kind == "train" else soak_segmentations(
    study, run / "seg_sc", times)
print(before.memory, after.memory, after.files - before.files, after.threads - before.threads)
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="counts files as Linux tells them")
@pytest.mark.parametrize(("kind", "times"), [("train", 10), ("segment", 60)])
def test_nothing_grows(study, trained_once, tmp_path, kind, times):
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, study, trained_once / "out put", tmp_path, kind, str(times)],
        capture_output=True,
        text=True,
        env={**os.environ, "TMPDIR": str(temporary)},
    )
    assert done.returncode == 0, done.stderr
    before, after, files, threads = map(float, done.stdout.splitlines()[-1].split())
    assert after < 1.05 * before
    assert (files, threads) == (0, 0)
    # onnxruntime leaves one small file with the number of its session, however often it is used.
    assert {path.name for path in temporary.iterdir()} <= {".ses"}


def test_eight_threads_give_the_results_of_one(study, trained_once):
    predict = Predictor(trained_once / "out put" / "seg_sc", "cpu")
    images = sorted(study.glob("sub-*/anat/*_T2w.nii.gz")) * 4

    def voxels(path):
        return np.stack([np.asanyarray(mask.dataobj) for mask in predict(path, {"binarize_prediction": 0})])

    alone = [voxels(path) for path in images]
    with ThreadPoolExecutor(8) as pool:
        for one, other in zip(alone, pool.map(voxels, images), strict=True):
            np.testing.assert_array_equal(one, other)
