"""What an operator may set of management; read once, in `__main__`."""

import socket
from typing import Annotated, Literal

import msgspec

from shared import request_log, settings

Port = Annotated[int, msgspec.Meta(ge=1, le=65_535)]

Rate = Annotated[int, msgspec.Meta(ge=1, le=1_000_000)]  # requests per second


class Settings(request_log.Settings, frozen=True, kw_only=True):
    """`public_url` is where visitors reach the gateway: links to it would go in circles.

    `cors_origins` are those of other sites' pages that may call the API, with commas between.
    """

    postgres_dsn: str
    cache_url: settings.RedisURL
    bus_url: settings.RedisURL
    host: str = "127.0.0.1"
    port: Port = 8001
    metrics_host: str = "127.0.0.1"
    metrics_port: Port = 9101
    public_url: settings.WebAddress = "http://localhost:8080"
    auth: Literal["required", "open"] = "required"
    key_rate: Rate = 100
    address_rate: Rate = 100
    trusted_proxies: str = "127.0.0.1"
    cors_origins: settings.Origins = ""
    webhook_private_targets: bool = False


class WebhookSettings(settings.Settings, frozen=True, kw_only=True):
    """Of `management.webhooks`; `consumer` must stay the same over restarts, as event-ingest's.

    `webhook_private_targets` lets webhooks be in one's own network. Retries begin after
    `webhook_retry_seconds`; what a killed process had is sent again after the lease.
    """

    postgres_dsn: str
    bus_url: settings.RedisURL
    consumer: Annotated[str, msgspec.Meta(min_length=1, max_length=64)] = msgspec.field(
        default_factory=socket.gethostname
    )
    metrics_host: str = "127.0.0.1"
    metrics_port: Port = 9104
    webhook_private_targets: bool = False
    webhook_retry_seconds: Annotated[float, msgspec.Meta(gt=0, le=3600)] = 5.0
    webhook_lease_seconds: Annotated[float, msgspec.Meta(ge=0.1, le=3600)] = 60.0
    log_level: str = "INFO"
