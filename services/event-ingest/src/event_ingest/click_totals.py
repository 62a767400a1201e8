"""Keeps the totals of links, and of all of them by hour: adds what was noted since."""

import asyncio
import logging

from event_ingest import click_repository, metrics
from shared.errors import OPERATIONAL_ERRORS
from shared.postgres import Pool

log = logging.getLogger(__name__)

LOOK_SECONDS = 10.0
LEAST_AGE_SECONDS = 15.0  # so that a link much clicked is written once for many clicks
CLICK_NOTES_AT_ONCE = 50  # each of at most a thousand links: some seconds at worst
HOUR_NOTES_AT_ONCE = 10_000  # each of one hour


async def keep_totals(pool: Pool) -> None:
    """Add up clicks, whichever process comes first, so that totals are at most a minute old."""
    while True:
        await asyncio.sleep(LOOK_SECONDS)
        try:
            while await click_repository.add_up_clicks(
                pool, LEAST_AGE_SECONDS, CLICK_NOTES_AT_ONCE
            ):
                pass
            while await click_repository.add_up_hours(pool, LEAST_AGE_SECONDS, HOUR_NOTES_AT_ONCE):
                pass
            metrics.TOTALS_AT.set_to_current_time()
        except OPERATIONAL_ERRORS as error:
            log.warning("totals.retry", extra={"error": error})
