from typing import Any

from redis.asyncio import Redis

from shared import streams
from shared.events import LinkChanged, link_message_decoder
from tests import bus_description
from tests.integration.management.conftest import Api
from tests.integration.management.test_relay import until


async def test_changes_and_heartbeats_are_sent_as_described(api: Api, bus: Redis):
    url = await api.url(await api.user())
    await api.put(f"/urls/{url['id']}", {"is_active": False})
    await api.delete(f"/urls/{url['id']}")
    kinds: set[str] = set()

    async def both() -> bool:
        entries: Any = await bus.xrange(streams.LINKS)
        for _, fields in entries:
            message = link_message_decoder.decode(fields[streams.LINKS_MESSAGE])
            kind = "change" if isinstance(message, LinkChanged) else "heartbeat"
            bus_description.check(kind, fields)
            kinds.add(kind)
        return len(kinds) == 2

    await until(both)
