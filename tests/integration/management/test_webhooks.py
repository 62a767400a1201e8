"""Webhooks: from a change or a click to a signed message, whatever fails in between."""

import asyncio
import json
import os
import re
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from aiohttp import web
from redis.asyncio import Redis

from management import webhook_feed
from shared import consumer_groups, streams
from shared.events import Click, encoder
from shared.postgres import Pool
from shared.tasks import background
from tests.conftest import database_url, refusing
from tests.integration.management.conftest import Api, Start
from tests.integration.management.test_live import NESTED, NOT_UTF8
from tests.waiting import eventually

GUIDE = Path(__file__).parents[3] / "docs/webhooks.md"
DEADLINE_SECONDS = 30
EVENTS = ["link.created", "link.updated", "link.deleted", "clicks"]


class Receiver:
    """Takes messages; `answers` are the statuses it gives first, then 204."""

    def __init__(self) -> None:
        self.got: list[tuple[dict[str, str], bytes]] = []
        self.answers: list[int] = []
        self.hold: asyncio.Event | None = None
        self.url = ""

    async def take(self, request: web.Request) -> web.Response:
        self.got.append(({k.lower(): v for k, v in request.headers.items()}, await request.read()))
        if self.hold is not None:
            await self.hold.wait()
        status = self.answers.pop(0) if self.answers else 204
        headers = {"Location": self.url + "/elsewhere"} if 300 <= status < 400 else {}
        return web.Response(status=status, headers=headers)

    @property
    def messages(self) -> list[dict[str, Any]]:
        return [json.loads(body) for _, body in self.got]

    @property
    def types(self) -> list[str]:
        return [message["type"] for message in self.messages]

    async def has(self, count: int) -> None:
        async def enough() -> bool:
            return len(self.got) >= count

        await eventually(enough, DEADLINE_SECONDS)


@asynccontextmanager
async def receiving() -> AsyncIterator[Receiver]:
    receiver = Receiver()
    app = web.Application()
    app.router.add_post("/{path:.*}", receiver.take)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    assert site._server is not None
    receiver.url = f"http://127.0.0.1:{site._server.sockets[0].getsockname()[1]}"  # type: ignore[attr-defined]
    try:
        yield receiver
    finally:
        if receiver.hold is not None:
            receiver.hold.set()
        await runner.cleanup()


Run = Callable[..., Any]


@pytest.fixture
def run(database: str, bus_url: str) -> Run:
    """Runs `python -m management.webhooks`; arguments override its settings."""
    server, _, name = database.rpartition("/")

    @asynccontextmanager
    async def running(**overrides: str) -> AsyncIterator[asyncio.subprocess.Process]:
        environ = {
            "POSTGRES_DSN": database_url(f"{server}/x", name, "shortwire_management"),
            "BUS_URL": bus_url,
            "CONSUMER": "tests",
            "METRICS_PORT": str(free_port()),
            "WEBHOOK_PRIVATE_TARGETS": "true",
            "WEBHOOK_RETRY_SECONDS": "0.05",
            "WEBHOOK_LEASE_SECONDS": "1",
            **overrides,
        }
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "management.webhooks"),
            env={**os.environ, **environ},
            stderr=asyncio.subprocess.DEVNULL,
        )
        try:
            yield process
            if process.returncode is None:
                process.send_signal(signal.SIGTERM)
                async with asyncio.timeout(DEADLINE_SECONDS):
                    assert await process.wait() == 0
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()

    return running


def free_port() -> int:
    from shortwire import servers

    return servers.free_port()


async def hook_for(api: Api, url: str, events: list[str] = EVENTS, **fields: Any) -> dict[str, Any]:
    answer = await api.post("/webhooks", {"url": url, "events": events, **fields})
    assert answer.status == 201, answer.body
    return dict(answer.json)


async def deliveries(api: Api, hook: dict[str, Any]) -> list[dict[str, Any]]:
    return list((await api.get(f"/webhooks/{hook['id']}/deliveries")).json)


@pytest.fixture
async def api(start: Start) -> AsyncIterator[Api]:
    async with start(webhook_private_targets=True) as running:
        yield running


def guide() -> Callable[..., Any]:
    """The check that docs/webhooks.md shows, letter by letter."""
    (code,) = re.findall(r"```python\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)
    names: dict[str, Any] = {}
    exec(code, names)
    verify: Callable[..., Any] = names["verify"]
    return verify


async def test_every_change_of_a_link_is_told_once_and_signed(api: Api, run: Run):
    async with receiving() as receiver, run():
        user = await api.user()
        hook = await hook_for(api, receiver.url, user_id=user)
        url = await api.url(user, short_code="hello")
        await api.put(f"/urls/{url['id']}", {"original_url": "https://example.com/b"})
        await api.delete(f"/urls/{url['id']}")
        await receiver.has(3)

        async def all_noted() -> bool:
            return {each["state"] for each in await deliveries(api, hook)} == {"delivered"}

        await eventually(all_noted, DEADLINE_SECONDS)
        listed = await deliveries(api, hook)

    assert sorted(receiver.types) == ["link.created", "link.deleted", "link.updated"]
    created = next(m for m in receiver.messages if m["type"] == "link.created")
    assert created["data"] == {
        "url_id": url["id"], "user_id": user, "short_code": "hello",
        "original_url": "https://example.com/a", "is_active": True,
        "version": created["data"]["version"],
    }  # fmt: skip
    assert [each["last_status"] for each in listed] == [204, 204, 204]
    verify = guide()
    for headers, body in receiver.got:
        assert verify(hook["secret"], headers, body)["type"].startswith("link.")
        with pytest.raises(ValueError, match="signature"):
            verify(hook["secret"], headers, body + b" ")
        old = {**headers, "webhook-timestamp": str(int(time.time()) - 3600)}
        with pytest.raises(ValueError, match="old"):
            verify(hook["secret"], old, body)


def click(user_id: int, code: str = "abc") -> Click:
    return Click(id=uuid4(), at=datetime.now(UTC), code=code, url_id=1, user_id=user_id)


async def add_frame(bus: Redis, clicks: list[Click], stream: str = streams.CLICKS) -> None:
    await bus.xadd(
        stream,
        {streams.CLICKS_BATCH: encoder.encode(clicks), streams.CLICKS_COUNT: len(clicks),
         streams.CLICKS_SCHEMA: 1},
    )  # fmt: skip


async def test_what_is_no_frame_or_no_change_is_passed_over(api: Api, run: Run, bus: Redis):
    async with receiving() as receiver, run():
        await hook_for(api, receiver.url, ["clicks", "link.created"])
        for batch in (b"garbage", NOT_UTF8, NESTED):
            await bus.xadd(streams.CLICKS, {streams.CLICKS_BATCH: batch})
        for message in (b"garbage", b'{"type":"\xff"}', b'{"a":' + b"[" * 9999):
            await bus.xadd(streams.LINKS, {streams.LINKS_MESSAGE: message})
        sent = click(1)
        await add_frame(bus, [sent])
        await receiver.has(1)
        await api.url(await api.user())
        await receiver.has(2)

    assert receiver.types == ["clicks", "link.created"]


async def test_clicks_are_told_in_batches_to_whose_they_are(api: Api, run: Run, bus: Redis):
    async with receiving() as ada, receiving() as eve, receiving() as everybody, run():
        users = [await api.user("ada"), await api.user("eve")]
        await hook_for(api, ada.url, ["clicks"], user_id=users[0])
        await hook_for(api, eve.url, ["clicks"], user_id=users[1])
        await hook_for(api, everybody.url, ["clicks"])
        clicks = [click(users[0]), click(users[0]), click(users[1])]
        await add_frame(bus, clicks)
        for receiver in (ada, eve, everybody):
            await receiver.has(1)

    def told(receiver: Receiver) -> list[str]:
        return [each["id"] for m in receiver.messages for each in m["data"]["clicks"]]

    ids = [str(each.id) for each in clicks]
    assert told(ada) == ids[:2]
    assert told(eve) == ids[2:]
    assert told(everybody) == ids


async def test_clicks_from_before_the_first_webhook_are_not_told(api: Api, run: Run, bus: Redis):
    async with receiving() as receiver, run():
        await add_frame(bus, [click(1)])
        await asyncio.sleep(0.01)  # entries are told apart by the millisecond
        await hook_for(api, receiver.url, ["clicks"])
        after = click(1)
        await add_frame(bus, [after])
        await receiver.has(1)

    assert told(receiver) == {str(after.id)}


async def test_clicks_of_every_stream_are_told(api: Api, run: Run, bus: Redis):
    names = [streams.CLICKS, *streams.click_streams(3)]
    async with receiving() as receiver:
        await hook_for(api, receiver.url, ["clicks"])
        clicks = [click(1) for _ in range(8)]
        for number in range(3):
            await add_frame(bus, [clicks[number]], names[number])
        async with run() as killed:
            await receiver.has(3)
            killed.kill()
            await killed.wait()
            for number in range(3, 7):
                await add_frame(bus, [clicks[number]], names[number % 3])
        async with run():
            await add_frame(bus, [clicks[7]], names[3])  # begins here

            async def is_told() -> bool:
                return told(receiver) == {str(each.id) for each in clicks}

            await eventually(is_told, DEADLINE_SECONDS)


def told(receiver: Receiver) -> set[str]:
    return {each["id"] for m in receiver.messages for each in m["data"]["clicks"]}


async def test_without_a_webhook_for_clicks_there_is_no_group_to_keep_them(
    api: Api, run: Run, bus: Redis
):
    async with receiving() as receiver, run():
        hook = await hook_for(api, receiver.url, ["clicks"])
        await add_frame(bus, [click(1)])
        await add_frame(bus, [click(1)], "clicks:{2}")
        await receiver.has(2)
        await api.delete(f"/webhooks/{hook['id']}")

        async def is_gone() -> bool:
            names = [streams.CLICKS, "clicks:{2}"]
            return [await bus.xinfo_groups(name) for name in names] == [[], []]

        await eventually(is_gone, DEADLINE_SECONDS)


async def test_a_failed_message_is_sent_again_under_the_same_id(api: Api, run: Run):
    async with receiving() as receiver, run():
        receiver.answers = [500, 302]
        hook = await hook_for(api, receiver.url)
        await api.post(f"/webhooks/{hook['id']}/test")
        await receiver.has(3)

        async def is_noted() -> bool:
            (only,) = await deliveries(api, hook)
            return bool(only["state"] == "delivered")

        await eventually(is_noted, DEADLINE_SECONDS)
        (delivery,) = await deliveries(api, hook)

    assert len({headers["webhook-id"] for headers, _ in receiver.got}) == 1
    assert delivery["attempts"] == 3
    assert len(receiver.got) == 3, "a redirect is not followed"


async def test_a_message_whose_sender_is_killed_is_sent_by_the_next(api: Api, run: Run):
    async with receiving() as receiver:
        receiver.hold = asyncio.Event()
        hook = await hook_for(api, receiver.url)
        async with run() as first:
            user = await api.user()
            await api.url(user)
            await hook_for(api, receiver.url, user_id=user)
            await receiver.has(1)
            first.kill()
            await first.wait()
        receiver.hold.set()
        assert {each["state"] for each in await deliveries(api, hook)} == {"pending"}
        async with run():
            await receiver.has(2)

            async def is_delivered() -> bool:
                return {each["state"] for each in await deliveries(api, hook)} == {"delivered"}

            await eventually(is_delivered, DEADLINE_SECONDS)

    assert len({headers["webhook-id"] for headers, _ in receiver.got}) == 1


async def test_what_happens_while_nobody_sends_is_told_later(api: Api, run: Run):
    async with receiving() as receiver:
        user = await api.user()
        await hook_for(api, receiver.url, user_id=user)
        await api.url(user)
        async with run():
            await receiver.has(1)

    assert receiver.types == ["link.created"]


async def test_a_slow_receiver_holds_up_no_other(api: Api, run: Run):
    async with receiving() as slow, receiving() as quick, run():
        slow.hold = asyncio.Event()
        hooks = [await hook_for(api, each.url) for each in (slow, quick)]
        for _ in range(8):
            for hook in hooks:
                await api.post(f"/webhooks/{hook['id']}/test")
        await quick.has(8)

        assert len(slow.got) <= 4


async def test_a_receiver_that_is_gone_is_disabled_until_it_is_switched_on(api: Api, run: Run):
    async with receiving() as receiver, run():
        receiver.answers = [410]
        hook = await hook_for(api, receiver.url)
        await api.post(f"/webhooks/{hook['id']}/test")
        path = f"/webhooks/{hook['id']}"

        async def is_disabled() -> bool:
            return not (await api.get(path)).json["is_active"]

        await eventually(is_disabled, DEADLINE_SECONDS)
        disabled = (await api.get(path)).json
        again = (await api.put(path, {"is_active": True})).json
        await receiver.has(2)

    assert disabled["disabled_reason"] == "It answered 410: gone"
    assert (again["is_active"], again["failures"], again["disabled_reason"]) == (True, 0, None)


async def test_after_the_last_attempt_a_message_is_dead_and_shown(api: Api, run: Run, pool: Pool):
    async with receiving() as receiver, run():
        receiver.answers = [500] * 3
        hook = await hook_for(api, receiver.url)
        await pool.execute(
            "INSERT INTO webhook_deliveries (webhook_id, message_id, event_type, body, attempts) "
            "VALUES ($1, 'msg_x', 'clicks', '{}', 11)",
            hook["id"],
        )

        async def is_dead() -> bool:
            path = f"/webhooks/{hook['id']}/deliveries?state=dead"
            return len((await api.get(path)).json) == 1

        await eventually(is_dead, DEADLINE_SECONDS)
        (dead,) = await deliveries(api, hook)

    assert (dead["attempts"], dead["last_error"]) == (12, "It answered 500")


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]"])
async def test_a_private_address_is_refused_when_it_is_connected_to(api: Api, run: Run, host: str):
    async with receiving() as receiver, run(WEBHOOK_PRIVATE_TARGETS="false"):
        error = await failure_of_a_test(api, receiver.url.replace("127.0.0.1", host))

    assert "not public" in error or "not a public" in error
    assert receiver.got == []


async def test_a_host_whose_name_is_not_known_is_said(api: Api, run: Run):
    async with run():
        error = await failure_of_a_test(api, "https://nowhere.invalid/")

    assert error == "No connection: the name of the host is not known"


async def failure_of_a_test(api: Api, url: str) -> str:
    hook = await hook_for(api, url)
    await api.post(f"/webhooks/{hook['id']}/test")

    async def failure() -> Any:
        (only,) = await deliveries(api, hook)
        return only["last_error"]

    return str(await eventually(failure, DEADLINE_SECONDS))


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"url": "http://127.0.0.1/x", "events": ["clicks"]}, "url"),
        ({"url": "http://localhost/x", "events": ["clicks"]}, "url"),
        ({"url": "ftp://example.com/x", "events": ["clicks"]}, "url"),
        ({"url": "https://u:p@example.com/x", "events": ["clicks"]}, "url"),
        ({"url": "https://example.com/x", "events": []}, "events"),
        ({"url": "https://example.com/x", "events": ["clicks", "clicks"]}, "events"),
        ({"url": "https://example.com/x", "events": [{}]}, "events"),
        ({"url": "https://example.com/x", "events": "clicks"}, "events"),
        ({"url": "https://example.com/x"}, "events"),
        ({"url": "https://example.com/x", "events": ["clicks"], "user_id": 99}, "user_id"),
    ],
)
async def test_a_wrong_webhook_is_refused(start: Start, body: dict[str, Any], field: str):
    async with start() as api:
        answer = await api.post("/webhooks", body)
        listed = (await api.get("/webhooks")).json

    assert answer.status == 422
    assert list(answer.json["details"]) == [field]
    assert listed == []


async def test_the_secret_is_shown_once(api: Api):
    hook = await hook_for(api, "https://example.com/x")

    shown = [
        (await api.get(f"/webhooks/{hook['id']}")).json,
        (await api.put(f"/webhooks/{hook['id']}", {"events": ["clicks"]})).json,
        *(await api.get("/webhooks")).json,
    ]

    assert hook["secret"].startswith("whsec_")
    assert all("secret" not in each for each in shown)


async def test_a_bus_that_takes_no_writes_for_a_while_only_delays_messages(
    api: Api, run: Run, bus: Redis
):
    async with receiving() as receiver, run():
        user = await api.user()
        await hook_for(api, receiver.url, user_id=user)
        await api.url(user, short_code="before")
        await receiver.has(1)
        async with refusing(bus):
            await asyncio.sleep(3 * webhook_feed.BLOCK_MS / 1000)
        await api.url(user, short_code="after")
        await receiver.has(2)


async def test_the_consumer_of_a_process_that_is_gone_is_forgotten(
    bus: Redis, pool: Pool, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(consumer_groups, "GONE_MS", 1)
    await bus.xgroup_create(streams.LINKS, webhook_feed.GROUP, id="0", mkstream=True)
    await bus.xgroup_createconsumer(streams.LINKS, webhook_feed.GROUP, "gone")
    await asyncio.sleep(0.01)
    feed = webhook_feed.Feed(streams.LINKS, webhook_feed.link_messages, bus, pool, "here")

    async with background(feed.run(), name="feed"):
        await eventually(lambda: _is_forgotten(bus, b"gone"), DEADLINE_SECONDS)


async def _is_forgotten(bus: Redis, consumer: bytes) -> bool:
    known = await bus.xinfo_consumers(streams.LINKS, webhook_feed.GROUP)
    return consumer not in {each["name"] for each in known}
