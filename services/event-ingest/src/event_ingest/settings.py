"""What an operator may set of event-ingest; read once, in `__main__`."""

import socket
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from shared import request_log, settings


class Settings(request_log.Settings, frozen=True, kw_only=True):
    """`consumer` must stay the same over restarts: what it left pending is found by it.

    Where it is not given it is the host's name; a container's is its own and outlives a restart.
    `batch_events` is about how many clicks a batch holds where so many wait.
    `ip_policy` is the redirectors': only with `full` an address that they send is stored.
    """

    postgres_dsn: str
    bus_url: settings.RedisURL
    consumer: Annotated[str, msgspec.Meta(min_length=1, max_length=64)] = msgspec.field(
        default_factory=socket.gethostname
    )
    metrics_host: str = "127.0.0.1"
    metrics_port: Annotated[int, msgspec.Meta(ge=1, le=65_535)] = 9102
    claim_idle_seconds: Annotated[float, msgspec.Meta(gt=0)] = 60.0
    geoip_database: Path | None = None
    ip_policy: Literal["none", "anonymized", "full"] = "anonymized"
    batch_events: Annotated[int, msgspec.Meta(ge=1, le=20_000)] = 10_000
