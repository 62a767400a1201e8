"""Run event-ingest: `python -m event_ingest`, settings from the environment."""

import asyncio
import gc
import logging
import signal

import uvloop

from event_ingest import consumer_group
from event_ingest.click_totals import keep_totals
from event_ingest.consumer import Consumer, Turns
from event_ingest.consumer_group import ConsumerGroup
from event_ingest.day_sums import keep_days
from event_ingest.enrichment import Enrichment
from event_ingest.keeper import keep_partitions, keep_stream
from event_ingest.orphan_counts import OrphanCounts
from event_ingest.settings import Settings
from event_ingest.storage import STORED_AT_ONCE
from event_ingest.visitors import VisitorNumbers
from shared import click_streams, logs, pool_metrics, postgres, redis_client
from shared.countries import Countries
from shared.exposition import expose
from shared.request_log import RequestLog
from shared.settings import load
from shared.tasks import background
from shared.telemetry import Tracing

log = logging.getLogger(__name__)

POOL_SIZE = STORED_AT_ONCE + 1  # and one for what is done now and then
BUS_CONNECTIONS = 2 * len(click_streams.NAMES) + 2  # a consumer waits on each stream
QUERY_TIMEOUT_SECONDS = 10.0
# A batch makes objects by the ten thousand and hardly a cycle: at Python's own threshold, 700, to
# look for cycles among them took a fifth of the time.
COLLECT_AFTER_OBJECTS = 100_000


async def run(settings: Settings) -> None:
    """Consume until SIGTERM or SIGINT."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    tracing = Tracing("event-ingest", settings)
    async with (
        tracing.running(),
        redis_client.connect(
            settings.bus_url,
            name="event-ingest",
            max_connections=BUS_CONNECTIONS,
            timeout=consumer_group.SOCKET_TIMEOUT_SECONDS,
        ) as bus,
        await postgres.create_pool(
            settings.postgres_dsn,
            name="event-ingest",
            max_size=POOL_SIZE,
            command_timeout=QUERY_TIMEOUT_SECONDS,
        ) as pool,
    ):
        pool_metrics.watch_postgres(pool)
        pool_metrics.watch_redis("bus", bus)
        countries = Countries(settings.geoip_database)
        enrichment = Enrichment(
            countries, VisitorNumbers(bus), keep_addresses=settings.ip_policy == "full"
        )
        turns = Turns()

        async def consume(stream: str) -> None:
            consumer = Consumer(
                ConsumerGroup(bus, stream, settings.consumer),
                pool,
                stop,
                enrichment,
                turns,
                batch_events=settings.batch_events,
                claim_idle_seconds=settings.claim_idle_seconds,
                tracing=tracing,
                request_log=RequestLog(settings),
            )
            try:
                async with background(keep_stream(bus, stream), name="keep_stream"):
                    await consumer.run()
            finally:
                stop.set()  # where one fails, all end: the process must be seen to go

        log.info("ingest.started", extra={"consumer": settings.consumer})
        async with (
            background(keep_partitions(pool), name="keep_partitions"),
            background(keep_totals(pool), name="keep_totals"),
            background(keep_days(pool), name="keep_days"),
            background(OrphanCounts(bus, pool).run(), name="orphans"),
            asyncio.TaskGroup() as consumers,
        ):
            async for stream in click_streams.as_found(bus, stop):
                consumers.create_task(consume(stream))
        countries.close()
    log.info("ingest.stopped")


def main() -> None:
    """Run until told to stop; a consumer that fails ends the process with an error."""
    settings = load(Settings)
    logs.configure("event-ingest", settings.log_level)
    gc.set_threshold(COLLECT_AFTER_OBJECTS)
    expose("event-ingest", host=settings.metrics_host, port=settings.metrics_port)
    uvloop.run(run(settings))


if __name__ == "__main__":
    main()
