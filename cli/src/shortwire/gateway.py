"""The gateway: Nginx with the configuration that the container image uses too."""

import signal
from collections.abc import Sequence
from pathlib import Path
from string import Template

from shortwire import servers
from shortwire.processes import Program, StartError, give_to_children
from shortwire.services import answers
from shortwire.settings import Settings

TEMPLATE = Path(__file__).parents[3] / "gateway" / "nginx.conf"
ACCESS_LOG = "access.log"
API_BURST_SECONDS = 2  # how many seconds' allowance a client may use at once


def server_lines(ports: Sequence[int]) -> str:
    """Return the upstream's servers.

    max_fails=0: a server that refused a connection is tried again at once, so that a single one
    that was restarted is back with its first request.
    """
    return " ".join(f"server {servers.LOOPBACK}:{port} max_fails=0;" for port in ports)


def render(
    template: str, settings: Settings, *, redirectors: Sequence[int], management: Sequence[int]
) -> str:
    """Return the configuration for services on these ports of loopback."""
    host = f"[{settings.bind}]" if ":" in settings.bind else settings.bind
    return Template(template).safe_substitute(
        LISTEN=f"{host}:{settings.port}",
        STATE_DIR=".",  # relative to the prefix: its path may hold any character
        WORKERS=settings.gateway_workers,
        REDIRECT_RATE=settings.redirect_rate,
        API_RATE=settings.api_rate,
        API_BURST=API_BURST_SECONDS * settings.api_rate,
        WRITE_RATE=max(1, settings.api_rate // 2),
        ACCESS_LOG=ACCESS_LOG,
        RESOLVER="",
        PROXY_NETWORKS="",
        PROXY_ADDRESSES="",
        HTTP_EXTRAS="",  # the wheel's Nginx has no stub_status,
        SERVER_EXTRAS="",  # and on loopback there is nothing to encrypt
        REDIRECTORS=server_lines(redirectors),
        MANAGEMENT=server_lines(management),
    )


def program(
    settings: Settings, state_dir: Path, *, redirectors: Sequence[int], management: Sequence[int]
) -> Program:
    """Write the configuration and return the gateway."""
    if not TEMPLATE.exists():
        raise StartError(f"{TEMPLATE} is missing: `shortwire run` needs a checkout of Shortwire.")
    template = TEMPLATE.read_text(encoding="utf-8")
    config = state_dir / "nginx.conf"
    config.write_text(
        render(template, settings, redirectors=redirectors, management=management),
        encoding="utf-8",
    )
    log = state_dir / ACCESS_LOG
    log.touch(mode=0o600)
    give_to_children(log)
    return Program(
        name="gateway",
        argv=[
            *(servers.nginx_program(), "-p", f"{state_dir}/", "-c", str(config)),
            *("-e", "stderr", "-g", "daemon off;"),
        ],
        is_ready=lambda: answers(f"{settings.gateway_url()}/health"),
        stop_signal=signal.SIGQUIT,  # graceful: requests in flight are answered
    )
