from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from redirector import recent_lines
from redirector.journal import Journal
from redirector.journal_lines import Batch, Line, Position, encode_line
from redirector.journal_reader import JournalReader
from redirector.recent_lines import RecentLines

LINE = Line(1, b"click")
LENGTH = len(encode_line(LINE))
START = Position(1, 0)


def two_lines() -> RecentLines:
    recent = RecentLines()
    recent.add(1, 0, LENGTH, LINE)
    recent.add(1, LENGTH, 2 * LENGTH, LINE)
    return recent


def test_what_follows_is_returned_once():
    recent = two_lines()

    assert recent.take_after(START) == Batch([LINE, LINE], Position(1, 2 * LENGTH))
    assert recent.take_after(START) is None


def test_a_batch_is_bounded_and_the_rest_stays(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(recent_lines, "RUN_BYTES", 2 * LENGTH)
    recent = two_lines()
    recent.add(1, 2 * LENGTH, 3 * LENGTH, LINE)

    assert recent.take_after(START) == Batch([LINE, LINE], Position(1, 2 * LENGTH))
    assert recent.take_after(Position(1, 2 * LENGTH)) == Batch([LINE], Position(1, 3 * LENGTH))


def test_the_rest_of_what_was_sent_in_part_is_left_to_the_disk():
    recent = two_lines()

    assert recent.take_after(Position(1, LENGTH)) is None
    recent.add(1, 2 * LENGTH, 3 * LENGTH, LINE)
    assert recent.take_after(Position(1, 2 * LENGTH)) == Batch([LINE], Position(1, 3 * LENGTH))


def test_another_segment_is_another_batch():
    recent = two_lines()
    recent.add(2, 0, LENGTH, LINE)

    assert recent.take_after(START) == Batch([LINE, LINE], Position(1, 2 * LENGTH))
    assert recent.take_after(Position(2, 0)) == Batch([LINE], Position(2, LENGTH))


def test_a_gap_is_left_to_the_disk():
    recent = two_lines()
    recent.take_after(START)
    recent.add(1, 3 * LENGTH, 4 * LENGTH, LINE)

    assert recent.take_after(Position(1, 2 * LENGTH)) is None
    assert recent.take_after(Position(1, 3 * LENGTH)) is not None


def test_more_than_the_limit_is_left_to_the_disk():
    recent = two_lines()
    recent.add(1, 2 * LENGTH, 2 * LENGTH + recent_lines.MAX_BYTES, LINE)

    assert recent.take_after(START) is None


turns = st.lists(st.tuples(st.integers(0, 4), st.booleans(), st.booleans()), max_size=40)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(turns)
def test_memory_and_disk_together_give_every_line_in_order(
    tmp_path_factory, turns: list[tuple[int, bool, bool]]
):
    """A turn writes some lines, sends or not, and may lose what it took, as a failed send does."""
    folder: Path = tmp_path_factory.mktemp("journal")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(recent_lines, "RUN_BYTES", 60)
        received, written = _sent_and_written(folder, turns)

    assert received == written


def _sent_and_written(
    folder: Path, turns: list[tuple[int, bool, bool]]
) -> tuple[list[bytes], list[bytes]]:
    recent, reader = RecentLines(), JournalReader(folder)
    sent = Position(0, 0)
    journal = Journal(folder, recent, max_bytes=1 << 20, segment_bytes=200, sent=sent)
    written: list[bytes] = []
    received: list[bytes] = []
    for count, sends, fails in [*turns, (0, True, False)]:
        for _ in range(count):
            written.append(b"%d" % len(written))
            journal.append([written[-1]])
        while sends:
            batch = recent.take_after(sent) or reader.read(sent)
            if fails or batch.position == sent:
                break
            received += [line.payload for line in batch.lines]
            sent = batch.position
    journal.close()
    reader.close()
    return received, written
