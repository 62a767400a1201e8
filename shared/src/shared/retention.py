"""Remove events that are too old: `python -m shared.retention [--hourly]`.

Whole partitions go, so that it costs nothing whatever their size. Roll-ups stay: they tell nobody.
"""

import argparse
import asyncio
import logging
from datetime import UTC, date, datetime, timedelta
from typing import Annotated

import asyncpg
import msgspec

from shared import logs, partition_repository, settings
from shared.errors import DATABASE_UNAVAILABLE
from shared.postgres import Connection

log = logging.getLogger(__name__)

CONNECT_TIMEOUT_SECONDS = 5.0
REMOVE_TIMEOUT_SECONDS = 600.0  # for those who read a partition that goes
EVERY_SECONDS = 3600.0
RETRY_SECONDS = 60.0


class Settings(settings.Settings, frozen=True, kw_only=True):
    """The owner's DSN, and for how many days events are kept; without a number for ever."""

    postgres_dsn: str
    events_retention_days: Annotated[int, msgspec.Meta(ge=1, le=36_500)] | None = None
    log_level: str = "INFO"


def end_of(name: str) -> date:
    """Return the day after the last one of a partition, which is a day or a month."""
    digits = name.removeprefix("events_")
    first = date(int(digits[:4]), int(digits[4:6]), int(digits[6:] or 1))
    if len(digits) == len("YYYYMMDD"):
        return first + timedelta(days=1)
    return (first + timedelta(days=31)).replace(day=1)


async def remove_old(connection: Connection, days: int, today: date) -> list[str]:
    """Remove partitions whose last day is more than `days` days ago; return their names."""
    kept_from = today - timedelta(days=days)
    removed = []
    for partition in await partition_repository.find(connection):
        if end_of(partition.name) <= kept_from:
            await partition_repository.remove(connection, partition)
            removed.append(partition.name)
            log.info("retention.removed", extra={"partition": partition.name})
    return removed


async def _once(config: Settings) -> None:
    if config.events_retention_days is None:
        log.info("retention.off", extra={"setting": "EVENTS_RETENTION_DAYS"})
        return
    connection = await asyncpg.connect(
        config.postgres_dsn,
        timeout=CONNECT_TIMEOUT_SECONDS,
        command_timeout=REMOVE_TIMEOUT_SECONDS,
    )
    try:
        today = datetime.now(UTC).date()
        await remove_old(connection, config.events_retention_days, today)
    finally:
        await connection.close()


async def _hourly(config: Settings) -> None:
    while True:
        try:
            await _once(config)
        except DATABASE_UNAVAILABLE as error:
            log.warning("retention.retry", extra={"error": error})
            await asyncio.sleep(RETRY_SECONDS)
        else:
            await asyncio.sleep(EVERY_SECONDS)


def main() -> None:
    """Parse the command line and remove."""
    parser = argparse.ArgumentParser(prog="python -m shared.retention", description=__doc__)
    parser.add_argument("--hourly", action="store_true", help="stay, and do it every hour")
    arguments = parser.parse_args()
    config = settings.load(Settings)
    logs.configure("retention", config.log_level)
    asyncio.run(_hourly(config) if arguments.hourly else _once(config))


if __name__ == "__main__":
    main()
