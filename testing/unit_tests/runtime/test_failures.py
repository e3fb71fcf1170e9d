"""Shortages of the machine in the user's words."""

import errno

import numpy as np
import pytest
import torch

from ivadomed.errors import DataError, MachineError
from ivadomed.runtime.failures import (
    is_utf8,
    out_of_memory,
    printable,
    refuse_shortage,
    shortage,
    shortages_explained,
    unwritable_name,
    utf8_remedy,
)


def raised(call):
    with pytest.raises(Exception) as caught:
        call()
    return caught.value


SHM = "unable to allocate shared memory(shm) for file </torch_1_2_0>: No space left on device (28)"


@pytest.mark.parametrize("call", [lambda: torch.empty(2**60), lambda: np.empty(2**55)])
def test_the_allocators_of_the_libraries(call):
    error = raised(call)
    assert out_of_memory(error)
    assert shortage(error, "reduce x") == "out of memory; reduce x"


@pytest.mark.parametrize(
    ("error", "is_one"),
    [
        (OSError(errno.ENOMEM, "Cannot allocate memory"), True),
        (
            RuntimeError("[ONNXRuntimeError] : 6 : Failed to allocate memory for requested buffer of size 9"),
            True,
        ),
        (RuntimeError("std::bad_alloc"), True),
        (ImportError("libtorch_cpu.so: failed to map segment from shared object"), True),
        (ValueError("out of memory of another kind"), False),
        (RuntimeError("a fault of ours"), False),
        (OSError(errno.ENOSPC, "No space left on device"), False),
    ],
)
def test_which_errors_are_for_want_of_memory(error, is_one):
    assert out_of_memory(error) == is_one
    assert (shortage(error, "x") is not None) == is_one


@pytest.mark.parametrize(
    ("error", "parts"),
    [
        (
            RuntimeError(f"Caught RuntimeError in DataLoader worker process 0.\n{SHM}"),
            ["/dev/shm", "--shm-size"],
        ),
        (RuntimeError("can't start new thread"), ["ulimit -u"]),
        (BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable"), ["ulimit -u"]),
    ],
)
def test_other_shortages(error, parts):
    told = shortage(error, "reduce x (1)")
    assert all(part in told for part in [*parts, "num_workers", "reduce x (1)"])


def test_the_innermost_context_speaks():
    with (
        pytest.raises(MachineError, match=r"^a\.nii: out of memory; use less$"),
        shortages_explained("run", "no"),
        shortages_explained("a.nii", "use less"),
    ):
        raise MemoryError
    for error in (DataError("wrong"), ValueError("ours")):
        with pytest.raises(type(error)) as caught, shortages_explained("run", "no"):
            raise error
        assert caught.value is error


def test_a_file_is_not_damaged_for_want_of_memory():
    refuse_shortage(ValueError("bad header"), "a.nii")
    with pytest.raises(MachineError, match=r"a\.nii: out of memory"):
        refuse_shortage(MemoryError(), "a.nii")


def test_a_name_that_is_no_utf8():
    name = b"caf\xe9.nii".decode("utf-8", "surrogateescape")
    assert not is_utf8(name)
    assert is_utf8("café.nii")
    assert printable(name) == "caf\\udce9.nii"
    error = raised(lambda: f'{{"path": "{name}", "b": 1}}'.encode())
    assert unwritable_name(error).startswith("caf\\udce9.nii: cannot be written as utf-8 text; ")


def test_the_remedy_depends_on_the_locale(monkeypatch):
    assert "rename" in utf8_remedy()
    monkeypatch.setattr("sys.getfilesystemencoding", lambda: "ascii")
    assert "PYTHONUTF8=1" in utf8_remedy()


def test_no_room_for_temporary_files():
    error = FileNotFoundError(2, "No usable temporary directory found in ['/tmp', '/x']")
    assert "set TMPDIR" in shortage(error, "")
    assert shortage(FileNotFoundError(2, "No such file"), "") is None
