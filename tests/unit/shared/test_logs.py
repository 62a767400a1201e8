import json
import logging
from typing import Any

import pytest
import redis
from hypothesis import example, given
from hypothesis import strategies as st

from shared import checkpoints, telemetry
from shared.checkpoints import Journey
from shared.logs import MAX_CHARACTERS, JSONFormatter
from shared.telemetry import Tracing

formatter = JSONFormatter("tests")


def line(message: str = "event", level: int = logging.INFO, **extra: Any) -> str:
    record = logging.makeLogRecord(
        {"msg": message, "levelno": level, "levelname": logging.getLevelName(level), **extra}
    )
    return formatter.format(record)


@given(st.text())
@example('"}\n{"event": "forged"}')
@example("\x1b[2J\x9b2J\u2028{}\u202e\x85\x7f")
def test_no_input_makes_a_second_line_or_moves_a_cursor(text: str):
    written = line(text, path=text, inner={"deep": [text]})

    assert len(written.splitlines()) == 1
    assert not any(ord(c) < 32 or 0x7F <= ord(c) <= 0x9F for c in written)
    assert json.loads(written)["service"] == "tests"


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (
            redis.ConnectionError("Error 111 connecting to cache:6379."),
            "ConnectionError: Error 111",
        ),
        (ConnectionRefusedError(111, "refused"), "ConnectionRefusedError: [Errno 111] refused"),
        (TimeoutError(), "TimeoutError"),
        (OSError("redis://user:secret@bus"), "OSError: redis://user:…@bus"),
    ],
)
def test_an_error_is_told_with_its_text_and_without_secrets(error: Exception, told: str):
    assert json.loads(line(error=error))["error"].startswith(told)
    assert "secret" not in line(error=error)


def test_what_a_library_wrote_for_a_terminal_is_left_out():
    assert "color_message" not in json.loads(line(color_message="\x1b[36mx\x1b[0m"))


def test_a_fact_cannot_take_the_place_of_what_every_line_tells():
    decoded = json.loads(line("true", level=logging.ERROR, event="false", at="never", service="x"))

    assert (decoded["event"], decoded["level"], decoded["service"]) == ("true", "error", "tests")
    assert decoded["at"] != "never"


@pytest.mark.parametrize(
    "text",
    [
        "postgres://management:hunter2@db:5432/shortwire is away",
        "redis://:hunter2@cache/0",
        "the key sw_0123456789ab_hunter2-hunter2_hunter2 is not valid",
    ],
)
def test_secrets_are_left_out(text: str):
    written = line(text, error=ValueError(text), facts={"inner": text})

    assert "hunter2" not in written
    assert written.count("…") == 3


def test_long_texts_are_cut():
    decoded = json.loads(line(path="x" * 10_000, error=ValueError("y" * 10_000)))

    assert decoded["path"] == "x" * (MAX_CHARACTERS - 1) + "…"
    assert len(decoded["error"]) == MAX_CHARACTERS


def test_within_a_request_every_line_tells_its_id():
    journey = Journey(Tracing("tests", telemetry.Settings()), None, "the-id")

    with checkpoints.during(journey):
        within = json.loads(line())
    after = json.loads(line())

    assert within["request_id"] == "the-id"
    assert "request_id" not in after
