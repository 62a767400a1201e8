"""From a visit to the answers about it, through the gateway."""

import http.client
import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from tests.end_to_end.launcher import Launcher, eventually, send

FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:130.0) Gecko/20100101 Firefox/130.0"
WHATSAPP = "WhatsApp/2.23.20.0 A"


@contextmanager
def listening(system: Launcher, url_id: int) -> Iterator[http.client.HTTPResponse]:
    port = int(system.settings["PORT"])
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("GET", f"/urls/{url_id}/events/live")
    try:
        yield connection.getresponse()
    finally:
        connection.close()


def next_click(stream: http.client.HTTPResponse) -> Any:
    while True:
        line = stream.readline()
        assert line, "the stream ended"
        if line.startswith(b"data: "):
            return json.loads(line.removeprefix(b"data: "))


def test_a_visit_is_seen_live_counted_and_exported(system: Launcher):
    user = {"username": "stats", "email": "stats@example.com"}
    user_id = send(system.url("/users"), "POST", user).json()["id"]
    body = {"user_id": user_id, "original_url": "https://example.com/", "short_code": "counted"}
    url_id = send(system.url("/urls"), "POST", body).json()["id"]

    with listening(system, url_id) as stream:  # the gateway passes on what comes when it comes
        assert (stream.status, stream.getheader("Content-Type")) == (
            200,
            "text/event-stream; charset=utf-8",
        )
        send(
            system.url("/counted?src=qr"),
            headers={"User-Agent": FIREFOX, "Referer": "https://a.example/page", "DNT": "1"},
        )
        seen = next_click(stream)
        send(system.url("/counted"), headers={"User-Agent": WHATSAPP})
        assert next_click(stream)["user_agent"] == WHATSAPP

    assert (seen["code"], seen["source"], seen["referrer"]) == (
        "counted",
        "qr",
        "https://a.example",
    )
    today = datetime.now(UTC).date()
    path = f"/urls/{url_id}/stats?to={today}"
    eventually(lambda: send(system.url(path)).json()["total"]["clicks"] == 2)
    stats = send(system.url(path)).json()
    assert stats["total"] == {"clicks": 2, "people": 1, "bots": 0, "previews": 1, "visitors": 1}
    (browser,) = stats["breakdowns"]["browser"]["top"]
    assert browser == {"value": "Firefox", "clicks": 1, "people": 1}
    exported = send(system.url(f"/events/export?url_id={url_id}&format=ndjson")).body
    kinds = [json.loads(line)["event_type"] for line in exported.splitlines()]
    assert kinds == ["created", "redirect", "redirect"]
    assert b"127.0.0" not in exported, "no address is stored"


def test_visits_to_unknown_codes_are_counted(system: Launcher):
    for _ in range(3):
        assert send(system.url("/mistyped")).status == 404

    def counted() -> bool:
        codes = send(system.url("/stats/orphans?limit=1000")).json()["codes"]
        return {"mistyped": 3}.items() <= {o["short_code"]: o["visits"] for o in codes}.items()

    eventually(counted)
