"""Import users, URLs and events from CSV files: each file as a whole or not at all."""

import uuid
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import asyncpg
import msgspec

from shared.errors import OPERATIONAL_ERRORS
from shared.postgres import Connection
from shortwire import import_repository, import_rows
from shortwire.import_repository import EVENTS, Table
from shortwire.import_rows import BadFile, Row

CONNECT_TIMEOUT_SECONDS = 5.0
DATABASE_ERRORS: tuple[type[Exception], ...] = (*OPERATIONAL_ERRORS, asyncpg.PostgresError)
CONNECT_ERRORS: tuple[type[Exception], ...] = (*DATABASE_ERRORS, ValueError)  # a wrong DSN
# Fixed for ever: an event of a file has the same identity at every import.
EVENT_NAMESPACE = uuid.UUID("5a1c6f0e-3d0b-5f5e-9a61-7d1f2b8c4e90")

Progress = Callable[[int], None]  # is told the line that was read last


class ImportFailed(Exception):
    """Nothing of the file was imported; the text says why."""


class Outcome(msgspec.Struct, frozen=True):
    """How many rows a file had, and how many of them were new."""

    rows: int
    new: int


async def connect(dsn: str) -> Connection:
    """Connect to the database; raises `ImportFailed`."""
    try:
        return await asyncpg.connect(dsn, timeout=CONNECT_TIMEOUT_SECONDS)
    except CONNECT_ERRORS as error:
        raise ImportFailed(
            f"The database does not answer: {error or type(error).__name__}"
        ) from error


async def import_file(
    connection: Connection, table: Table, path: Path, progress: Progress
) -> Outcome:
    """Import one file in one transaction; raises `BadFile` or `ImportFailed`."""
    counted = _Counted(path, table, progress)
    try:
        async with connection.transaction():
            await import_repository.copy(connection, table, counted.rows())
            # Before the check: no new row gets an id of the file any more.
            await import_repository.move_sequence(connection, table)
            conflict = await import_repository.first_conflict(connection, table)
            if conflict is not None:
                raise BadFile(path, conflict.line, conflict.field, conflict.reason)
            new = await import_repository.insert(connection, table)
    except asyncpg.UniqueViolationError as error:
        raise ImportFailed(f"{path}: another change came between, try again ({error})") from error
    except DATABASE_ERRORS as error:
        raise ImportFailed(f"{path} was not imported: {error}") from error
    return Outcome(counted.count, new)


class _Counted:
    """The rows of a file, counted as they pass."""

    def __init__(self, path: Path, table: Table, progress: Progress) -> None:
        self._path = path
        self._table = table
        self._progress = progress
        self.count = 0

    async def rows(self) -> AsyncIterator[Row]:
        """Yield each row as the temporary table has it."""
        for row in import_rows.read(self._path, self._table.columns):
            self.count += 1
            self._progress(int(str(row[0])))
            yield (*row, event_id(row[1])) if self._table is EVENTS else row


def event_id(number: object) -> uuid.UUID:
    """Return the identity of the event with this id in a file."""
    return uuid.uuid5(EVENT_NAMESPACE, str(number))
