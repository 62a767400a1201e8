"""Starts what an installation does not hold: each function returns where its server answers."""

import socket
from collections.abc import Mapping
from pathlib import Path
from string import Template

import msgspec
from msgspec.structs import replace

from bench.installation import Installation
from bench.links import TARGET
from shortwire import gateway, processes, servers, services
from shortwire.processes import Program, StartError
from shortwire.servers import LOOPBACK
from shortwire.settings import Settings as LauncherSettings

NGINX_TEMPLATE = Path(__file__).with_name("nginx.conf")
REPOSITORY = Path(__file__).parents[1]
NO_LIMIT = 1_000_000  # requests per second: the limiter runs and never bites
SYNCHRONOUS_COMMIT = "options=-csynchronous_commit%3Doff"  # as the replaced design had it


def nginx(installation: Installation, name: str) -> str:
    """Start one Nginx worker that answers 302 and nothing else."""
    port, folder = servers.free_port(), installation.subfolder(name)
    template = Template(NGINX_TEMPLATE.read_text(encoding="utf-8"))
    config = folder / "nginx.conf"
    config.write_text(template.substitute(PORT=port, TARGET=TARGET), encoding="utf-8")
    argv = [servers.nginx_program(), "-p", f"{folder}/", "-c", str(config), "-e", "stderr"]
    return _started(installation, name, port, [*argv, "-g", "daemon off;"], {})


def gateway_before(installation: Installation, upstream: str) -> str:
    """Start a gateway like ours with `upstream` in the redirectors' place."""
    settings = LauncherSettings(port=servers.free_port(), redirect_rate=NO_LIMIT, api_rate=NO_LIMIT)
    program = gateway.program(
        settings,
        installation.subfolder("gateway-static"),
        redirectors=[_port(upstream)],
        management=[_port(installation.stack.management.url)],
    )
    installation.add(replace(program, name="gateway-static"))
    return settings.gateway_url()


def plain_asgi(installation: Installation) -> str:
    """Start uvicorn with an application that only answers 302."""
    port = servers.free_port()
    argv = processes.python_module("bench.plain_asgi")
    return _started(installation, "plain-asgi", port, argv, {"PORT": str(port)})


class Redirector(msgspec.Struct, frozen=True):
    """A redirector of our own, beside the installation's."""

    url: str
    pid: int


def redirector(
    installation: Installation, name: str, cache_url: str, near_links: int
) -> Redirector:
    """Start a redirector that remembers so many links."""
    port, metrics = servers.free_port(), servers.free_port()
    stack = installation.stack
    environ = {
        "POSTGRES_DSN": stack.postgres.url,
        "CACHE_URL": cache_url,
        "BUS_URL": stack.bus.url,
        "JOURNAL_DIR": str(installation.subfolder(f"{name}-journal")),
        "METRICS_PORT": str(metrics),
        "NEAR_CACHE_LINKS": str(near_links),
    }
    child = installation.add(services.web_service(name, "redirector", port, environ))
    return Redirector(services.local_url(port), child.pid)


def second_ingest(installation: Installation) -> None:
    """Start one more consumer of clicks."""
    environ = {
        "POSTGRES_DSN": installation.stack.postgres.url,
        "BUS_URL": installation.stack.bus.url,
    }
    child = installation.add(services.ingest("second-ingest", servers.free_port(), environ))
    installation.ingest_pids.append(child.pid)


def cache(installation: Installation, name: str) -> str:
    """Start one more Redis as a cache."""
    port, password = servers.free_port(), "bench"
    folder = installation.subfolder(name)
    installation.add(servers.redis(name, folder, port, password, servers.CACHE_SETTINGS))
    return servers.redis_url(port, password)


def flask(installation: Installation) -> str:
    """Start the design that was replaced, on our PostgreSQL and a cache of its own."""
    port = servers.free_port()
    environ = {
        "BASELINE_POSTGRES_URL": f"{installation.stack.postgres.url}&{SYNCHRONOUS_COMMIT}",
        "BASELINE_CACHE_URL": cache(installation, "flask-cache"),
        "PYTHONPATH": str(REPOSITORY),
    }
    done = processes.run_to_end(processes.python_module("bench.baseline.tables"), environ)
    if done.returncode:
        raise StartError(f"The baseline's tables could not be made: {done.stderr.strip()}")
    argv = processes.python_module("gunicorn")
    argv += ["--worker-class", "gthread", "--workers", "2", "--threads", "4"]
    argv += ["--bind", f"{LOOPBACK}:{port}", "--keep-alive", "75", "--log-level", "warning"]
    return _started(installation, "flask", port, [*argv, "bench.baseline.app:app"], environ)


def _started(
    installation: Installation, name: str, port: int, argv: list[str], environ: Mapping[str, str]
) -> str:
    own = {"PYTHONPATH": str(REPOSITORY), **environ}
    installation.add(Program(name=name, argv=argv, environ=own, is_ready=lambda: _accepts(port)))
    return services.local_url(port)


def _port(url: str) -> int:
    return int(url.rpartition(":")[2])


def _accepts(port: int) -> bool:
    try:
        socket.create_connection((LOOPBACK, port), timeout=0.5).close()
    except OSError:
        return False
    return True
