"""What an operator may set of a redirector; read once, in `__main__`."""

from pathlib import Path
from typing import Annotated

import msgspec

from redirector.visitors import AddressPolicy
from shared import request_log, settings

Port = Annotated[int, msgspec.Meta(ge=1, le=65_535)]


class Settings(request_log.Settings, frozen=True, kw_only=True):
    """Sizes are in bytes, times in seconds; `postgres_read_dsn` is of replicas, by commas."""

    postgres_dsn: str
    postgres_read_dsn: str | None = None
    cache_url: settings.RedisURL
    bus_url: settings.RedisURL
    click_streams: settings.ClickStreams = 1
    journal_dir: Path
    host: str = "127.0.0.1"
    port: Port = 8000
    metrics_host: str = "127.0.0.1"
    metrics_port: Port = 9100
    trusted_proxies: str = "127.0.0.1"
    ip_policy: AddressPolicy = "anonymized"
    honour_opt_out: bool = False
    geoip_database: Path | None = None
    log_ratio: request_log.Ratio = 0.001  # of thousands a second
    log_slow_ms: Annotated[float, msgspec.Meta(gt=0)] = 100.0
    near_cache_links: Annotated[int, msgspec.Meta(ge=1)] = 100_000
    journal_max_bytes: Annotated[int, msgspec.Meta(ge=1 << 20)] = 512 << 20
    journal_segment_bytes: Annotated[int, msgspec.Meta(ge=1 << 12)] = 16 << 20
