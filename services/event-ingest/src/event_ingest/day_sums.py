"""Keeps what all links' clicks tell together: sums up the days that are over."""

import asyncio
import logging

from event_ingest import click_repository, metrics
from shared.errors import OPERATIONAL_ERRORS
from shared.postgres import Pool

log = logging.getLogger(__name__)

LOOK_SECONDS = 60.0
LEAST_AGE_SECONDS = 60.0  # so that a day is not summed up anew for each batch that comes late


async def keep_days(pool: Pool) -> None:
    """Sum up days, whichever process comes first; of a new schema all there are, one by one."""
    while True:
        days = 0
        try:
            while await click_repository.sum_up_day(pool, LEAST_AGE_SECONDS):
                days += 1
            metrics.DAYS_AT.set_to_current_time()
        except OPERATIONAL_ERRORS as error:
            log.warning("days.retry", extra={"error": error})
        if days:
            log.info("days.summed", extra={"days": days})
        await asyncio.sleep(LOOK_SECONDS)
