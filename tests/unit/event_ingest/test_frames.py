from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from event_ingest.consumer import DeadShare, TooManyDeadLetters
from event_ingest.frames import decode
from shared import streams
from shared.events import Click, encoder

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)


def click(**changes: object) -> Click:
    values = {"id": uuid4(), "at": NOW, "code": "abc123", "url_id": 1, **changes}
    return Click(**values)  # type: ignore[arg-type]


def entry(batch: bytes) -> tuple[bytes, dict[bytes, bytes]]:
    return b"1-1", {streams.CLICKS_BATCH: batch}


def frame(clicks: list[Click]) -> tuple[bytes, dict[bytes, bytes]]:
    return entry(encoder.encode(clicks))


@given(st.lists(st.builds(click, code=st.text(max_size=20), referrer=st.none() | st.text())))
def test_what_a_redirector_sends_is_what_ingest_reads(clicks: list[Click]):
    assert decode([frame(clicks)], NOW).clicks == clicks


@given(st.binary())
def test_whatever_is_on_the_stream_is_clicks_or_dead_letters(batch: bytes):
    decoded = decode([entry(batch)], NOW)

    assert decoded.clicks or decoded.dead or batch.strip() == b"[]"


FRAME = encoder.encode([click(user_agent="Mozilla/5.0"), click()])


@given(st.integers(0, len(FRAME) - 1), st.integers(0, 255))
@example(FRAME.index(b"Mozilla"), 0xFF)
def test_whatever_becomes_of_a_frame_is_clicks_or_dead_letters(place: int, byte: int):
    batch = FRAME[:place] + bytes([byte]) + FRAME[place + 1 :]

    decoded = decode([entry(batch)], NOW)

    assert 1 <= len(decoded.clicks) + len(decoded.dead) <= 2


def test_lists_within_lists_are_a_dead_letter():
    batch = encoder.encode([click()]).replace(b"}]", b',"more":%b}]' % (b"[" * 9999 + b"]" * 9999))

    decoded = decode([entry(batch)], NOW)

    assert [letter.payload for letter in decoded.dead] == [batch]


NOT_UTF8 = encoder.encode(click(referrer="https://a.example")).replace(b"a.example", b"\xff")


@pytest.mark.parametrize("bad", [b'{"id":7,"at":"yesterday"}', NOT_UTF8])
def test_a_bad_click_leaves_its_neighbours_alone(bad: bytes):
    good = [click(), click()]
    batch = b"[%b,%b,%b]" % (encoder.encode(good[0]), bad, encoder.encode(good[1]))

    decoded = decode([entry(batch)], NOW)

    assert decoded.clicks == good
    assert [(d.reason, d.payload) for d in decoded.dead] == [("undecodable", bad)]


@pytest.mark.parametrize(
    "changes",
    [
        {"at": NOW + timedelta(hours=2)},
        {"at": NOW - timedelta(days=500)},
        {"at": NOW.replace(tzinfo=None)},
        {"url_id": 2**63},
        {"user_id": -1},
    ],
)
def test_what_no_column_can_hold_is_put_aside(changes: dict[str, object]):
    decoded = decode([frame([click(), click(**changes)])], NOW)

    assert len(decoded.clicks) == 1
    assert [letter.reason for letter in decoded.dead] == ["out_of_range"]


def test_a_field_of_a_later_release_is_ignored():
    batch = encoder.encode([click()]).replace(b"}]", b',"country":"DE"}]')

    assert len(decode([entry(batch)], NOW).clicks) == 1


def test_an_entry_trimmed_while_pending_is_nothing():
    decoded = decode([(b"1-1", {})], NOW)

    assert (decoded.clicks, decoded.dead) == ([], [])


def test_a_rare_bad_click_is_diverted_and_many_stop_the_consumer():
    share = DeadShare()
    for _ in range(100):
        share.add(1000, 5)

    with pytest.raises(TooManyDeadLetters):
        share.add(1000, 30)


def test_few_events_are_no_ground_to_stop():
    share = DeadShare()

    share.add(1, 1)
    share.add(900, 90)
