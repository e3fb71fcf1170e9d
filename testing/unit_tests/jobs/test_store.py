"""What is done, and that it is done once."""

import json
import multiprocessing
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ivadomed.errors import OutputError
from ivadomed.jobs import ResultStore, content_id, once

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=40)
@given(st.dictionaries(st.text(max_size=5), JSON, max_size=4))
def test_id_depends_on_content_and_not_on_order(content):
    backwards = dict(reversed(content.items()))
    assert content_id(content) == content_id(json.loads(json.dumps(backwards)))
    assert content_id({**content, "one more key": 1}) != content_id(content)


def test_id_is_the_same_in_every_process():
    # printf '{"a":[1,2],"b":"x"}' | sha256sum
    assert content_id({"b": "x", "a": [1, 2]}) == "d0f56dda38d34376"


def test_result_is_found_again(tmp_path):
    store = ResultStore(tmp_path / "jobs")
    assert store.read("a") is None
    store.write("a", "first", {"loss": float("inf")})
    assert ResultStore(tmp_path / "jobs").read("a") == {"loss": float("inf")}
    assert json.loads((tmp_path / "jobs" / "a.json").read_text())["name"] == "first"


def test_damaged_entry_is_an_error(tmp_path):
    (tmp_path / "a.json").write_text("{")
    with pytest.raises(OutputError, match=r"a\.json: cannot be read .*remove it"):
        ResultStore(tmp_path).read("a")


def test_job_is_done_once(tmp_path):
    calls = []
    for _ in range(3):
        assert once(ResultStore(tmp_path), "a", "job", lambda: calls.append(1) or {"value": 7}) == {
            "value": 7
        }
    assert calls == [1]
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


def test_job_that_failed_is_done_again(tmp_path):
    with pytest.raises(ZeroDivisionError):
        once(ResultStore(tmp_path), "a", "job", lambda: 1 / 0)
    assert once(ResultStore(tmp_path), "a", "job", lambda: 5) == 5


def work(folder, start):
    start.wait()

    def call():
        (folder / f"call-{time.time_ns()}").touch()
        time.sleep(0.3)
        return 1

    once(ResultStore(folder / "jobs"), "a", "job", call)


def test_processes_that_are_given_one_job_do_it_once(tmp_path):
    context = multiprocessing.get_context("fork")
    start = context.Event()
    processes = [context.Process(target=work, args=(tmp_path, start)) for _ in range(4)]
    for process in processes:
        process.start()
    start.set()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * 4
    assert len(list(tmp_path.glob("call-*"))) == 1
