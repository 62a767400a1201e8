"""What an operator may set of management; read once, in `__main__`."""

from typing import Annotated, Literal

import msgspec

from shared import request_log, settings

Port = Annotated[int, msgspec.Meta(ge=1, le=65_535)]

Rate = Annotated[int, msgspec.Meta(ge=1, le=1_000_000)]  # requests per second


class Settings(request_log.Settings, frozen=True, kw_only=True):
    """`public_url` is where visitors reach the gateway: links to it would go in circles."""

    postgres_dsn: str
    cache_url: settings.RedisURL
    bus_url: settings.RedisURL
    host: str = "127.0.0.1"
    port: Port = 8001
    metrics_host: str = "127.0.0.1"
    metrics_port: Port = 9101
    public_url: str = "http://localhost:8080"
    auth: Literal["required", "open"] = "required"
    key_rate: Rate = 100
    address_rate: Rate = 100
    trusted_proxies: str = "127.0.0.1"
