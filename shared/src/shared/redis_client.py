"""Redis clients with the limits we rely on."""

from urllib.parse import urlsplit

from redis.asyncio import Redis
from redis.asyncio.connection import DefaultParser
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from shared.errors import ServerRefuses
from shared.redis_cluster import Address, RedisCluster

CONNECT_TIMEOUT_SECONDS = 1.0
PORT = 6379
CLUSTER = "+cluster"  # behind the scheme of an address: redis+cluster://, rediss+cluster://

# Replies that tell of the server, not of the command; redis-py knows some of them only.
REFUSALS = (
    "MISCONF",  # what is written can't be saved: its disk is full
    "NOREPLICAS",  # fewer follow than `min-replicas-to-write`
    "UNBLOCKED",  # a reader that waits is sent away: the server is the master no more
)


class _Parser(DefaultParser):  # type: ignore[misc, valid-type] # hiredis's, where it is there
    EXCEPTION_CLASSES = DefaultParser.EXCEPTION_CLASSES | dict.fromkeys(REFUSALS, ServerRefuses)


def connect(url: str, *, name: str, max_connections: int, timeout: float | None) -> Redis:
    """Return a client that opens its connections when used and never repeats a command.

    redis-py repeats commands by default, writes included, after an error whose outcome is
    unknown. `timeout` bounds each reply in seconds; None leaves that to the caller, who then
    wraps calls in `asyncio.timeout` (cheaper on Python 3.11).

    The address of a cluster names some of its nodes, by commas; `max_connections` is for each.
    """

    def one(address: str) -> Redis:
        return Redis.from_url(
            address,
            client_name=name,
            max_connections=max_connections,
            socket_connect_timeout=CONNECT_TIMEOUT_SECONDS,
            socket_timeout=timeout,
            parser_class=_Parser,
            retry=Retry(NoBackoff(), 0),
            retry_on_error=[],
        )

    parts = urlsplit(url)
    if not parts.scheme.endswith(CLUSTER):
        return one(url)
    credentials, at, hosts = parts.netloc.rpartition("@")
    scheme = parts.scheme.removesuffix(CLUSTER)

    def connect_node(address: Address) -> Redis:
        host, port = address
        netloc = f"{credentials}{at}{_bracketed(host)}:{port}"
        return one(parts._replace(scheme=scheme, netloc=netloc, path="").geturl())

    return RedisCluster([_address(host) for host in hosts.split(",")], connect_node)


async def node_of(redis: Redis, key: str) -> Redis:
    """Return the client of the one server that holds `key`, for what is asked of a server."""
    return await redis.node_of(key) if isinstance(redis, RedisCluster) else redis


def part_of(redis: Redis, key: str) -> Redis:
    """Return what is away when `key` cannot be had: a node of a cluster, as far as known."""
    return redis.part_of(key) if isinstance(redis, RedisCluster) else redis


def nodes(redis: Redis) -> list[Redis]:
    """Return the client of each server known."""
    return redis.nodes if isinstance(redis, RedisCluster) else [redis]


def _address(text: str) -> Address:
    parts = urlsplit(f"//{text}")
    return parts.hostname or "localhost", parts.port or PORT


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
