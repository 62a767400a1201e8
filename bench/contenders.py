"""Who is measured: what each is asked for, and where its clicks are counted."""

from collections.abc import Awaitable, Callable, Mapping, Sequence

import msgspec

from bench import click_repository, rivals
from bench.baseline import count_repository
from bench.installation import Installation
from bench.links import LINKS, WARM
from bench.wrk import Traffic
from shared import redis_client
from shared.postgres import Connection
from shortwire.processes import StartError

WARM_TRAFFIC = Traffic(code=WARM)
CACHED_LINKS = 1_000  # all in Redis, and never the one link that the redirector remembers


class Clicks(msgspec.Struct, frozen=True):
    """How stored clicks are counted."""

    last_id: Callable[[Connection], Awaitable[int]]
    count_since: Callable[[Connection, int], Awaitable[int]]


OURS = Clicks(click_repository.last_id, click_repository.count_since)
THEIRS = Clicks(count_repository.last_id, count_repository.count_since)


async def _nothing() -> None:
    pass


class Contender(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the table.

    `clicks` is None where none are recorded. `pauses_ingest`: clicks are stored after the turn,
    since on a small machine storing them takes the cores that are measured. `before` is done
    before each turn.
    """

    name: str
    what: str
    url: str
    traffic: Traffic = WARM_TRAFFIC
    clicks: Clicks | None = OURS
    pauses_ingest: bool = True
    before: Callable[[], Awaitable[None]] = _nothing


def start(installation: Installation, names: Sequence[str]) -> list[Contender]:
    """Start what the contenders of these names need, and return them, all of them for none."""
    unknown = set(names) - set(CONTENDERS)
    if unknown:
        raise StartError(
            f"No such contender: {', '.join(unknown)}; there are {', '.join(CONTENDERS)}"
        )
    return [CONTENDERS[name](installation) for name in CONTENDERS if name in names or not names]


def _nginx(installation: Installation) -> Contender:
    url = rivals.nginx(installation, "nginx")
    return Contender(name="nginx", what="Nginx, one worker, return 302", url=url, clicks=None)


def _redirector(installation: Installation) -> Contender:
    url = installation.stack.redirectors[0].url
    return Contender(name="redirector", what="redirector, link remembered", url=url)


def _redirector_ingest(installation: Installation) -> Contender:
    return Contender(
        name="redirector-ingest",
        what="the same, clicks stored meanwhile on the same cores",
        url=installation.stack.redirectors[0].url,
        pauses_ingest=False,
    )


def _near_miss(installation: Installation) -> Contender:
    cache_url = installation.stack.cache.url
    return Contender(
        name="near-miss",
        what="redirector, link not remembered, in Redis",
        url=rivals.redirector(installation, "near-miss", cache_url, near_links=1).url,
        traffic=Traffic(links=CACHED_LINKS),
    )


def _all_miss(installation: Installation) -> Contender:
    cache_url = rivals.cache(installation, "all-miss-cache")

    async def empty_cache() -> None:
        async with redis_client.connect(
            cache_url, name="bench", max_connections=1, timeout=5.0
        ) as cache:
            await cache.flushall()

    return Contender(
        name="all-miss",
        what="redirector, link only in PostgreSQL",
        url=rivals.redirector(installation, "all-miss", cache_url, near_links=1).url,
        traffic=Traffic(links=LINKS),  # more than it asks for in a turn,
        before=empty_cache,
    )


def _asgi(installation: Installation) -> Contender:
    url = rivals.plain_asgi(installation)
    return Contender(name="asgi", what="plain ASGI on uvicorn, 302", url=url, clicks=None)


def _gateway(installation: Installation) -> Contender:
    url = installation.stack.gateway.url
    return Contender(name="gateway", what="through the gateway, all of it on", url=url)


def _gateway_static(installation: Installation) -> Contender:
    upstream = rivals.nginx(installation, "static")
    url = rivals.gateway_before(installation, upstream)
    what = "the same gateway before such an Nginx"
    return Contender(name="gateway-static", what=what, url=url, clicks=None)


def _flask(installation: Installation) -> Contender:
    url = rivals.flask(installation)
    return Contender(
        name="flask", what="Flask, Gunicorn 2x4, Peewee, Redis", url=url, clicks=THEIRS
    )


# In the order of their turns.
CONTENDERS: Mapping[str, Callable[[Installation], Contender]] = {
    "nginx": _nginx,
    "redirector": _redirector,
    "redirector-ingest": _redirector_ingest,
    "near-miss": _near_miss,
    "all-miss": _all_miss,
    "asgi": _asgi,
    "gateway": _gateway,
    "gateway-static": _gateway_static,
    "flask": _flask,
}
