"""Remove what clicks tell of persons: `shortwire forget --help`."""

import argparse
import asyncio
import ipaddress
import sys
from datetime import UTC, datetime

import asyncpg

from management import visitor_repository
from management.visitor_repository import Forgotten
from shared import settings
from shared.errors import DATABASE_UNAVAILABLE
from shared.postgres import Connection

CONNECT_TIMEOUT_SECONDS = 5.0
DATABASE_ERRORS: tuple[type[Exception], ...] = (*DATABASE_UNAVAILABLE, asyncpg.PostgresError)
STEP_TIMEOUT_SECONDS = 600.0  # an address has no index: all clicks are looked through


class Settings(settings.Settings, frozen=True, kw_only=True):
    """Where the database is."""

    postgres_dsn: str


async def forget(connection: Connection, whose: Forgotten) -> int:
    """Remove the details, some clicks at a time, and return of how many clicks."""
    total = 0
    while count := await visitor_repository.forget(connection, whose):
        total += count
    return total


def _day(text: str) -> datetime:
    try:
        return datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text} must be a day like 2026-04-03") from None


def _address(text: str) -> str:
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text} must be an IP address") from None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="shortwire forget",
        description="Removes user agent, request id and address from stored clicks. What is left "
        "(device, browser, country, …) tells no person, and no statistics change. The database is "
        "named by POSTGRES_DSN. All conditions given have to hold; repeating it is harmless.",
    )
    parser.add_argument("--url-id", type=int, help="clicks of this URL")
    parser.add_argument("--user-id", type=int, help="clicks of this user's URLs")
    parser.add_argument(
        "--address", type=_address, help="clicks from this address; stored with IP_POLICY=full only"
    )
    parser.add_argument("--before", type=_day, help="clicks before this UTC day, like 2026-04-03")
    return parser


async def _run(dsn: str, whose: Forgotten) -> int:
    connection = await asyncpg.connect(
        dsn, timeout=CONNECT_TIMEOUT_SECONDS, command_timeout=STEP_TIMEOUT_SECONDS
    )
    try:
        return await forget(connection, whose)
    finally:
        await connection.close()


def main() -> None:
    """Parse the command line and forget."""
    parser = _parser()
    arguments = parser.parse_args()
    whose = Forgotten(arguments.url_id, arguments.user_id, arguments.address, arguments.before)
    if whose == Forgotten():
        parser.error("give --url-id, --user-id, --address or --before")
    try:
        count = asyncio.run(_run(settings.load(Settings).postgres_dsn, whose))
    except DATABASE_ERRORS as error:
        sys.exit(f"The database did not do it: {error}")
    sys.stdout.write(f"{count} clicks\n")


if __name__ == "__main__":
    main()
