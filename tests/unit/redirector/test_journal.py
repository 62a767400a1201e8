import resource
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prometheus_client import REGISTRY

from redirector.journal import LINE_BYTES, Journal
from redirector.journal_lines import Line, Position, segment_path, segments
from redirector.journal_reader import JournalReader
from redirector.recent_lines import RecentLines

START = Position(0, 0)
payloads = st.lists(st.binary(min_size=1, max_size=300).filter(lambda b: b"\n" not in b))


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
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    journal.append([b"fits"])
    size = segment_path(tmp_path, 1).stat().st_size
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 5, hard))
    try:
        journal.append([b"does not fit"])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    journal.append([b"fits again"])

    assert list(journal.unwritten) == [b"does not fit"]
    assert read_all(tmp_path)[:2] == ([b"fits", b"fits again"], 0)


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
