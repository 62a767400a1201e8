from datetime import UTC, datetime
from uuid import uuid4

import pytest

from event_ingest import storage
from event_ingest.enrichment import Enriched
from shared.events import Click


def some(links: list[int]) -> list[storage.Storable]:
    at = datetime.now(UTC)
    clicks = (Click(id=uuid4(), at=at, code="a", url_id=link) for link in links)
    return [(Enriched(click, b"{}", None), b"1-0") for click in clicks]


def test_no_two_parts_of_a_batch_touch_the_same_link():
    clicks = some([number % 97 for number in range(3_000)])

    parts = storage.parts(clicks)

    assert len(parts) == storage.STORED_AT_ONCE
    links = [{each.click.url_id for each, _ in part} for part in parts]
    assert not set.intersection(*links)
    assert sorted(map(id, (each for part in parts for each in part))) == sorted(map(id, clicks))


@pytest.mark.parametrize(
    ("links", "parts"), [([], 0), ([1] * 10, 1), ([1, 2] * 100, 1), ([2] * 5_000, 1)]
)
def test_what_is_small_or_of_one_link_is_one_transaction(links: list[int], parts: int):
    assert len(storage.parts(some(links))) == parts
