"""Redis clients with the limits we rely on."""

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

CONNECT_TIMEOUT_SECONDS = 1.0


def connect(url: str, *, name: str, max_connections: int, timeout: float | None) -> Redis:
    """Return a client that opens its connections when used and never repeats a command.

    redis-py repeats commands by default, writes included, after an error whose outcome is
    unknown. `timeout` bounds each reply in seconds; None leaves that to the caller, who then
    wraps calls in `asyncio.timeout` (cheaper on Python 3.11).
    """
    return Redis.from_url(
        url,
        client_name=name,
        max_connections=max_connections,
        socket_connect_timeout=CONNECT_TIMEOUT_SECONDS,
        socket_timeout=timeout,
        retry=Retry(NoBackoff(), 0),
        retry_on_error=[],
    )
