"""``testing/gpu/check.py`` as far as it goes without a GPU."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "gpu" / "check.py"
PARTS = {
    *("networks", "losses", "transforms", "transfers", "runs", "failures", "processes", "memory", "speed"),
}


@pytest.mark.slow
def test_the_check_passes_on_a_cpu_and_says_what_needs_a_gpu(tmp_path):
    output = tmp_path / "gpu_check.json"
    done = subprocess.run(
        [sys.executable, SCRIPT, "--device", "cpu", "--quick", "-o", output],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=1000,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    content = json.loads(output.read_text())
    assert content["passed"]
    assert content["device"].startswith("cpu")
    assert {"torch", "date", "ivadomed"} <= content.keys()
    rows = content["rows"]
    assert {row["part"] for row in rows} == PARTS
    # What is the reference itself, or needs a GPU, is never said to have passed.
    skipped = [row for row in rows if row["status"] == "skipped"]
    assert all(row["why"] and row["value"] is None for row in skipped)
    texts = " ".join(row["what"] for row in skipped)
    for text in (
        "gpu_id=0 against gpu_id=None",
        "fp16",
        "NCCL",
        "by a profile",
        "torch.compile",
        "Unet: float32",
    ):
        assert text in texts
    assert not [row for row in rows if row["status"] == "ok" and "gpu_id=0" in row["what"]]
    for row in rows:
        assert row["what"] in done.stdout
