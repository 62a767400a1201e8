"""PostgreSQL as a redirector reads links from it: the primary, or replicas that have caught up.

A replica's row counts only if the replica has replayed all that the primary's log held after the
question came up. It is then as good as the primary's own, for all that is done with it.
"""

import asyncio
from collections.abc import Mapping

from redirector import link_repository
from redirector.dependency import Dependency, DependencyDown
from redirector.link_repository import Behind
from redirector.lookups import counted
from shared.errors import DATABASE_UNAVAILABLE, TRANSACTION_CONFLICT
from shared.events import LinkRecord
from shared.postgres import Pool

PRIMARY_TIMEOUT_SECONDS = 1.0  # outermost: waiting for a connection and the query
REPLICA_TIMEOUT_SECONDS = 0.25  # the same, and that the primary can still be asked in time
GATHER_SECONDS = 0.005  # so long misses gather, to be one question to either


class LinkStore:
    """The links of one domain; without `replicas` the primary is asked for all."""

    def __init__(self, primary: Pool, replicas: Pool | None, domain: int) -> None:
        self._primary = primary
        self._replicas = replicas
        self._domain = domain
        self._gathering: _Batch | None = None
        self._primary_guard = Dependency(
            "database", timeout=PRIMARY_TIMEOUT_SECONDS, unavailable=DATABASE_UNAVAILABLE
        )
        if replicas is not None:
            self._replica_guard = Dependency(
                "replica",
                timeout=REPLICA_TIMEOUT_SECONDS,
                # A replica gives up queries that hold up what it has to replay.
                unavailable=(*DATABASE_UNAVAILABLE, *TRANSACTION_CONFLICT, Behind),
            )

    async def find(self, code: str) -> LinkRecord:
        """Return what is behind `code`; its state is `unknown` where there is no row.

        It is not older than the moment of the call. Raises `DependencyDown`.
        """
        if self._replicas is not None:
            try:
                return await counted("replica", self._find_in(self._replicas, code))
            except DependencyDown:
                pass  # the primary knows, too
        return await counted(
            "database",
            self._primary_guard.ask(
                lambda: link_repository.find(self._primary, self._domain, code)
            ),
        )

    async def _find_in(self, replicas: Pool, code: str) -> LinkRecord:
        batch = self._gathering
        if batch is None:
            batch = self._gathering = _Batch()
            batch.reading = asyncio.get_running_loop().create_task(self._read(replicas, batch))
            batch.reading.add_done_callback(_mark_as_seen)
        batch.codes.append(code)
        return (await asyncio.shield(batch.reading))[code]

    async def _read(self, replicas: Pool, batch: "_Batch") -> Mapping[str, LinkRecord]:
        await asyncio.sleep(GATHER_SECONDS)
        self._gathering = None  # who comes from here on needs a later end of the log

        async def read() -> Mapping[str, LinkRecord]:
            end = await self._primary_guard.ask(lambda: link_repository.end_of_log(self._primary))
            return await link_repository.find_after(replicas, self._domain, batch.codes, end)

        return await self._replica_guard.ask(read)


class _Batch:
    """Codes that are asked for together."""

    reading: asyncio.Task[Mapping[str, LinkRecord]]

    def __init__(self) -> None:
        self.codes: list[str] = []


def _mark_as_seen(task: asyncio.Task[Mapping[str, LinkRecord]]) -> None:
    if not task.cancelled():
        task.exception()
