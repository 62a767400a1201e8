"""A whole Shortwire of the measurement's own, started as `make run` does it."""

import asyncio
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import asyncpg

from bench import link_repository
from shared.postgres import Connection
from shortwire import processes, servers, stack_file
from shortwire.processes import Program
from shortwire.stack_file import Stack

NO_LIMIT = "1000000"  # requests per second: the limiter runs and never bites
STARTED_SECONDS = 120.0


class Installation:
    """What runs; `stack` says where, `folder` holds the files of whatever is added.

    `ingest_pids` are the processes that `paused_ingest` holds.
    """

    def __init__(self, folder: Path, stack: Stack, exits: ExitStack) -> None:
        self.folder = folder
        self.stack = stack
        self.ingest_pids = [part.pid for part in stack.ingest if part.pid is not None]
        self._exits = exits

    def add(self, program: Program) -> processes.Child:
        """Start one more program, which is stopped with the rest."""
        child = processes.start(program, self.folder)
        self._exits.callback(child.stop)
        return child

    def subfolder(self, name: str) -> Path:
        """Return a folder that programs may write."""
        folder = self.folder / name
        processes.give_to_children(folder)
        return folder

    async def connect(self) -> Connection:
        """Return a connection as the owner of the database."""
        return await asyncpg.connect(self.stack.postgres.url)

    @contextmanager
    def paused_ingest(self) -> Iterator[None]:
        """Hold event-ingest still: it belongs on another machine than what is measured."""
        try:
            for pid in self.ingest_pids:
                os.kill(pid, signal.SIGSTOP)
            yield
        finally:
            for pid in self.ingest_pids:
                os.kill(pid, signal.SIGCONT)


@contextmanager
def running(environ: Mapping[str, str], links: int = 0) -> Iterator[Installation]:
    """Run an installation with so many links, in a folder that is gone afterwards.

    `environ` are settings that differ from the defaults. Raises `StartError`.
    """
    with ExitStack() as exits:
        folder = Path(tempfile.mkdtemp(prefix="shortwire-bench-"))
        exits.callback(shutil.rmtree, folder, ignore_errors=True)
        processes.give_to_children(folder)
        data = folder / "data"
        processes.give_to_children(data)
        child = processes.start(_launcher(data, environ), folder)
        exits.callback(child.stop)
        stack = stack_file.read(data)
        assert stack is not None
        measured = Installation(folder, stack, exits)
        if links:
            asyncio.run(_make_links(measured, links))
        yield measured


async def _make_links(installation: Installation, links: int) -> None:
    connection = await installation.connect()
    try:
        await link_repository.add(connection, 0, links)
        await link_repository.analyze(connection)
    finally:
        await connection.close()


def _launcher(data: Path, environ: Mapping[str, str]) -> Program:
    return Program(
        name="shortwire",
        argv=[sys.executable, "-m", "shortwire", "run"],
        environ={
            "DATA_DIR": str(data),
            "PORT": str(servers.free_port()),
            "AUTH": "open",
            "REDIRECT_RATE": NO_LIMIT,
            "API_RATE": NO_LIMIT,
            **environ,
        },
        is_ready=(data / stack_file.FILE_NAME).exists,
        ready_seconds=STARTED_SECONDS,
        stop_seconds=60.0,
    )
