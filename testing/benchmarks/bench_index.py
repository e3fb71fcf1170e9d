"""Time the BIDS index on trees of empty images: ``python bench_index.py [subjects]``.

Each subject has two contrasts with a sidecar and two labels each. Prints the seconds of ``BidsDataframe`` per
1,000 subjects and how much more processor time four times as many subjects take (4.0 is linear).
"""

from __future__ import annotations

import json
import logging
import sys
import tempfile
import time
from pathlib import Path

from ivadomed.loader.bids_dataframe import BidsDataframe

CONTRASTS = ("T1w", "T2w")
SUFFIXES = ("_seg-manual", "_lesion-manual")
SIDECAR = json.dumps({f"Field{i:02d}": i if i % 3 else [i, "text", 0.5] for i in range(40)})


def write_tree(root: Path, n_subjects: int) -> None:
    """Write a data set whose images are empty files."""
    names = [f"sub-{i:05d}" for i in range(n_subjects)]
    for name in names:
        raw, labels = root / name / "anat", root / "derivatives" / "labels" / name / "anat"
        raw.mkdir(parents=True)
        labels.mkdir(parents=True)
        for contrast in CONTRASTS:
            (raw / f"{name}_{contrast}.nii.gz").touch()
            (raw / f"{name}_{contrast}.json").write_text(SIDECAR)
            for suffix in SUFFIXES:
                (labels / f"{name}_{contrast}{suffix}.nii.gz").touch()
    rows = [f"{name}\t{'FM'[i % 2]}\tsite{i % 7}" for i, name in enumerate(names)]
    (root / "participants.tsv").write_text("\n".join(["participant_id\tsex\tinstitution_id", *rows]) + "\n")


def measure(n_subjects: int) -> tuple[float, float]:
    """Seconds and processor seconds to build the data frame of ``n_subjects`` subjects."""
    with tempfile.TemporaryDirectory() as folder:
        write_tree(Path(folder), n_subjects)
        params = {
            "path_data": folder,
            "target_suffix": list(SUFFIXES),
            "contrast_params": {"contrast_lst": list(CONTRASTS)},
        }
        start, start_processor = time.perf_counter(), time.process_time()
        bids_df = BidsDataframe(params, folder, derivatives=True)
        seconds, processor = time.perf_counter() - start, time.process_time() - start_processor
    expected = n_subjects * len(CONTRASTS) * (1 + len(SUFFIXES))
    if len(bids_df.df) != expected:
        raise RuntimeError(f"{len(bids_df.df)} rows instead of {expected}")
    return seconds, processor


def main() -> None:
    """Print the two figures."""
    logging.basicConfig(level=logging.WARNING)
    n_subjects = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    measure(10)  # imports that pandas delays
    (seconds, once), (_, four_times) = measure(n_subjects), measure(4 * n_subjects)
    per_thousand = 1000 * seconds / n_subjects
    print(f"{per_thousand:.2f} s per 1,000 subjects; x{four_times / once:.2f} for four times as many")


if __name__ == "__main__":
    main()
