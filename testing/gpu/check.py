"""Proof that ivadomed works on the GPU of this machine, and how fast it is there.

    python testing/gpu/check.py                        the GPU, under six minutes
    python testing/gpu/check.py --quick                the same with small networks and images
    python testing/gpu/check.py --quick --device cpu   what can be known without a GPU; CI runs this

Everything is compared with the CPU in float32. With ``--device cpu`` other layouts and number formats are, and what
needs a GPU is listed as skipped. Prints one table, and writes its rows to gpu_check.json. The exit code is 1 when a
check fails; figures over their goal are marked, but are no failure. Nothing is downloaded.
"""

from __future__ import annotations

import argparse
import datetime
import json
import platform
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import failures
import losses
import memory
import networks
import processes
import runs
import speed
import torch
import transfers
import transforms
from rows import Row, as_json, broken, exit_code, stated, summary, table
from setting import CPU, Setting

import ivadomed

Part = Callable[[Setting], Iterator[Row]]

PARTS: dict[str, Part] = {
    "networks": networks.check,
    "losses": losses.check,
    "transforms": transforms.check,
    "transfers": transfers.check,
    "runs": runs.check,
    "failures": failures.check,
    "processes": processes.check,
    "memory": memory.check,
    "speed": speed.check,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the check.

    Returns:
        The exit code.
    """
    options = get_parser().parse_args(arguments)
    device = torch.device(options.device)
    if not is_there(device):
        print(
            f"--device {options.device}: this machine has none; --device cpu checks what can be",
            file=sys.stderr,
        )
        return 2
    with tempfile.TemporaryDirectory() as folder:
        setting = Setting(device, options.quick, Path(folder))
        rows = run({name: PARTS[name] for name in options.only or PARTS}, setting)
    about = description(setting)
    print(table(rows))
    print(f"\n{about['device']}, torch {about['torch']}, ivadomed {about['ivadomed']}: {summary(rows)}")
    options.output.write_text(json.dumps(as_json(rows, about), indent=2) + "\n")
    return exit_code(rows)


def get_parser() -> argparse.ArgumentParser:
    """Parser of the command line."""
    formatter = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=formatter)
    add = parser.add_argument
    add("--quick", action="store_true", help="small networks and images, few rounds")
    add("--device", default="cuda", help="cpu, cuda, cuda:1 or mps (default: %(default)s)")
    add("--only", nargs="+", choices=PARTS, metavar="PART", help=f"parts to run, of {', '.join(PARTS)}")
    add("-o", "--output", type=Path, default=Path("gpu_check.json"), help="default: %(default)s")
    return parser


def is_there(device: torch.device) -> bool:
    """Presence of the device."""
    if device.type == "cuda":
        return torch.cuda.is_available() and (device.index or 0) < torch.cuda.device_count()
    return device == CPU or (device.type == "mps" and torch.backends.mps.is_available())


def run(parts: dict[str, Part], setting: Setting) -> list[Row]:
    """Rows of all parts; an error ends a part, not the check."""
    rows: list[Row] = []
    for name, part in parts.items():
        print(f"{name} ...", file=sys.stderr, flush=True)
        started = time.perf_counter()
        try:
            for row in part(setting):  # one by one: those before an error are kept
                rows.append(row)
        except Exception as error:
            traceback.print_exc()
            rows.append(broken(name, error))
        rows.append(stated(name, "seconds of this part", time.perf_counter() - started))
    return rows


def description(setting: Setting) -> dict[str, Any]:
    """The machine, the versions and the date."""
    device = setting.device
    name = torch.cuda.get_device_name(device) if setting.is_cuda else f"{device.type} of {platform.machine()}"
    return {
        "device": name,
        "cuda": torch.version.cuda if setting.is_cuda else None,
        "cudnn": torch.backends.cudnn.version() if setting.is_cuda else None,
        "torch": torch.__version__,
        "ivadomed": ivadomed.__version__,
        "python": platform.python_version(),
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "quick": setting.quick,
    }


if __name__ == "__main__":
    sys.exit(main())
