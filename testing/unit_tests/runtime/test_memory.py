"""Memory that is left, as Linux describes it."""

import pytest

from ivadomed.errors import ConfigError
from ivadomed.runtime.memory import available_memory, job_count

GB = 1 << 30


@pytest.fixture
def system(tmp_path):
    """A system with 8 GB left and the control groups of a process."""

    def make(line="", groups=()):
        proc, root = tmp_path / "proc", tmp_path / "cgroup"
        (proc / "self").mkdir(parents=True)
        root.mkdir()
        (proc / "meminfo").write_text(f"MemTotal: {16 << 20} kB\nMemFree: 1 kB\nMemAvailable: {8 << 20} kB\n")
        (proc / "self" / "cgroup").write_text(line)
        for folder, files in dict(groups).items():
            (root / folder).mkdir(parents=True, exist_ok=True)
            for name, text in files.items():
                (root / folder / name).write_text(f"{text}\n")
        return available_memory(proc, root)

    return make


def group(limit, used, cached=0, version=2):
    names = ("memory.max", "memory.current", "memory.stat")
    if version == 1:
        names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "memory.stat")
    return dict(zip(names, (limit, used, f"anon 5\ninactive_file {cached}"), strict=True))


def test_without_control_groups_it_is_that_of_the_system(system):
    assert system() == 8 * GB


@pytest.mark.parametrize("place", ["a", "a/b"])
def test_the_limit_of_any_group_above_the_process_counts(system, place):
    groups = {"": {}, "a": group("max", 9 * GB), "a/b": group("max", 5 * GB)}
    groups[place] = group(4 * GB, 3 * GB, cached=GB // 2)
    assert system("0::/a/b\n", groups) == 3 * GB // 2


def test_a_limit_above_what_the_system_has_does_not_count(system):
    assert system("0::/\n", {"": group(100 * GB, GB)}) == 8 * GB


def test_version_1_of_the_groups(system):
    lines = "3:cpu:/job\n2:memory,hugetlb:/job\n"
    assert system(lines, {"memory/job": group(2 * GB, GB, version=1)}) == GB


def test_a_system_that_describes_nothing(tmp_path):
    found = available_memory(tmp_path, tmp_path)
    assert found is None or found > 0


def test_jobs(monkeypatch):
    monkeypatch.setattr("ivadomed.runtime.memory.available_cores", lambda: 6)
    assert [job_count(wanted) for wanted in (1, 4, 20, -1)] == [1, 4, 20, 6]
    for wanted in (0, -2):
        with pytest.raises(ConfigError, match=rf"--jobs: {wanted}; expected 1 or more, or -1"):
            job_count(wanted)
