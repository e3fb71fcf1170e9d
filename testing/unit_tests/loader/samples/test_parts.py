"""Parts of batches for several processes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ivadomed.loader.samples.loading import ShardSampler, shard_of


@given(st.lists(st.integers(), min_size=1, max_size=20), st.integers(1, 7))
def test_parts_make_up_the_batch(batch, ranks):
    parts = [shard_of(batch, rank, ranks) for rank in range(ranks)]
    assert len({len(part) for part in parts}) == 1
    joined = [entry for part in parts for entry in part]
    assert joined[: len(batch)] == batch
    assert set(joined[len(batch) :]) <= {batch[-1]}
    assert len(joined) - len(batch) < ranks


@given(st.integers(1, 30), st.integers(1, 8), st.integers(1, 4))
def test_the_batches_do_not_depend_on_the_number_of_processes(samples, batch_size, ranks):
    places = [(0, place) for place in range(samples)]
    [alone] = [list(ShardSampler(places, batch_size, 0, 1))]
    parts = [ShardSampler(places, batch_size, rank, ranks) for rank in range(ranks)]
    assert {len(part) for part in parts} == {len(alone)}
    for step, rows in enumerate(zip(*parts, strict=True)):
        assert parts[0].size(step) == len(alone[step])
        assert [place for row in rows for place in row][: parts[0].size(step)] == alone[step]


@pytest.mark.parametrize(("rank", "expected"), [(0, [["a", "b"], ["e"]]), (1, [["c", "d"], ["e"]])])
def test_a_small_last_batch(rank, expected):
    sampler = ShardSampler("abcde", 4, rank, 2)
    assert list(sampler) == expected
    assert [sampler.size(step) for step in range(len(sampler))] == [4, 1]
    assert sampler.samples == 5


@pytest.mark.parametrize(
    ("count", "sizes"),
    [(8, [4, 4]), (9, [4, 5]), (10, [4, 4, 2]), (5, [5]), (4, [4]), (1, [1])],
)
def test_a_last_batch_of_one_joins_the_one_before(count, sizes):
    sampler = ShardSampler(range(count), 4, 0, 1, least=2)
    assert [len(batch) for batch in sampler] == sizes == [sampler.size(k) for k in range(len(sampler))]
    assert [index for batch in sampler for index in batch] == list(range(count))


@given(st.integers(1, 30), st.integers(1, 8), st.integers(2, 4))
def test_no_share_of_a_batch_is_a_single_sample(samples, batch_size, ranks):
    least = ranks + 1
    if batch_size < least or samples < least:
        return
    sampler = ShardSampler(range(samples), batch_size, 0, ranks, least)
    assert all(len(share) > 1 for share in sampler)
    assert sum(sampler.size(step) for step in range(len(sampler))) == samples
