"""A streaming replica of the tests' PostgreSQL, whose replay can be held up."""

import shutil
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg

from shortwire import processes, servers


class Replica:
    """Made by pg_basebackup of the server at `primary`, an owner's DSN."""

    def __init__(self, folder: Path, primary: str) -> None:
        self._folder = folder
        self._data = folder / "replica"
        self._primary = primary
        self.port = servers.free_port()
        self._copy()
        self._child = self._start()

    def _copy(self) -> None:
        shutil.rmtree(self._data, ignore_errors=True)
        done = processes.run_to_end(
            [
                *(str(servers.postgres_bin() / "pg_basebackup"), "--pgdata", str(self._data)),
                *("--dbname", self._primary, "--checkpoint=fast", "--write-recovery-conf"),
            ],
            {},
        )
        assert done.returncode == 0, done.stderr

    def _start(self) -> processes.Child:
        program = servers.postgres(self._data, self.port, fsync="off")
        return processes.start(program, self._folder)

    def url(self, dsn: str) -> str:
        """The same database and role here."""
        parts = urlsplit(dsn)
        netloc = parts.netloc.replace(f":{parts.port}", f":{self.port}")
        return parts._replace(netloc=netloc).geturl()

    async def hold(self) -> None:
        """Let it receive what comes, and replay none of it."""
        await self._ask("SELECT pg_wal_replay_pause()")
        while await self._ask("SELECT pg_get_wal_replay_pause_state()") != "paused":
            pass

    async def go_on(self) -> None:
        await self._ask("SELECT pg_wal_replay_resume()")

    async def caught_up(self) -> None:
        """Wait until it has replayed all there is."""
        primary = await asyncpg.connect(self._primary)
        end = await primary.fetchval("SELECT pg_current_wal_flush_lsn()")
        await primary.close()
        while await self._ask("SELECT pg_last_wal_replay_lsn()") < end:
            pass

    async def _ask(self, question: str) -> Any:
        connection = await asyncpg.connect(self.url(self._primary))
        try:
            return await connection.fetchval(question)
        finally:
            await connection.close()

    def kill(self) -> None:
        self._child.bury()

    def revive(self) -> None:
        self._child = self._start()

    def stop(self) -> None:
        self._child.stop()
