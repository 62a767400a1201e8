import pytest

from tests import log_lines
from tests.integration.management.conftest import Start

NEVER = 60_000.0
AWAY = "postgres://nobody@127.0.0.1:1/none"


async def test_each_request_has_one_line_that_tells_where_its_time_went(start: Start):
    with log_lines.kept() as lines:
        async with start(log_slow_ms=NEVER) as api:
            user_id = await api.user()
            url = await api.url(user_id)
            await api.get(f"/urls/{url['id']}?secret=1", headers={"X-Request-ID": "mine"})

    (created,) = lines.named("request", method="POST", route="/urls")
    assert (created["level"], created["status"]) == ("info", 201)
    assert {"db_write", "cache_set", "announce", "serialize"} <= set(created["timings"])
    assert all(0 <= each <= created["duration_ms"] for each in created["timings"].values())
    (read,) = lines.named("request", method="GET", route="/urls/{url_id}")
    assert read["path"] == f"/urls/{url['id']}"
    assert read["request_id"] == "mine"
    assert {"db_read", "serialize"} <= set(read["timings"])


async def test_what_clients_send_neither_forges_nor_betrays(start: Start):
    secret = "sw_0123456789ab_" + "x" * 43
    hostile = "/%0A%7B%22event%22:%22forged%22%7D%1B%5B2J"
    with log_lines.kept() as lines:
        async with start(auth="required", log_slow_ms=NEVER) as api:
            await api.get("/urls", headers={"Authorization": f"Bearer {secret}"})
            await api.get(f"{hostile}?key={secret}", headers={"X-Request-ID": "a b"})

    (refused,) = lines.named("request", route="/urls")
    assert (refused["status"], refused["level"]) == (401, "info")
    assert "authenticate" in refused["timings"]
    (other,) = lines.named("request", route="other")
    assert other["path"] == hostile
    assert other["request_id"] != "a b"
    assert not any("x" * 43 in line or "127.0.0.1" in line for line in lines.written)


async def test_probes_are_quiet_until_they_fail(start: Start):
    with log_lines.kept() as lines:
        async with start(log_slow_ms=NEVER) as api:
            assert (await api.get("/health/ready")).status == 200
            assert (await api.get("/health")).status == 200
        async with start(postgres_dsn=AWAY, log_slow_ms=NEVER) as api:
            assert (await api.get("/health/ready")).status == 503

    (line,) = lines.named("request")
    assert (line["route"], line["status"], line["level"]) == ("/health/ready", 503, "warning")


async def test_a_failed_probe_names_the_dependency(start: Start, caplog: pytest.LogCaptureFixture):
    async with start(postgres_dsn=AWAY) as api:
        assert (await api.get("/health/ready")).status == 503

    (failed,) = (record for record in caplog.records if record.msg == "readiness.failed")
    assert vars(failed)["dependency"] == "postgres"
