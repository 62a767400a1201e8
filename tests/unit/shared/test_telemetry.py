import string
import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from shared import telemetry
from shared.telemetry import Parent, Tracing

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


@pytest.mark.parametrize(
    ("text", "is_sampled"),
    [
        (f"00-{TRACE}-{SPAN}-01", True),
        (f"00-{TRACE}-{SPAN}-03", True),  # level 2: also random
        (f"00-{TRACE}-{SPAN}-00", False),
        (f"00-{TRACE}-{SPAN}-02", False),
        (f"cc-{TRACE}-{SPAN}-01-of-a-later-version", True),
    ],
)
def test_a_traceparent_tells_its_span_and_whether_it_is_sampled(text: str, is_sampled: bool):
    assert telemetry.parse(text) == Parent(int(TRACE, 16), int(SPAN, 16), is_sampled)
    assert telemetry.parse(text.encode()) == telemetry.parse(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-01\n",
        f"00-{TRACE}-{SPAN}",
    ],
)
def test_what_is_no_traceparent_counts_as_none(text: str):
    assert telemetry.parse(text) is None


@given(st.text(string.printable, max_size=80) | st.binary(max_size=80))
@example("é")
def test_whatever_is_sent_is_a_parent_or_none(text: str | bytes):
    parent = telemetry.parse(text)

    assert parent is None or (parent.trace_id > 0 and parent.span_id > 0)


async def test_nothing_is_traced_without_an_endpoint():
    tracing = Tracing("tests", telemetry.Settings(trace_sample_ratio=1.0))

    async with tracing.running():
        assert not tracing.is_on
        assert not tracing.wants(f"00-{TRACE}-{SPAN}-01")
        assert tracing.links([f"00-{TRACE}-{SPAN}-01"]) == []
        with tracing.child("a", "internal", {}, f"00-{TRACE}-{SPAN}-01") as span:
            assert span is None


async def test_beyond_its_limit_of_a_second_a_process_traces_no_request(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(time, "monotonic", lambda: 1.5)
    sampled = f"00-{TRACE}-{SPAN}-01".encode()
    config = telemetry.Settings(
        otel_exporter_otlp_endpoint="http://127.0.0.1:1", trace_max_per_second=3
    )
    before = telemetry.REQUESTS_REFUSED._value.get()
    tracing = Tracing("redirector", config)

    async with tracing.running():
        admitted = [tracing.admits(sampled) for _ in range(5)]
        monkeypatch.setattr(time, "monotonic", lambda: 2.5)
        later = tracing.admits(sampled)
        of_messages = [tracing.wants(sampled) for _ in range(5)]

    assert admitted == [True, True, True, False, False]
    assert telemetry.REQUESTS_REFUSED._value.get() - before == 2
    assert later
    assert all(of_messages)
