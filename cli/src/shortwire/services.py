"""Our own services as child processes: how to start each, and when it is ready."""

import http.client
from collections.abc import Callable, Mapping, Sequence
from urllib.parse import quote, urlsplit, urlunsplit

from shortwire import processes
from shortwire.processes import Program, StartError, python_module
from shortwire.servers import LOOPBACK

PROBE_TIMEOUT_SECONDS = 2.0

Pause = Callable[[float], None]


def role_dsn(owner_dsn: str, role: str, password: str) -> str:
    """Return `owner_dsn` for another role of the same database."""
    parts = urlsplit(owner_dsn)
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit(
        parts._replace(netloc=f"{quote(role, safe='')}:{quote(password, safe='')}@{host}")
    )


def answers(url: str) -> bool:
    """Tell whether a GET of `url` is answered with 200."""
    parts = urlsplit(url)
    assert parts.hostname is not None
    connection = http.client.HTTPConnection(
        parts.hostname, parts.port, timeout=PROBE_TIMEOUT_SECONDS
    )
    try:
        connection.request("GET", parts.path)
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def local_url(port: int) -> str:
    """Return the address of a port of loopback."""
    return f"http://{LOOPBACK}:{port}"


def web_service(name: str, module: str, port: int, environ: Mapping[str, str]) -> Program:
    """Return a service that answers HTTP on `port`."""
    return Program(
        name=name,
        argv=python_module(module),
        environ={**environ, "HOST": LOOPBACK, "PORT": str(port), "TRUSTED_PROXIES": LOOPBACK},
        is_ready=lambda: answers(f"{local_url(port)}/health/ready"),
        stop_seconds=12.0,  # above the 8 s it gives running requests, and its own draining
    )


def ingest(name: str, metrics_port: int, environ: Mapping[str, str]) -> Program:
    """Return the consumer of clicks; its only port is that of its metrics."""
    return Program(
        name=name,
        argv=python_module("event_ingest"),
        environ={**environ, "CONSUMER": name, "METRICS_PORT": str(metrics_port)},
        is_ready=lambda: answers(f"{local_url(metrics_port)}/metrics"),
    )


def retention(environ: Mapping[str, str]) -> Program:
    """Return what removes old events, every hour."""
    return Program(
        name="retention",
        argv=[*python_module("shared.retention"), "--hourly"],
        environ=environ,
        is_ready=lambda: True,
    )


def worker(name: str, module: str, metrics_port: int, environ: Mapping[str, str]) -> Program:
    """Return a service whose only port is that of its metrics."""
    return Program(
        name=name,
        argv=python_module(module),
        environ={**environ, "METRICS_PORT": str(metrics_port)},
        is_ready=lambda: answers(f"{local_url(metrics_port)}/metrics"),
    )


def migrate(environ: Mapping[str, str], pause: Pause) -> None:
    """Bring the schema up to date; raises `StartError`."""
    _run("shared.migrate", [], environ, pause)


def first_admin_key(environ: Mapping[str, str], pause: Pause) -> str:
    """Return a new admin key where none exists yet, else an empty text; raises `StartError`."""
    arguments = ["create", "--admin", "--if-none", "--name", "first"]
    return _run("management.keys", arguments, environ, pause)


def _run(module: str, arguments: Sequence[str], environ: Mapping[str, str], pause: Pause) -> str:
    done = processes.run_to_end([*python_module(module), *arguments], environ, pause)
    if done.returncode:
        last_line = done.stderr.strip().rpartition("\n")[2]  # before it: attempts, a traceback
        raise StartError(f"{module} failed: {last_line}")
    return done.stdout.strip()
