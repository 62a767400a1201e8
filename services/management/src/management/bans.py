"""What administrators forbid: hosts that links lead to, and codes. Asked within a transaction."""

from collections.abc import Iterator, Mapping
from urllib.parse import urlsplit

from management import banned_host_repository, reserved_code_repository
from management.url_repository import Content, Url
from shared.errors import DomainError
from shared.postgres import Connection


async def refuse_targets(
    connection: Connection, url: Url | Content, error: type[DomainError]
) -> None:
    """Raise `error` where a URL leads to a banned host; asked after it is written.

    The row that is written keeps a ban waiting, so that either sees the other.
    """
    details = (await find_in(connection, {0: url})).get(0)
    if details:
        raise error("; ".join(details.values()), details)


async def find_in(
    connection: Connection, urls: Mapping[int, Url | Content]
) -> dict[int, dict[str, str]]:
    """Return which of `urls` lead to a banned host, and of which field that is true."""
    targets = {
        key: [
            ("original_url", url.original_url),
            ("expired_url", url.expired_url or ""),
            *(("rules", each.target) for each in url.rules),
        ]
        for key, url in urls.items()
    }
    hosts = {target: set(_with_parents(target)) for each in targets.values() for _, target in each}
    banned = await banned_host_repository.find_banned(connection, set().union(*hosts.values()))
    details = {
        key: {
            field: f"{field} must not lead to the banned host {min(hosts[target] & banned)}"
            for field, target in each
            if hosts[target] & banned
        }
        for key, each in targets.items()
    }
    return {key: each for key, each in details.items() if each}


async def refuse_code(connection: Connection, code: str, error: type[DomainError]) -> None:
    """Raise `error` for a code that an administrator reserved."""
    if await reserved_code_repository.is_reserved(connection, code):
        message = "short_code is a reserved word"
        raise error(message, {"short_code": message})


def _with_parents(target: str) -> Iterator[str]:
    host = urlsplit(target).hostname or ""
    while host:
        yield host
        host = host.partition(".")[2]
