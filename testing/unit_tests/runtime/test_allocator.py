import json
import platform
import subprocess
import sys
import threading

import pytest
import torch

from ivadomed.runtime import allocator
from ivadomed.runtime.allocator import reused_memory

glibc = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")
BLOCK = 64 * 2**20
"""Bytes; above every threshold that glibc reaches by itself."""

# In a process of its own: other tests may have left gaps in the heap, and threads have heaps of 64 MB.
PROGRAM = f"""
import json, os, resource
import numpy as np
from ivadomed.runtime.allocator import kept_memory, reused_memory

def block():
    return np.ones({BLOCK} // 8)

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    block()
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

found = dict(page=os.sysconf("SC_PAGE_SIZE"), first=resident())
with kept_memory():
    with reused_memory():
        blocks = [block() for _ in range(4)]
        del blocks
        found |= dict(kept=resident(), faults=[faults() for _ in range(10)])
    with reused_memory():
        found |= dict(again=[faults() for _ in range(10)])
found |= dict(last=resident())
print(json.dumps(found))
"""


class Library:
    """What the C library is told."""

    def __init__(self):
        self.told = []

    def mallopt(self, parameter, value):
        self.told.append((parameter, value))

    def malloc_trim(self, padding):
        self.told.append("trimmed")


@pytest.fixture
def library(monkeypatch):
    library = Library()
    monkeypatch.setattr(allocator, "_glibc", lambda: library)
    return library


@pytest.fixture(scope="module")
def found():
    """Resident bytes and page faults of a process, see ``PROGRAM``."""
    done = subprocess.run([sys.executable, "-c", PROGRAM], check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout)


@glibc
def test_a_freed_block_is_reused_without_page_faults(found):
    few = BLOCK / found["page"] / 100
    assert found["faults"][-1] < few
    assert found["again"][-1] < few


@glibc
def test_memory_is_kept_until_the_end(found):
    assert found["kept"] - found["first"] > 3.5 * BLOCK
    assert found["last"] - found["first"] < BLOCK / 2


def test_the_last_of_nested_contexts_returns_the_memory(library):
    with reused_memory():
        told = list(library.told)
        with reused_memory():
            assert library.told == told
        assert library.told == told
    assert library.told[-1] == "trimmed"


def test_threads_share_the_setting(library):
    inside, go_on = threading.Event(), threading.Event()

    def other():
        with reused_memory():
            inside.set()
            go_on.wait(10)

    thread = threading.Thread(target=other)
    thread.start()
    assert inside.wait(10)
    with reused_memory():
        go_on.set()
        thread.join()
        assert "trimmed" not in library.told
    assert library.told.count("trimmed") == 1


def test_an_error_inside_ends_the_context(library):
    with pytest.raises(ValueError), reused_memory():
        raise ValueError
    assert library.told[-1] == "trimmed"


def test_without_glibc_nothing_happens(monkeypatch):
    monkeypatch.setattr(allocator, "_glibc", lambda: None)
    with reused_memory():
        assert torch.ones(3).sum() == 3
