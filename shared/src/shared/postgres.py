"""Connection pools with the limits we rely on."""

import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import asyncpg
from asyncpg.connect_utils import SessionAttribute
from prometheus_client import Counter, Histogram

if TYPE_CHECKING:  # generic in the stubs only
    from asyncpg.pool import PoolConnectionProxy

    Connection = asyncpg.Connection[asyncpg.Record] | PoolConnectionProxy[asyncpg.Record]
    Pool = asyncpg.Pool[asyncpg.Record]
else:
    Connection = asyncpg.Connection
    Pool = asyncpg.Pool

CONNECT_TIMEOUT_SECONDS = 2.0

WAIT_SECONDS = Histogram(
    "shortwire_pool_wait_seconds",
    "Waits for a connection to PostgreSQL, opening it included.",
    buckets=(0.0001, 0.00025, 0.001, 0.0025, 0.01, 0.025, 0.1, 0.25, 0.5, 1.0, 2.0),
)
WAITS_GIVEN_UP = Counter(
    "shortwire_pool_waits_given_up_total", "Waits for a connection to PostgreSQL without success."
)


async def create_pool(
    dsn: str,
    *,
    name: str,
    max_size: int,
    command_timeout: float,
    reset: Callable[[Any], Awaitable[None]] | None = None,
    standbys: bool = False,
    **server_settings: str,
) -> Pool:
    """Return a pool that connects when first used, so that start-up order does not matter.

    `command_timeout` bounds each query in seconds, here and in the server; the wait for a free
    connection is bounded only by `lend`. `server_settings` are PostgreSQL's.
    """
    connect: Any = _connect_to_a_standby if standbys else None
    return await asyncpg.create_pool(
        dsn,
        min_size=0,
        max_size=max_size,
        timeout=CONNECT_TIMEOUT_SECONDS,
        command_timeout=command_timeout,
        reset=reset,
        connect=connect,
        server_settings={
            "application_name": name,
            "statement_timeout": str(int(command_timeout * 1000)),
            "idle_in_transaction_session_timeout": "10000",
            **server_settings,
        },
    )


async def _connect_to_a_standby(dsn: str, **options: Any) -> Any:  # noqa: ANN401 - passed on
    """Connect to a standby among the hosts of `dsn`, beginning anywhere.

    asyncpg begins with the first, and one that does not answer takes all the time there is.
    """
    parts = urlsplit(dsn)
    credentials, at, hosts = parts.netloc.rpartition("@")
    names = hosts.split(",")
    netloc = f"{credentials}{at}{','.join(random.sample(names, len(names)))}"
    return await asyncpg.connect(
        parts._replace(netloc=netloc).geturl(),
        target_session_attrs=SessionAttribute.standby,
        **options,
    )


@asynccontextmanager
async def lend(pool: Pool, *, timeout: float) -> AsyncIterator[Connection]:
    """Lend a connection; raises one of `errors.DATABASE_UNAVAILABLE` after `timeout` seconds."""
    began = time.perf_counter()
    try:
        connection = await pool.acquire(timeout=timeout)
    except BaseException:
        WAITS_GIVEN_UP.inc()
        raise
    finally:
        WAIT_SECONDS.observe(time.perf_counter() - began)
    try:
        yield connection
    finally:
        await pool.release(connection)
