"""The whole system on this machine: stores, services and gateway as child processes."""

import asyncio
import time
from collections.abc import Callable

from shared.migrate import CONNECT_ATTEMPTS, CONNECT_RETRY_SECONDS
from shortwire import data_folder, database_repository, log_files, services, stack_file, welcome
from shortwire.data_folder import DataFolder
from shortwire.parts import Parts
from shortwire.ports import is_free
from shortwire.processes import StartError
from shortwire.settings import Settings
from shortwire.signals import Signals, Stopped
from shortwire.supervisor import Supervisor

HOUSEKEEPING_SECONDS = 30.0
RETRY_SECONDS = 1.0
# An attempt may take as long as the pause after it.
WAIT_SECONDS = CONNECT_ATTEMPTS * CONNECT_RETRY_SECONDS * 2

Say = Callable[[str], None]


def run(settings: Settings, say: Say) -> None:
    """Run until told to stop; raises `StartError` where that can't be, with nothing left."""
    signals = Signals()
    try:
        _check_address(settings)
        with data_folder.opened(settings.data_dir, signals.pause) as folder:
            _run(settings, folder, signals, say)
    except Stopped:
        say("Stopped.")
    except OSError as error:
        raise StartError(data_folder.sentence(settings.data_dir.absolute(), error)) from error


def _run(settings: Settings, folder: DataFolder, signals: Signals, say: Say) -> None:
    stack_file.remove(folder.path)  # of a run that was killed
    supervisor = Supervisor(folder.logs, [folder.lock], say)
    try:
        began = time.monotonic()
        parts = Parts(settings, folder)
        key = _start(settings, parts, supervisor, signals, say)
        stack_file.write(folder.path, parts.stack(supervisor.pid))
        say(f"Ready after {time.monotonic() - began:.1f} s.")
        user_id = asyncio.run(database_repository.next_user_id(parts.postgres_dsn))
        say(welcome.text(settings, folder.path, key=key, next_user_id=user_id))
        _keep_running(parts, supervisor, folder, signals, say)
    finally:
        say("Stopping …")
        stack_file.remove(folder.path)
        supervisor.stop()


def _start(
    settings: Settings, parts: Parts, supervisor: Supervisor, signals: Signals, say: Say
) -> str:
    """Start each part after those it needs; return the first admin key where it was made now."""
    say("Starting PostgreSQL and Redis (the first time takes some seconds longer) …")
    supervisor.start(parts.stores(signals.pause), signals.pause)
    parts.prepare_database()
    wait = f", waiting for PostgreSQL up to {WAIT_SECONDS:.0f} s" if settings.postgres_url else ""
    say(f"Bringing the schema up to date{wait} …")
    services.migrate(parts.migration(), signals.pause)
    say("Starting event-ingest, management and redirector …")
    supervisor.start(parts.services(), signals.pause)
    key = ""
    if settings.auth == "required":
        key = services.first_admin_key(parts.management(), signals.pause)
    say("Starting the gateway …")
    supervisor.start([parts.gateway()], signals.pause)
    return key


def _keep_running(
    parts: Parts, supervisor: Supervisor, folder: DataFolder, signals: Signals, say: Say
) -> None:
    """Bring back what ends, and keep logs small, until `Stopped` is raised."""
    next_trim = time.monotonic()
    is_stale = False  # the stack file: a process id in it is no longer right
    told = ""
    while True:
        try:
            is_stale = supervisor.revive() or is_stale
            if is_stale:
                stack_file.write(folder.path, parts.stack(supervisor.pid))
                is_stale = False
            if time.monotonic() >= next_trim:
                next_trim = time.monotonic() + HOUSEKEEPING_SECONDS
                log_files.trim(parts.log_files())
        except OSError as error:  # a disk that filled up is no reason to end what still works
            trouble = data_folder.sentence(folder.path, error)
            if trouble != told:
                say(trouble)
            told = trouble
            signals.pause(RETRY_SECONDS)
        else:  # after a pause a child may have ended that no signal tells of any more
            told = ""
            signals.wait(supervisor.seconds_to_restart(HOUSEKEEPING_SECONDS))
        signals.pause(0)


def _check_address(settings: Settings) -> None:
    try:
        free = is_free(settings.bind, settings.port)
    except OSError as error:
        raise StartError(
            f"Shortwire can't listen on {settings.bind} port {settings.port} ({error.strerror}): "
            "choose others with BIND and PORT."
        ) from None
    if not free:
        raise StartError(
            f"Port {settings.port} of {settings.bind} is in use: "
            f"stop who uses it, or choose another one, for instance PORT={settings.port + 1}."
        )
