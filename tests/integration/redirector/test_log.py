import re
from typing import Any

import pytest
from argon2 import PasswordHasher

from redirector.hot_path import HotPath
from tests import log_lines
from tests.integration.redirector.conftest import Links, Start
from tests.integration.redirector.test_freshness import is_near
from tests.integration.redirector.test_options import unlock
from tests.waiting import eventually

NEVER = 60_000.0


def without_chance(line: dict[str, Any]) -> dict[str, Any]:
    timeless = {**line, "at": "", "duration_ms": 0, "timings": sorted(line["timings"])}
    return {
        name: re.sub(r"[0-9a-f]{32}", "ID", value) if isinstance(value, str) else value
        for name, value in timeless.items()
    }


async def test_both_ways_write_the_same_line(
    start: Start, links: Links, monkeypatch: pytest.MonkeyPatch
):
    await links.put("abc123")
    async with start(log_ratio=1.0, log_slow_ms=NEVER) as redirector, links.beating():
        await eventually(lambda: is_near(redirector, links))
        with log_lines.kept() as lines:
            await redirector.ask("/abc123?utm=secret")
            with monkeypatch.context() as patch:
                patch.setattr(HotPath, "take", lambda *_arguments, **_named: False)
                await redirector.ask("/abc123?utm=secret")

    short, asgi = lines.named("request")
    assert without_chance(short) == without_chance(asgi)
    assert short["path"] == "/abc123"
    assert short["route"] == "/{code}"
    assert (short["source"], short["status"], short["level"]) == ("near", 302, "info")
    assert list(short["timings"]) == ["journal"]
    assert not any("secret" in line or "127.0.0.1" in line for line in lines.written)


async def test_a_first_visit_tells_its_steps(start: Start, links: Links):
    await links.put("abc123")
    async with start(log_ratio=1.0, log_slow_ms=NEVER) as redirector:
        await redirector.ask("/nothing0")  # the first calls of a connection take longer
        with log_lines.kept() as lines:
            await redirector.ask("/abc123")

    (line,) = lines.named("request")
    assert line["source"] == "database"
    assert {"cache_get", "cache_lease", "db_read", "cache_set", "journal"} <= set(line["timings"])


async def test_a_password_that_is_compared_is_a_step_of_its_own(start: Start, links: Links):
    await links.put("abc123")
    await links.set("abc123", password_hash=PasswordHasher().hash("open sesame"))
    async with start(log_ratio=1.0) as redirector:
        with log_lines.kept() as lines:
            await unlock(redirector, "sesame")

    (line,) = lines.named("request")
    assert line["status"] == 401
    assert line["timings"]["password"] > 1  # ms


async def test_of_fast_redirects_none_is_logged_but_failures_are(start: Start, links: Links):
    await links.put("abc123")
    dead = "postgres://nobody@127.0.0.1:1/none"
    with log_lines.kept() as lines:
        async with start(log_ratio=0.0, log_slow_ms=NEVER) as redirector:
            assert (await redirector.ask("/abc123")).status == 302
            assert (await redirector.ask("/nothing")).status == 404
        async with start(log_ratio=0.0, log_slow_ms=NEVER, postgres_dsn=dead) as redirector:
            assert (await redirector.ask("/unknown")).status == 503

    (line,) = lines.named("request")
    assert (line["status"], line["level"], line["path"]) == (503, "warning", "/unknown")


async def test_slow_ones_are_always_logged(start: Start, links: Links):
    await links.put("abc123")
    async with start(log_ratio=0.0, log_slow_ms=0.001) as redirector, links.beating():
        await eventually(lambda: is_near(redirector, links))
        with log_lines.kept() as lines:
            assert (await redirector.ask("/abc123")).status == 302

    (line,) = lines.named("request")
    assert (line["level"], line["source"]) == ("warning", "near")
