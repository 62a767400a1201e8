"""Make, list and revoke API keys from the shell: `python -m management.keys --help`."""

import argparse
import asyncio
import re
import sys
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta

import asyncpg
import msgspec

from management import audit_repository, fields, key_repository
from management.auth import new_secret
from management.errors import Conflict
from management.key_repository import ListedKey, NewKey
from management.scopes import SCOPES, Scope
from shared import settings
from shared.postgres import Connection

TIMEOUT_SECONDS = 10.0
BY_COMMAND = {"by": "command line"}  # of the audit's records: no key asked for it
DURATION = re.compile(r"(\d{1,5})([dh])\Z")
INTRODUCTION = """\
Make, list and revoke the keys of the API. The database is named by POSTGRES_DSN; `shortwire keys`
names that of the system that runs here.

A key's scope is read (see), write (see and change; the default) or admin (do all, for everybody).
Keys with the scope read or write belong to a user, and see and change only what is theirs.
"""
EXAMPLES = """\
examples:
  keys create --name laptop --user-id 1
  keys create --name dashboard --user-id 1 --scope read --expires 90d
  keys create --name operator --admin
  keys list --user-id 1 --json
  keys revoke 7
"""


class Settings(settings.Settings, frozen=True, kw_only=True):
    """Where the database is."""

    postgres_dsn: str


class MadeKey(msgspec.Struct, frozen=True):
    """A new key, shown only now."""

    id: int
    name: str
    scope: Scope
    user_id: int | None
    expires_at: datetime | None
    key: str


class Revoked(msgspec.Struct, frozen=True):
    """A key that is useless from now on."""

    id: int
    is_revoked: bool = True


async def create(
    connection: Connection,
    *,
    name: str,
    user_id: int | None,
    scope: Scope,
    expires_at: datetime | None = None,
) -> MadeKey:
    """Make a key; raises `asyncpg.ForeignKeyViolationError` for an unknown user."""
    secret = new_secret()
    new = NewKey(
        user_id=user_id,
        name=name,
        prefix=secret.prefix,
        secret_hash=secret.secret_hash,
        scope=scope,
        expires_at=expires_at,
    )
    async with connection.transaction():
        key = await key_repository.insert(connection, new)
        facts = {"name": name, "scope": scope, **BY_COMMAND}
        await audit_repository.insert(
            connection, "key.created", user_id=user_id, subject_id=key.id, details=facts
        )
    return MadeKey(key.id, key.name, key.scope, user_id, key.expires_at, secret.key)


def _expiry(text: str) -> datetime:
    """Read when a key ends: `90d`, `12h`, or a time to come."""
    if duration := DURATION.match(text):
        count = int(duration[1])
        length = timedelta(days=count) if duration[2] == "d" else timedelta(hours=count)
        return datetime.now(UTC) + length
    try:
        moment: datetime = fields.future_time(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text} {error}, or a span such as 90d or 12h") from None
    return moment


def _name(text: str) -> str:
    try:
        return str(fields.text(fields.MAX_KEY_NAME)(text))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"a name {error}") from None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="keys",
        description=INTRODUCTION,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True, metavar="create | list | revoke")
    make = commands.add_parser("create", help="make a key and print it, once")
    make.add_argument("--name", required=True, type=_name, help="what the key is for")
    make.add_argument(
        "--user-id", type=int, metavar="ID", help="whose key it is; an admin key needs nobody"
    )
    scope = make.add_mutually_exclusive_group()
    scope.add_argument("--scope", choices=SCOPES, default="write", help="default: write")
    scope.add_argument(
        "--admin", dest="scope", action="store_const", const="admin", help="the scope admin"
    )
    make.add_argument(
        "--expires",
        type=_expiry,
        metavar="WHEN",
        help="90d, 12h, or a time in UTC such as 2030-01-01T00:00; default: never",
    )
    make.add_argument(
        "--if-none", action="store_true", help="only where no admin key is valid; prints nothing"
    )
    make.set_defaults(run=_create)
    show = commands.add_parser("list", help="show keys, never their secrets")
    show.add_argument("--user-id", type=int, metavar="ID", help="only this user's")
    show.add_argument("--all", action="store_true", help="revoked ones, too")
    show.set_defaults(run=_list)
    end = commands.add_parser("revoke", help="make a key useless, from the next request on")
    end.add_argument("id", type=int, help="as `list` shows it")
    end.set_defaults(run=_revoke)
    for command in (make, show, end):
        command.add_argument("--json", action="store_true", help="for programs")
    return parser


async def _create(connection: Connection, arguments: argparse.Namespace) -> str:
    if arguments.if_none and await key_repository.has_admin(connection):
        return ""
    made = await create(
        connection,
        name=arguments.name,
        user_id=arguments.user_id,
        scope=arguments.scope,
        expires_at=arguments.expires,
    )
    return _json(made) if arguments.json else made.key


async def _list(connection: Connection, arguments: argparse.Namespace) -> str:
    keys = await key_repository.find_all(connection, arguments.user_id, with_revoked=arguments.all)
    return _json(keys) if arguments.json else _table(keys, datetime.now(UTC).replace(tzinfo=None))


async def _revoke(connection: Connection, arguments: argparse.Namespace) -> str:
    async with connection.transaction():
        if not await key_repository.revoke(connection, arguments.id, None):
            raise SystemExit(f"There is no key {arguments.id}, or it is revoked already.")
        owner = await key_repository.owner_of(connection, arguments.id)
        await audit_repository.insert(
            connection, "key.revoked", user_id=owner, subject_id=arguments.id, details=BY_COMMAND
        )
    return _json(Revoked(arguments.id)) if arguments.json else f"Key {arguments.id} is revoked."


def _json(value: object) -> str:
    return msgspec.json.format(msgspec.json.encode(value), indent=2).decode()


def _table(keys: Sequence[ListedKey], now: datetime) -> str:
    if not keys:
        return "There are no keys."
    rows = [("ID", "PREFIX", "SCOPE", "USER", "NAME", "EXPIRES", "LAST USED", "STATE")]
    rows += [
        (
            str(key.id),
            key.prefix,
            key.scope,
            "-" if key.user_id is None else f"{key.user_id} {key.username}",
            key.name,
            _moment(key.expires_at, "never"),
            _moment(key.last_used_at, "never"),
            _state(key, now),
        )
        for key in keys
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )


def _moment(moment: datetime | None, otherwise: str) -> str:
    return otherwise if moment is None else moment.isoformat(" ", "minutes")


def _state(key: ListedKey, now: datetime) -> str:
    if key.revoked_at is not None:
        return "revoked"
    return "expired" if key.expires_at is not None and key.expires_at <= now else "valid"


async def _with_database(
    run: Callable[[Connection, argparse.Namespace], Awaitable[str]], arguments: argparse.Namespace
) -> str:
    connection = await asyncpg.connect(
        settings.load(Settings).postgres_dsn,
        timeout=TIMEOUT_SECONDS,
        command_timeout=TIMEOUT_SECONDS,
    )
    try:
        return await run(connection, arguments)
    finally:
        await connection.close()


def main() -> None:
    """Parse the command line and do what it says."""
    parser = _parser()
    arguments = parser.parse_args()
    if arguments.run is _create and arguments.user_id is None and arguments.scope != "admin":
        parser.error("give --user-id, or --admin")
    try:
        printed = asyncio.run(_with_database(arguments.run, arguments))
    except asyncpg.ForeignKeyViolationError:
        sys.exit(f"There is no user {arguments.user_id}.")
    except Conflict as error:
        sys.exit(f"{error.message}.")
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        sys.exit(f"The database did not do it: {error}")
    if printed:
        sys.stdout.write(f"{printed}\n")


if __name__ == "__main__":
    main()
