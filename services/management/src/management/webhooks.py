"""Tell webhooks what happens: `python -m management.webhooks`, settings from the environment.

A process of its own: a slow receiver must not slow the API down. Several may run.
"""

import asyncio
import logging
import signal
from contextlib import AsyncExitStack

import uvloop

from management.settings import WebhookSettings
from management.webhook_feed import SOCKET_TIMEOUT_SECONDS, Feed, click_messages, link_messages
from management.webhook_sender import Sender, opened_session
from shared import click_streams, logs, pool_metrics, postgres, redis_client, streams
from shared.exposition import expose
from shared.settings import load
from shared.tasks import background

log = logging.getLogger(__name__)

POOL_SIZE = 4
BUS_CONNECTIONS = len(click_streams.NAMES) + 3  # a feed waits on each stream
QUERY_TIMEOUT_SECONDS = 10.0


async def run(settings: WebhookSettings) -> None:
    """Feed and send until SIGTERM or SIGINT."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with (
        redis_client.connect(
            settings.bus_url,
            name="webhooks",
            max_connections=BUS_CONNECTIONS,
            timeout=SOCKET_TIMEOUT_SECONDS,
        ) as bus,
        await postgres.create_pool(
            settings.postgres_dsn,
            name="webhooks",
            max_size=POOL_SIZE,
            command_timeout=QUERY_TIMEOUT_SECONDS,
        ) as pool,
        opened_session(private_targets=settings.webhook_private_targets) as session,
    ):
        pool_metrics.watch_postgres(pool)
        pool_metrics.watch_redis("bus", bus)
        sender = Sender(
            pool,
            session,
            private_targets=settings.webhook_private_targets,
            retry_seconds=settings.webhook_retry_seconds,
            lease_seconds=settings.webhook_lease_seconds,
        )
        links = Feed(streams.LINKS, link_messages, bus, pool, settings.consumer)
        log.info("webhooks.started", extra={"consumer": settings.consumer})
        async with (
            background(links.run(), name="links"),
            background(sender.run(), name="sender"),
            AsyncExitStack() as feeds,
        ):
            async for stream in click_streams.as_found(bus, stop):
                clicks = Feed(stream, click_messages, bus, pool, settings.consumer)
                await feeds.enter_async_context(background(clicks.run(), name=stream))
    log.info("webhooks.stopped")


def main() -> None:
    """Run until told to stop."""
    settings = load(WebhookSettings)
    logs.configure("webhooks", settings.log_level)
    expose("management", host=settings.metrics_host, port=settings.metrics_port)
    uvloop.run(run(settings))


if __name__ == "__main__":
    main()
