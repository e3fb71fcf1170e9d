"""Time the BIDS index on trees of empty images: ``python bench_index.py [subjects ...]``.

Each subject has two contrasts with a sidecar and two labels each. Prints the seconds of ``BidsDataframe`` for 1,000
and 10,000 subjects, and the processor time per subject of the last over the first (1.0 is linear).
"""

from __future__ import annotations

import argparse
import json
import logging
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
    """Print the figures."""
    logging.basicConfig(level=logging.WARNING)
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("subjects", type=int, nargs="*", default=[1000, 10000])
    counts = parser.parse_args().subjects
    measure(10)  # imports that pandas delays
    per_subject = []
    for count in counts:
        seconds, processor = measure(count)
        per_subject.append(processor / count)
        print(
            f"{count} subjects: {seconds:.2f} s, {1000 * per_subject[-1]:.2f} ms of processor time per subject"
        )
    print(f"ratio per subject {per_subject[-1] / per_subject[0]:.2f}")


if __name__ == "__main__":
    main()
