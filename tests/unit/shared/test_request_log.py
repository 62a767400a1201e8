import logging
import time

import pytest

from shared import request_log
from shared.request_log import MAX_LINES_A_SECOND, RequestLog, Settings

FAST, SLOW = 0.001, 0.6


def levels(log: RequestLog, count: int, status: int = 302, seconds: float = FAST) -> list[object]:
    return [log.level(status, seconds) for _ in range(count)]


def test_every_request_has_a_line_where_all_are_wanted():
    assert levels(RequestLog(Settings(log_ratio=1.0)), 5) == [logging.INFO] * 5


def test_of_many_a_share_has_a_line():
    log = RequestLog(Settings(log_ratio=0.1))

    assert levels(log, 100).count(logging.INFO) == 10
    assert sum(log.level(302, FAST, times=7) is not None for _ in range(100)) == 70


def test_where_none_is_wanted_only_what_failed_or_was_slow_has_a_line():
    log = RequestLog(Settings(log_ratio=0.0))

    assert levels(log, 1000) == [None] * 1000
    assert log.level(404, FAST) is None
    assert log.level(302, SLOW) == logging.WARNING
    assert log.level(503, FAST) == logging.WARNING
    assert log.level(500, FAST) == logging.ERROR


def test_a_flood_of_lines_is_cut_and_counted(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(time, "monotonic", lambda: 1.5)
    before = request_log.SUPPRESSED._value.get()
    log = RequestLog(Settings())

    for number in range(MAX_LINES_A_SECOND + 20):
        log.write(logging.WARNING, "request", {"number": number})

    assert len(caplog.records) == MAX_LINES_A_SECOND
    assert request_log.SUPPRESSED._value.get() - before == 20


def test_a_path_is_shown_as_it_was_sent():
    assert request_log.shown(b"/a%0A\xff\n") == "/a%0A\\xff\n"
    assert len(request_log.shown(b"/" + b"x" * 1000)) == request_log.MAX_PATH
