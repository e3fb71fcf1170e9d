"""Members of a sweep, without their runs."""

import pytest

from ivadomed.sweep.plan import Member


@pytest.fixture
def member(tmp_path):
    """Return a function that makes a member whose folder is not there."""

    def make(name: str, iteration: int = 0, depth: int = 1) -> Member:
        path = str(tmp_path / f"out-{name}")
        folder = path + (f"_n={iteration:02d}" if iteration else "")
        config = {"path_output": folder, "log_file": "log", "default_model": {"depth": depth}}
        return Member(f"{name}{iteration}", name, config, path, iteration)

    return make
