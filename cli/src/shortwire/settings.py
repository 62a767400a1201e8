"""What an operator may set of the embedded system; read once, from the environment."""

from pathlib import Path
from typing import Annotated, Literal

import msgspec

from shared import settings

Port = Annotated[int, msgspec.Meta(ge=1, le=65_535)]
Processes = Annotated[int, msgspec.Meta(ge=1, le=64)]
Rate = Annotated[int, msgspec.Meta(ge=1, le=1_000_000)]  # requests per second and address


class Settings(settings.Settings, frozen=True, kw_only=True):
    """Everything has a default; a server that is given by its URL is used, not started."""

    port: Port = 8080
    bind: str = "127.0.0.1"
    data_dir: Path = Path(".data")
    # Where visitors reach the gateway; empty: derived from `bind` and `port`.
    public_url: settings.WebAddress = ""
    auth: Literal["open", "required"] = "required"
    cors_origins: settings.Origins = ""  # of other sites' pages that may call the API
    redirectors: Processes = 1
    ingests: Processes = 1
    click_streams: settings.ClickStreams = 1
    redirect_rate: Rate = 2_000
    api_rate: Rate = 100
    webhook_private_targets: bool = False  # webhooks may be in one's own network
    key_rate: Rate | None = None  # of the API, per second and key; None: as `api_rate`
    gateway_workers: Processes = 1
    ip_policy: Literal["none", "anonymized", "full"] = "anonymized"
    honour_opt_out: bool = False
    geoip_database: Path | None = None
    events_retention_days: Annotated[int, msgspec.Meta(ge=1, le=36_500)] | None = None
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    postgres_url: str | None = None
    cache_url: str | None = None
    bus_url: str | None = None

    def gateway_url(self) -> str:
        """Return where the gateway answers, as seen from this machine."""
        wildcard = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}  # noqa: S104 - compared, not bound
        host = wildcard.get(self.bind, f"[{self.bind}]" if ":" in self.bind else self.bind)
        return f"http://{host}:{self.port}"
