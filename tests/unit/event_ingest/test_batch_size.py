import pytest
from hypothesis import given
from hypothesis import strategies as st

from event_ingest.batch_size import MAX_ENTRIES, BatchSize

CLICKS = 5_000


def after(batches: list[tuple[int, int]]) -> int:
    size = BatchSize(CLICKS)
    for entries, clicks in batches:
        size.was(entries, clicks)
    return size.entries()


@pytest.mark.parametrize(
    ("batches", "entries"),
    [
        ([], 2),
        ([(1, 1)], 2),
        ([(100, 100)], 200),
        ([(400, 400)], MAX_ENTRIES),
        ([(10, 5_000)], 10),
        ([(100, 50_000)], 10),
        ([(100, 0)], 200),
        ([(1, 20_000)], 1),
    ],
)
def test_the_next_batch_goes_by_the_last(batches: list[tuple[int, int]], entries: int):
    assert after(batches) == entries


@given(st.lists(st.integers(1, 500), max_size=20), st.integers(1, 500))
def test_however_many_clicks_entries_hold_a_batch_gets_near_its_size(
    before: list[int], clicks: int
):
    size = BatchSize(CLICKS)
    for each in [*before, *[clicks] * 12]:
        entries = size.entries()
        assert 1 <= entries <= MAX_ENTRIES
        size.was(entries, entries * each)

    assert size.entries() == min(MAX_ENTRIES, CLICKS // clicks)
