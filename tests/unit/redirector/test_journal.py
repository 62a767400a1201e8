import asyncio
import os
import resource
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prometheus_client import REGISTRY

from redirector.journal import LINE_BYTES, Journal
from redirector.journal_lines import Line, Position, segment_path, segments
from redirector.journal_reader import JournalReader
from redirector.recent_lines import RecentLines
from redirector.segment import Segment

START = Position(0, 0)
payloads = st.lists(st.binary(min_size=1, max_size=300).filter(lambda b: not {*b"\n\0"} & {*b}))


def open_journal(folder: Path, *, max_bytes: int = 1 << 20, segment_bytes: int = 1000) -> Journal:
    return Journal(
        folder, RecentLines(), max_bytes=max_bytes, segment_bytes=segment_bytes, sent=START
    )


def read_all(folder: Path, position: Position = START) -> tuple[list[bytes], int, Position]:
    reader = JournalReader(folder)
    found: list[bytes] = []
    corrupt = 0
    while True:
        batch = reader.read(position)
        corrupt += batch.corrupt
        if batch.position == position:
            reader.close()
            return found, corrupt, position
        found += [line.payload for line in batch.lines]
        position = batch.position


def dropped(reason: str) -> float:
    return (
        REGISTRY.get_sample_value("shortwire_redirector_clicks_dropped_total", {"reason": reason})
        or 0.0
    )


@contextmanager
def no_larger_files_than(size: int) -> Iterator[None]:
    """Have every `write` fail that goes beyond."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@given(payloads)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_was_appended_is_read_back_in_order(
    tmp_path_factory: pytest.TempPathFactory, written: list[bytes]
):
    folder = tmp_path_factory.mktemp("journal")
    journal = open_journal(folder)
    for payload in written:
        journal.append([payload])

    assert read_all(folder)[:2] == (written, 0)
    journal.close()


def test_clicks_of_one_turn_share_lines_of_bounded_length(tmp_path: Path):
    written = [b"%d" % number * 300 for number in range(1000)]
    journal = open_journal(tmp_path, segment_bytes=10 << 20, max_bytes=20 << 20)
    journal.append(written)
    journal.close()

    lines: list[Line] = []
    position, reader = START, JournalReader(tmp_path)
    while batch := reader.read(position):
        if not batch.lines:
            break
        lines += batch.lines
        position = batch.position
    reader.close()

    assert b",".join(line.payload for line in lines) == b",".join(written)
    assert sum(line.count for line in lines) == 1000
    assert all(len(line.payload) <= LINE_BYTES + 2000 for line in lines)
    assert len(lines) < 100


def test_a_reader_follows_a_writer_across_segments(tmp_path: Path):
    journal = open_journal(tmp_path, segment_bytes=50)
    position = START
    for number in range(20):
        journal.append([b"click %d" % number])
        found, _, position = read_all(tmp_path, position)
        assert found == [b"click %d" % number]
    journal.close()
    assert len(segments(tmp_path)) > 5


def test_a_new_process_goes_on_after_the_old_ones_segments(tmp_path: Path):
    first = open_journal(tmp_path)
    first.append([b"before"])
    second = open_journal(tmp_path)
    second.append([b"after"])

    assert read_all(tmp_path)[0] == [b"before", b"after"]


def test_a_new_process_never_writes_below_what_was_sent(tmp_path: Path):
    journal = Journal(
        tmp_path, RecentLines(), max_bytes=1 << 20, segment_bytes=1000, sent=Position(7, 120)
    )
    journal.append([b"click"])
    journal.close()

    assert segments(tmp_path) == [8]


def test_a_torn_tail_is_counted_and_the_rest_is_read(tmp_path: Path):
    journal = open_journal(tmp_path)
    journal.append([b"one"])
    journal.append([b"two"])
    journal.close()
    path = segment_path(tmp_path, 1)
    path.write_bytes(path.read_bytes()[:-2])
    following = open_journal(tmp_path)
    following.append([b"three"])

    found, corrupt, _ = read_all(tmp_path)

    assert (found, corrupt) == ([b"one", b"three"], 1)


def test_a_flipped_bit_costs_one_line(tmp_path: Path):
    journal = open_journal(tmp_path)
    for payload in (b"one", b"two", b"three"):
        journal.append([payload])
    path = segment_path(tmp_path, 1)
    path.write_bytes(path.read_bytes().replace(b"two", b"twp"))

    found, corrupt, _ = read_all(tmp_path)

    assert (found, corrupt) == ([b"one", b"three"], 1)


def test_full_the_oldest_unsent_clicks_go_and_are_counted(tmp_path: Path):
    before = dropped("journal_full")
    journal = open_journal(tmp_path, max_bytes=5000, segment_bytes=1000)
    for number in range(1000):
        journal.append([b"click %04d" % number])

    found, _, _ = read_all(tmp_path)

    assert journal.size() <= 5000
    assert found[-1] == b"click 0999"
    assert len(found) + dropped("journal_full") - before == 1000
    journal.close()


def test_full_of_sent_clicks_nothing_is_counted_as_dropped(tmp_path: Path):
    before = dropped("journal_full")
    journal = open_journal(tmp_path, max_bytes=5000, segment_bytes=1000)
    position = START
    for number in range(1000):
        journal.append([b"click %04d" % number])
        _, _, position = read_all(tmp_path, position)
        journal.sent = position

    assert dropped("journal_full") == before
    journal.close()


def test_a_disk_that_refuses_leaves_clicks_in_memory_and_no_half_line(tmp_path: Path):
    journal = open_journal(tmp_path)
    journal.append([b"fits"])
    with no_larger_files_than(journal.size() + 5):
        journal.append([b"does not fit"])
    journal.append([b"fits again"])

    assert list(journal.unwritten) == [b"does not fit"]
    assert read_all(tmp_path)[:2] == ([b"fits", b"fits again"], 0)


@given(st.lists(st.tuples(st.binary(max_size=300).map(bytes.hex), st.booleans())))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_tended_or_not_all_is_read_as_it_was_written(
    tmp_path_factory: pytest.TempPathFactory, turns: list[tuple[str, bool]]
):
    folder = tmp_path_factory.mktemp("journal")
    journal = open_journal(folder)
    position, found = START, []
    for text, is_tended in turns:
        journal.append([text.encode()])
        if is_tended:
            asyncio.run(journal.tend())
            lines, _, position = read_all(folder, position)
            found += lines
    lines, corrupt, _ = read_all(folder, position)
    journal.close()

    assert [*found, *lines] == [text.encode() for text, _ in turns]
    assert corrupt == 0
    assert sum(segment_path(folder, n).stat().st_size for n in segments(folder)) == journal.size()


async def test_no_click_waits_for_the_disk_where_room_is_ready(tmp_path: Path):
    """A `write` fails here: what is appended all the same was stored to memory."""
    journal = open_journal(tmp_path, segment_bytes=100_000)
    await journal.tend()
    with no_larger_files_than(1):
        for number in range(500):
            journal.append([b"%d" % number])

    assert not journal.unwritten
    assert len(read_all(tmp_path)[0]) == 500
    journal.close()


async def test_a_full_segment_is_followed_by_the_one_that_is_ready(tmp_path: Path):
    journal = open_journal(tmp_path, segment_bytes=100)
    await journal.tend()
    assert segments(tmp_path) == [1]
    for number in range(3):
        journal.append([b"%d" % number * 60])
        await journal.tend()

    assert read_all(tmp_path)[:2] == ([b"0" * 60, b"1" * 60, b"2" * 60], 0)
    assert read_all(tmp_path)[2].segment == 2, "the one that is ready is not begun"
    assert segments(tmp_path) == [1, 2, 3]
    journal.close()
    assert segments(tmp_path) == [1, 2]


@pytest.mark.parametrize("length", [10, 1000])
def test_the_end_is_behind_all_clicks_also_of_a_full_segment(tmp_path: Path, length: int):
    journal = open_journal(tmp_path)
    journal.append([b"x" * length])

    assert journal.end == read_all(tmp_path)[2] > Position(1, length)
    journal.close()


async def test_a_segment_that_is_filled_while_it_is_synced_is_closed_afterwards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    began, go_on = threading.Event(), threading.Event()
    sync = Segment.sync

    def slow(segment: Segment) -> None:
        began.set()
        assert go_on.wait(5)
        sync(segment)

    monkeypatch.setattr(Segment, "sync", slow)
    journal = open_journal(tmp_path)
    journal.append([b"first"])
    syncing = asyncio.ensure_future(journal.sync())
    assert await asyncio.to_thread(began.wait, 5)
    journal.append([b"x" * 1000])
    tending = asyncio.ensure_future(journal.tend())
    await asyncio.sleep(0.05)  # it would have closed the segment
    go_on.set()

    await syncing
    await tending

    journal.append([b"last"])
    assert read_all(tmp_path)[:2] == ([b"first", b"x" * 1000, b"last"], 0)
    journal.close()


async def test_clicks_that_come_while_a_segment_is_made_ready_go_on_in_order(tmp_path: Path):
    journal = open_journal(tmp_path, segment_bytes=50)
    written: list[bytes] = []
    for _ in range(20):
        tending = asyncio.ensure_future(journal.tend())
        while not tending.done():
            written.append(b"%020d" % len(written))
            journal.append(written[-1:])
            await asyncio.sleep(0)
        await tending
    journal.close()

    assert read_all(tmp_path)[:2] == (written, 0)
    assert len(written) > 40
    assert all(segment_path(tmp_path, number).stat().st_size for number in segments(tmp_path))


async def test_room_that_a_killed_process_left_is_given_back(tmp_path: Path):
    killed = open_journal(tmp_path)
    await killed.tend()
    killed.append([b"before"])
    await killed.tend()
    assert segments(tmp_path) == [1, 2]

    following = open_journal(tmp_path)
    assert (segments(tmp_path), following.size()) == ([1], killed.size())
    following.append([b"after"])

    assert read_all(tmp_path)[:2] == ([b"before", b"after"], 0)
    following.close()


@pytest.mark.parametrize("lacks", ["room", "populate"])
async def test_where_room_cannot_be_made_ready_clicks_are_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lacks: str
):
    def refuse(*_: int) -> None:
        raise OSError("no room")

    if lacks == "room":
        monkeypatch.setattr(os, "posix_fallocate", refuse)
    else:
        monkeypatch.setattr("redirector.segment.MADV_POPULATE_WRITE", 9999)
    journal = open_journal(tmp_path)
    await journal.tend()
    with no_larger_files_than(40):
        journal.append([b"fits"])
        journal.append([b"does not fit, so that it was written"])

    assert list(journal.unwritten) == [b"does not fit, so that it was written"]
    assert read_all(tmp_path)[:2] == ([b"fits"], 0)
    await journal.tend()
    assert not journal.wants_tending()
    journal.close()


def test_memory_is_bounded_where_the_disk_stays_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("redirector.journal.MAX_UNWRITTEN", 3)
    before = dropped("memory_full")
    journal = open_journal(tmp_path / "missing")
    for number in range(5):
        journal.append([b"%d" % number])

    assert list(journal.unwritten) == [b"2", b"3", b"4"]
    assert dropped("memory_full") - before == 2


def test_what_the_bus_has_yet_to_take_is_measured(tmp_path: Path):
    journal = open_journal(tmp_path)
    for number in range(30):
        journal.append([b"%03d" % number * 50])
    assert len(segments(tmp_path)) > 2
    assert journal.unsent() == journal.size()
    reader = JournalReader(tmp_path)

    first = reader.read(START)
    journal.sent = first.position
    rest = journal.unsent()
    journal.sent = read_all(tmp_path)[2]

    assert first.position.segment == 1
    assert rest == journal.size() - first.position.offset
    assert journal.unsent() == 0
    reader.close()
    journal.close()
