"""Sends what is due: a few at once for each webhook, so that a slow one holds up none."""

import asyncio
import logging
import random
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from importlib.metadata import version

import aiohttp
import msgspec
from yarl import URL

from management import webhook_metrics, webhook_repository
from management.connections import connection
from management.public_addresses import NotPublic, PublicResolver, check_literal
from management.webhook_messages import sign
from management.webhook_repository import Due
from shared.errors import DATABASE_UNAVAILABLE, TRANSACTION_CONFLICT
from shared.postgres import Pool

log = logging.getLogger(__name__)

POLL_SECONDS = 0.5
CONNECT_SECONDS = 5.0
TOTAL_SECONDS = 15.0
LEASE_SECONDS = 60.0  # well above TOTAL_SECONDS: who is killed leaves a delivery for so long
EACH = 4  # of one webhook at once
MOST = 64  # at once in all
MAX_ATTEMPTS = 12
BACKOFF_FACTOR = 3
BACKOFF_MAX_SECONDS = 6 * 3600.0  # with 5 s at first, twelve attempts are spread over a day
MAX_ERROR = 200
GONE = 410
FORGET_SECONDS = 3600.0
DATABASE_ERRORS = (*DATABASE_UNAVAILABLE, *TRANSACTION_CONFLICT)


class Outcome(msgspec.Struct, frozen=True):
    """What came of an attempt."""

    status: int | None = None
    error: str = ""


def backoff(attempts: int, first_seconds: float) -> float | None:
    """Return after how long to try again, with jitter; None after the last attempt."""
    if attempts >= MAX_ATTEMPTS:
        return None
    seconds = first_seconds * float(BACKOFF_FACTOR ** (attempts - 1))
    return min(BACKOFF_MAX_SECONDS, seconds) * random.uniform(0.5, 1.0)  # noqa: S311


@asynccontextmanager
async def opened_session(*, private_targets: bool) -> AsyncIterator[aiohttp.ClientSession]:
    """Lend a client that connects to public addresses only, unless private ones are allowed."""
    connector = aiohttp.TCPConnector(
        resolver=None if private_targets else PublicResolver(),
        use_dns_cache=False,  # resolved and checked for each connection,
        force_close=True,  # and each connection is for one message
        limit=MOST,
    )
    async with aiohttp.ClientSession(
        connector=connector,
        timeout=aiohttp.ClientTimeout(total=TOTAL_SECONDS, sock_connect=CONNECT_SECONDS),
        headers={"User-Agent": f"Shortwire/{version('shortwire-management')}"},
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
    ) as session:
        yield session


class Sender:
    """Sends until cancelled; what was taken and not ended is taken again after the lease."""

    def __init__(
        self,
        pool: Pool,
        session: aiohttp.ClientSession,
        *,
        private_targets: bool,
        retry_seconds: float,
        lease_seconds: float = LEASE_SECONDS,
    ) -> None:
        self._pool = pool
        self._session = session
        self._private_targets = private_targets
        self._retry_seconds = retry_seconds
        self._lease_seconds = lease_seconds
        self._busy: dict[int, int] = {}  # attempts under way, by webhook
        self._forget_at = 0.0

    async def run(self) -> None:
        """Send what is due, as it becomes due; the database may come and go."""
        async with asyncio.TaskGroup() as sending:
            while True:
                try:
                    due = await self._take()
                except DATABASE_ERRORS as error:
                    log.warning("webhooks.retry", extra={"error": error})
                    due = []
                for each in due:
                    self._busy[each.webhook_id] = self._busy.get(each.webhook_id, 0) + 1
                    sending.create_task(self._send(each))
                if not due:
                    await asyncio.sleep(POLL_SECONDS)

    async def _take(self) -> Sequence[Due]:
        room = MOST - sum(self._busy.values())
        if room <= 0:
            return []
        async with connection(self._pool) as lent:
            if time.monotonic() >= self._forget_at:
                self._forget_at = time.monotonic() + FORGET_SECONDS
                await webhook_repository.forget(lent)
            return await webhook_repository.take(
                lent,
                list(self._busy),
                each=EACH,
                most=room,
                lease_seconds=self._lease_seconds,
            )

    async def _send(self, due: Due) -> None:
        try:
            began = time.perf_counter()
            outcome = await self._attempt(due)
            webhook_metrics.SECONDS.observe(time.perf_counter() - began)
            await self._note(due, outcome)
        except DATABASE_ERRORS as error:  # it is sent again: at least once
            log.warning("webhooks.not_noted", extra={"delivery": due.id, "error": error})
        finally:
            self._busy[due.webhook_id] -= 1
            if not self._busy[due.webhook_id]:
                del self._busy[due.webhook_id]

    async def _attempt(self, due: Due) -> Outcome:
        timestamp = int(time.time())
        headers = {
            "Content-Type": "application/json",
            "webhook-id": due.message_id,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": sign(due.secret, due.message_id, timestamp, due.body),
        }
        try:
            url = URL(due.url)
            if not self._private_targets:
                check_literal(url.host or "")
            # The answer's body is not read: its status says all.
            async with self._session.post(
                url, data=due.body.encode(), headers=headers, allow_redirects=False
            ) as response:
                status = response.status
        except NotPublic as error:
            return Outcome(error=str(error))
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return Outcome(error=_sentence(error))
        return Outcome(status, "" if 200 <= status < 300 else f"It answered {status}")

    async def _note(self, due: Due, outcome: Outcome) -> None:
        async with connection(self._pool) as lent:
            if not outcome.error:
                assert outcome.status is not None
                await webhook_repository.succeed(lent, due.id, outcome.status)
                webhook_metrics.ATTEMPTS.labels("delivered").inc()
                return
            retry_seconds = backoff(due.attempts, self._retry_seconds)
            await webhook_repository.fail(
                lent,
                due.id,
                status=outcome.status,
                error=outcome.error[:MAX_ERROR],
                retry_seconds=retry_seconds,
                is_gone=outcome.status == GONE,
            )
        webhook_metrics.ATTEMPTS.labels("dead" if retry_seconds is None else "failed").inc()
        facts = {"webhook": due.webhook_id, "delivery": due.id, "error": outcome.error}
        log.warning("webhooks.failed", extra=facts)


def _sentence(error: Exception) -> str:
    """Say what went wrong, without an address that a name stands for."""
    cause = error.__cause__ or error
    if isinstance(cause, NotPublic):
        return str(cause)
    if isinstance(error, TimeoutError):
        return f"No answer within {TOTAL_SECONDS:.0f} s"
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return "No connection: the name of the host is not known"
    return f"No connection: {type(error).__name__}"
