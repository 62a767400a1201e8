"""Bring the schema up to date: `python -m shared.migrate`. Running it again changes nothing."""

import argparse
import asyncio
import hashlib
import logging
from importlib import resources

import asyncpg

from shared import logs, settings
from shared.postgres import Connection

log = logging.getLogger(__name__)

LOCK_TIMEOUT = "2s"  # a migration that waits longer would queue everybody behind it
STATEMENT_TIMEOUT = "10min"
LOCK_ATTEMPTS = 30
LOCK_RETRY_SECONDS = 1.0
CONNECT_ATTEMPTS = 60
CONNECT_RETRY_SECONDS = 1.0
ADVISORY_LOCK = 0x5357_4D49  # "SWMI": one migration at a time


class Settings(settings.Settings, frozen=True, kw_only=True):
    """The owner's DSN, and the passwords that the services' roles are to have."""

    postgres_dsn: str
    redirector_db_password: str | None = None
    management_db_password: str | None = None
    ingest_db_password: str | None = None

    def role_passwords(self) -> dict[str, str]:
        """Return the password of each role that is to be set."""
        passwords = {
            "shortwire_redirector": self.redirector_db_password,
            "shortwire_management": self.management_db_password,
            "shortwire_ingest": self.ingest_db_password,
        }
        return {role: password for role, password in passwords.items() if password is not None}


class Migration:
    """One SQL file, applied in one transaction."""

    def __init__(self, name: str, sql: str) -> None:
        self.name = name
        self.sql = sql
        self.checksum = hashlib.sha256(sql.encode()).hexdigest()


def migrations() -> list[Migration]:
    """Return the migrations in their order."""
    folder = resources.files("shared").joinpath("migrations")
    files = sorted((f for f in folder.iterdir() if f.name.endswith(".sql")), key=lambda f: f.name)
    return [Migration(f.name, f.read_text(encoding="utf-8")) for f in files]


CREATE_HISTORY = """
    CREATE TABLE IF NOT EXISTS schema_migrations (
        name       text PRIMARY KEY,
        checksum   text NOT NULL,
        applied_at timestamptz NOT NULL DEFAULT now()
    )
"""
SELECT_HISTORY = "SELECT name, checksum FROM schema_migrations"
INSERT_HISTORY = "INSERT INTO schema_migrations (name, checksum) VALUES ($1, $2)"
FORMAT_ALTER_ROLE = "SELECT format('ALTER ROLE %I PASSWORD %L', $1::text, $2::text)"
MAKE_PARTITIONS = """
    SELECT ensure_events_partition(now() + day * interval '1 day') FROM generate_series(0, 7) AS day
"""


async def migrate(
    connection: Connection, role_passwords: dict[str, str] | None = None
) -> list[str]:
    """Apply what is missing and return its names; two callers at once take turns.

    Raises `SystemExit` where a migration that was applied has been edited since.
    """
    await connection.execute("SELECT pg_advisory_lock($1)", ADVISORY_LOCK)
    try:
        await connection.execute(CREATE_HISTORY)
        rows = await connection.fetch(SELECT_HISTORY)
        history = {row["name"]: row["checksum"] for row in rows}
        applied = []
        for migration in migrations():
            if migration.name not in history:
                await _apply(connection, migration)
                applied.append(migration.name)
            elif history[migration.name] != migration.checksum:
                raise SystemExit(f"Migration {migration.name} was edited after it was applied")
        for role, password in (role_passwords or {}).items():
            await connection.execute(await connection.fetchval(FORMAT_ALTER_ROLE, role, password))
        await connection.execute(MAKE_PARTITIONS)
        return applied
    finally:
        await connection.execute("SELECT pg_advisory_unlock($1)", ADVISORY_LOCK)


async def _apply(connection: Connection, migration: Migration) -> None:
    for attempt in range(1, LOCK_ATTEMPTS + 1):
        try:
            async with connection.transaction():
                await connection.execute(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'")
                await connection.execute(f"SET LOCAL statement_timeout = '{STATEMENT_TIMEOUT}'")
                await connection.execute(migration.sql)
                await connection.execute(INSERT_HISTORY, migration.name, migration.checksum)
        except asyncpg.LockNotAvailableError:
            log.warning("migrate.locked", extra={"migration": migration.name, "attempt": attempt})
            if attempt == LOCK_ATTEMPTS:
                raise
            await asyncio.sleep(LOCK_RETRY_SECONDS)
        else:
            log.info("migrate.applied", extra={"migration": migration.name})
            return


async def _connect(dsn: str) -> Connection:
    for attempt in range(1, CONNECT_ATTEMPTS + 1):
        try:
            return await asyncpg.connect(dsn, timeout=CONNECT_RETRY_SECONDS)
        except (OSError, asyncpg.CannotConnectNowError) as error:
            last_error: Exception = error
            log.warning("migrate.waiting", extra={"attempt": attempt, "error": error})
            await asyncio.sleep(CONNECT_RETRY_SECONDS)
        except (asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            raise SystemExit(f"PostgreSQL can't be reached: {error}") from None
    raise SystemExit(f"PostgreSQL did not answer in {CONNECT_ATTEMPTS} attempts: {last_error}")


async def run(config: Settings) -> list[str]:
    """Wait for PostgreSQL, migrate, and return the names of the applied migrations."""
    connection = await _connect(config.postgres_dsn)
    try:
        return await migrate(connection, config.role_passwords())
    finally:
        await connection.close()


if __name__ == "__main__":
    argparse.ArgumentParser(prog="python -m shared.migrate", description=__doc__).parse_args()
    logs.configure("migrate")
    asyncio.run(run(settings.load(Settings)))
