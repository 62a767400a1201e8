"""Make an API key from the shell: `python -m management.keys create --help`."""

import argparse
import asyncio
import sys

import asyncpg

from management import key_repository
from management.auth import new_secret
from shared import settings

TIMEOUT_SECONDS = 10.0


class Settings(settings.Settings, frozen=True, kw_only=True):
    """Where the database is."""

    postgres_dsn: str


async def create(dsn: str, *, name: str, user_id: int | None, admin: bool, if_none: bool) -> str:
    """Make a key and return it, or return nothing if `if_none` and an admin key is valid."""
    connection = await asyncpg.connect(
        dsn, timeout=TIMEOUT_SECONDS, command_timeout=TIMEOUT_SECONDS
    )
    try:
        if if_none and await key_repository.has_admin(connection):
            return ""
        secret = new_secret()
        await key_repository.insert(
            connection,
            user_id=user_id,
            name=name,
            prefix=secret.prefix,
            secret_hash=secret.secret_hash,
            is_admin=admin,
            expires_at=None,
        )
        return secret.key
    finally:
        await connection.close()


def main() -> None:
    """Parse the command line and make the key."""
    parser = argparse.ArgumentParser(prog="python -m management.keys")
    commands = parser.add_subparsers(required=True)
    make = commands.add_parser(
        "create", help="make a key and print it, once; the database is named by POSTGRES_DSN"
    )
    make.add_argument("--name", required=True, help="what the key is for")
    make.add_argument("--user-id", type=int, help="whose key it is; an admin key needs none")
    make.add_argument("--admin", action="store_true", help="a key that may do everything")
    make.add_argument(
        "--if-none", action="store_true", help="only where no admin key is valid; prints nothing"
    )
    arguments = parser.parse_args()
    if arguments.user_id is None and not arguments.admin:
        parser.error("give --user-id, or --admin")
    dsn = settings.load(Settings).postgres_dsn
    try:
        key = asyncio.run(
            create(
                dsn,
                name=arguments.name,
                user_id=arguments.user_id,
                admin=arguments.admin,
                if_none=arguments.if_none,
            )
        )
    except asyncpg.ForeignKeyViolationError:
        sys.exit(f"There is no user {arguments.user_id}.")
    except (OSError, asyncpg.PostgresError) as error:
        sys.exit(f"The database did not do it: {error}")
    if key:
        sys.stdout.write(f"{key}\n")


if __name__ == "__main__":
    main()
