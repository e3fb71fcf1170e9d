import os
import platform
import threading

import pytest
import torch

from ivadomed.runtime import allocator
from ivadomed.runtime.allocator import reused_memory

glibc = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")
BLOCK = 64 * 2**20
"""Bytes; above every threshold that glibc reaches by itself."""


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


def block():
    return torch.ones(BLOCK // 4)


def faults_of_a_block():
    resource = pytest.importorskip("resource")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    block()
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@glibc
def test_a_freed_block_is_reused_without_page_faults():
    pages = BLOCK / os.sysconf("SC_PAGE_SIZE")
    with reused_memory():
        faults = [faults_of_a_block() for _ in range(10)]
    assert faults[-1] < pages / 100, faults


@glibc
def test_memory_is_returned_at_the_end():
    before = resident()
    with reused_memory():
        blocks = [block() for _ in range(4)]
        del blocks
        assert resident() - before > 3.5 * BLOCK
    assert resident() - before < BLOCK / 2


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
