"""Fuzz one reader with atheris, guided by coverage: no error but ours may leave it.

    pip install atheris
    python testing/fuzz/fuzz.py configuration -max_total_time=600

The first argument is a target of ``targets.py``, the others are libFuzzer's. What fails is written to a file
``crash-...`` in the working directory.
"""

from __future__ import annotations

import logging
import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["ivadomed", "nibabel", "tifffile"]):
    from testing.fuzz import targets


def main() -> None:
    """Run libFuzzer on the target that the command line names."""
    if len(sys.argv) < 2 or sys.argv[1] not in targets.TARGETS:
        sys.exit(f"{__doc__}\ntargets: {', '.join(targets.TARGETS)}")
    name = sys.argv.pop(1)
    logging.disable(logging.WARNING)
    corpus = Path(tempfile.mkdtemp(prefix=f"fuzz_{name}_"))
    for number, seed in enumerate(targets.seeds(name)):
        (corpus / str(number)).write_bytes(seed)
    atheris.Setup([*sys.argv, str(corpus)], lambda content: targets.check(name, content))
    atheris.Fuzz()


if __name__ == "__main__":
    main()
