"""What a machine lacks: memory, shared memory, a reader of the output, UTF-8, a working folder."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from ivadomed.scripts.check_data import main as check_data
from ivadomed.scripts.segment_image import main as segment_image
from testing.functional_tests.faults.clear import assert_clear

pytestmark = pytest.mark.skipif(os.name != "posix", reason="of POSIX systems")

ROOT = str(Path(__file__).parents[3])
EVAL = "-m ivadomed --eval -c {config}"
CHECK = "-m ivadomed.scripts.check_data -c {config}"


def shell(text: str, config: Path, cwd: Path | None = None, **environment: str) -> tuple[int, str]:
    """Run a command line of bash in which ``python`` is ours; its exit code and standard error."""
    path = os.pathsep.join(filter(None, (ROOT, os.environ.get("PYTHONPATH"))))
    text = text.format(config=f"'{config}'").replace("python ", f"'{sys.executable}' ")
    done = subprocess.run(
        ["bash", "-c", text],
        capture_output=True,
        env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", **environment},
        cwd=cwd,
        timeout=120,
    )
    return done.returncode, done.stderr.decode("utf-8", "replace")


def can_mount() -> bool:
    text = "mount -t tmpfs -o size=64k tmpfs /dev/shm"
    if shutil.which("unshare") is None:
        return False
    return subprocess.run(["unshare", "-m", "sh", "-c", text], capture_output=True).returncode == 0


@pytest.fixture
def tested(run, config, write) -> Path:
    """Configuration of a run that may be evaluated."""
    return write(config)


@pytest.mark.parametrize(
    ("text", "code", "error"),
    [
        (f"python {EVAL} >&-", 0, ""),
        (f"python {EVAL} <&- >&- 2>&-", 0, ""),
        (f"python {EVAL} | true; exit ${{{{PIPESTATUS[0]}}}}", 0, ""),
        (
            f"python {EVAL} > /dev/full",
            0,
            "standard output cannot be written (No space left on device); the run",
        ),
        (f"python {CHECK} >&-", 0, ""),
        (f"python {CHECK} | true; exit ${{{{PIPESTATUS[0]}}}}", 141, ""),
        (
            f"python {CHECK} > /dev/full",
            1,
            "standard output or a file: cannot be written or read (No space left",
        ),
    ],
)
def test_standard_output_that_is_closed_full_or_read_no_more(tested, text, code, error):
    found, told = shell(text, tested)
    assert (found, "Traceback" in told) == (code, False), told
    assert len(told.splitlines()) == (1 if error else 0), told
    assert error in told


@pytest.mark.parametrize("text", [f"python {EVAL}", f"python {CHECK}"])
def test_a_working_folder_that_was_removed(tested, tmp_path, text):
    code, told = shell(f"mkdir gone && cd gone && rmdir ../gone && {text}", tested, cwd=tmp_path)
    assert_clear(code, told, "the working folder has been removed")


@pytest.mark.parametrize("text", ["python -m ivadomed --train -c {config}", f"python {CHECK}"])
def test_a_locale_without_utf8(config, write, text):
    """The data set and the output of the tests have an é in their path."""
    code, told = shell(text, write(config), LC_ALL="C", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0")
    assert_clear(code, told, r"cannot be written as ascii text; .*PYTHONUTF8=1")


def test_names_that_are_no_utf8(broken, config, write, refused, capsys):
    foreign = os.fsdecode(b"caf\xe9")
    config["loader_parameters"]["path_data"] = [str(broken.folder)]
    path = write(config)
    shutil.copy(broken.image, broken.image.with_name(f"sub-001_acq-{foreign}_T2w.nii.gz"))
    assert check_data(["-c", str(path)]) == 0
    assert "sub-001_acq-caf\\udce9_T2w.nii.gz: its name is not UTF-8" in capsys.readouterr().out
    pattern = r"expected .* UTF-8.*rename"
    refused(["--train", path, "--path-data", broken.folder / foreign], f"path_data.*{pattern}")
    refused(["--train", path, "--path-output", broken.folder / foreign], f"path_output.*{pattern}")


@pytest.fixture
def wrong_voxel_size(broken) -> Path:
    """A data set whose images have voxels of metres."""
    for path in broken.folder.rglob("sub-*.nii.gz"):
        image = nib.load(path)
        affine = np.diag([1e3, 1e3, 1e3, 1]) @ image.affine
        nib.save(nib.Nifti1Image(np.asarray(image.dataobj), affine), path)
    return broken.folder


HUGE = r"T2w\.nii\.gz: its .*voxels after Resample.* take \d.* GB of memory.*mm per voxel: fix this"


@pytest.fixture
def little_memory(monkeypatch):
    """Half a gigabyte is left."""
    monkeypatch.setattr("ivadomed.runtime.memory.available_memory", lambda: 1 << 29)


@pytest.mark.usefixtures("little_memory")
@pytest.mark.parametrize("cache", ["disk", "hdf5", "memory", "none"])
def test_a_voxel_size_that_makes_an_image_huge_is_refused_in_training(
    wrong_voxel_size, config, write, refused, cache
):
    config["loader_parameters"] |= {"path_data": [str(wrong_voxel_size)], "cache": cache}
    refused(["--train", write(config)], HUGE, keeps=[wrong_voxel_size])


@pytest.mark.usefixtures("little_memory")
def test_a_voxel_size_that_makes_an_image_huge_is_refused_in_prediction(
    run, wrong_voxel_size, config, write, refused, capsys
):
    config["loader_parameters"]["path_data"] = [str(wrong_voxel_size)]
    path, image = write(config), next(wrong_voxel_size.glob("sub-*/anat/*_T2w.nii.gz"))
    for command in ("--test", "--segment"):
        refused([command, path], HUGE)
    model = run / config["model_name"]
    refused(["-m", model, "-i", image, "-o", wrong_voxel_size / "seg"], HUGE, main=segment_image)
    capsys.readouterr()
    assert check_data(["-c", str(path)]) == 1
    assert "voxels after Resample" in capsys.readouterr().out


@pytest.mark.skipif(not can_mount(), reason="needs a /dev/shm of its own")
@pytest.mark.parametrize(
    ("options", "reason"), [("ro", "cannot share a semaphore"), ("size=64k", "--shm-size")]
)
def test_loading_processes_without_room_in_shared_memory(config, write, options, reason):
    """The training continues with fewer processes, or none."""
    config["training_parameters"]["num_workers"] = 2
    path = write(config)
    code, told = shell(
        f"unshare -m bash -c 'mount -t tmpfs -o {options} tmpfs /dev/shm; exec python -m ivadomed --train -c \"$0\"' "
        "{config}",
        path,
    )
    assert (code, told) == (0, "")
    assert reason in (Path(config["path_output"]) / "log").read_text(encoding="utf-8")


@pytest.mark.skipif(not can_mount(), reason="needs a /dev/shm of its own")
def test_jobs_where_shared_memory_cannot_be_written(tested, config):
    code, told = shell(
        f"unshare -m bash -c 'mount -t tmpfs -o ro tmpfs /dev/shm; exec python {EVAL.format(config='$0')} -j 2' "
        "{config}",
        tested,
    )
    assert (code, told) == (0, "")
    log = (Path(config["path_output"]) / "log").read_text(encoding="utf-8")
    assert "--jobs 2: processes cannot share a semaphore" in log
