"""What an operator may set of the autoscaler and of the engine gate; read once, in `__main__`."""

from typing import Annotated

import msgspec

from shared import settings

Port = Annotated[int, msgspec.Meta(ge=1, le=65_535)]
Seconds = Annotated[float, msgspec.Meta(gt=0)]
Polls = Annotated[int, msgspec.Meta(ge=1)]


class ScalingSettings(settings.Settings, frozen=True, kw_only=True):
    """How often is looked, and how soon is acted."""

    poll_seconds: Seconds = 10.0
    up_polls: Polls = 2
    down_polls: Polls = 6
    up_cooldown_seconds: Seconds = 60.0
    down_cooldown_seconds: Seconds = 120.0


class Settings(ScalingSettings, frozen=True, kw_only=True):
    """`engine_gate_url` is where the engine gate listens; `dry_run` decides and changes nothing."""

    bus_url: settings.RedisURL
    engine_gate_url: Annotated[str, msgspec.Meta(pattern=r"\Ahttp://")] = "http://engine-gate:8004"
    dry_run: bool = False
    metrics_host: str = "127.0.0.1"
    metrics_port: Port = 9103
    log_level: str = "INFO"


class GateSettings(settings.Settings, frozen=True, kw_only=True):
    """`scope` is the Compose project or the stack; where it is not given, the gate's own."""

    engine_url: str = "unix:///var/run/docker.sock"
    scope: str | None = None
    host: str = "127.0.0.1"
    port: Port = 8004
    log_level: str = "INFO"
