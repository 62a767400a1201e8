"""Writes events behind the answer; what waits here is lost when the process ends."""

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

from bench.baseline.models import Event, database

_threads = ThreadPoolExecutor(max_workers=2)


def write_later(url_id: int, user_id: int, details: dict[str, str]) -> None:
    """Queue a redirect's event."""
    _threads.submit(_write, url_id, user_id, json.dumps(details), datetime.now(UTC))


def _write(url_id: int, user_id: int, details: str, moment: datetime) -> None:
    with database.connection_context():
        Event.create(
            url_id=url_id,
            user_id=user_id,
            event_type="redirect",
            timestamp=moment,
            details=details,
        )
