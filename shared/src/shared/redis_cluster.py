"""A Redis Cluster behind the interface of one Redis: each command goes to the node of its key.

Not redis-py's `RedisCluster`: docs/decisions/0034-a-cluster-client-of-our-own.md.
The protocol: https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/
"""

import asyncio
import logging
import random
import time
from collections.abc import Callable, Sequence
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.client import Pipeline
from redis.cluster import AbstractRedisCluster, parse_cluster_slots
from redis.crc import REDIS_CLUSTER_HASH_SLOTS, key_slot
from redis.exceptions import AskError, ClusterDownError, MovedError, RedisError
from redis.typing import EncodableT

log = logging.getLogger(__name__)

LEARN_SECONDS = 1.0  # at most so often the nodes are asked who holds what
ASK_SECONDS = 1.0  # for one node's answer to that
OF_ANY_NODE = {"PING", "RANDOMKEY"}
WITHOUT_KEY = set(AbstractRedisCluster.COMMAND_FLAGS)
KEY_AT = {"EVAL": 3, "EVALSHA": 3, "OBJECT": 2}  # elsewhere behind the command

Address = tuple[str, int]


class RedisCluster(Redis):
    """Asks, for each key, the node that holds it; to be used as a `Redis`.

    All keys of a command, and of a pipeline, must be in one slot. What the other nodes do is not
    touched by one that is away: its slots fail, and who holds them is asked again, beside the
    commands. A command that came to the wrong node was not executed, and is sent on once; nothing
    else is ever repeated, and pipelines are not.
    """

    def __init__(self, seeds: Sequence[Address], connect: Callable[[Address], Redis]) -> None:
        """Begin with `seeds`, some of the nodes; `connect` makes the client of a node."""
        self._connect = connect
        self._seeds = list(seeds)
        self._nodes = {address: connect(address) for address in seeds}
        self._holders: list[Address | None] = []  # by slot; empty until learned
        self._learning: asyncio.Task[None] | None = None
        self._learned_at = float("-inf")
        super().__init__(connection_pool=self._nodes[seeds[0]].connection_pool)

    @property
    def nodes(self) -> list[Redis]:
        """The clients of all nodes known."""
        return list(self._nodes.values())

    async def node_of(self, key: str) -> Redis:
        """Return the client of the node that holds `key`; raises what Redis clients raise."""
        _, node = await self.holder(key_slot(key.encode()))
        return node

    def part_of(self, key: str) -> Redis:
        """Return the client of the node that holds `key`, as far as known: else this one."""
        address = self._holders[key_slot(key.encode())] if self._holders else None
        return self if address is None else self._nodes[address]

    async def execute_command(self, *args: EncodableT, **options: object) -> object:
        """Send a command to the node of its key."""
        slot = slot_of(args)
        address, node = await self.holder(_any_slot() if slot is None else slot)
        try:
            return await _send(node, *args, **options)
        except MovedError as error:  # before its base, AskError
            moved = self.note_move(address, error)
        except AskError as error:
            return await self._ask(self._add(_target(address, error)), args, options)
        except (OSError, RedisError, asyncio.CancelledError):  # a caller's time limit cancels
            self.doubt()
            raise
        return await _send(self._nodes[moved], *args, **options)

    def pipeline(self, transaction: bool = True, shard_hint: str | None = None) -> Pipeline:
        """Return a pipeline for keys of one slot."""
        return _OneSlotPipeline(self, transaction=transaction, shard_hint=shard_hint)

    async def aclose(self, close_connection_pool: bool | None = None) -> None:
        """Close the connections to all nodes."""
        if self._learning is not None:
            self._learning.cancel()
            await asyncio.gather(self._learning, return_exceptions=True)
        for node in self.nodes:
            await node.aclose(close_connection_pool)

    async def holder(self, slot: int) -> tuple[Address, Redis]:
        """Return the node of `slot`; raises `ClusterDownError` where there is none."""
        if not self._holders:
            await asyncio.shield(self._learn_once())
        address = self._holders[slot]
        if address is None:
            self.doubt()
            raise ClusterDownError(f"Slot {slot} belongs to no node")
        return address, self._nodes[address]

    def doubt(self) -> None:
        """Ask again who holds what, in the background, unless that was just now."""
        if time.monotonic() - self._learned_at > LEARN_SECONDS:
            self._learn_once()

    def note_move(self, asked: Address, error: MovedError) -> Address:
        """Take in what a node said of a slot that it does not hold; return who does."""
        address = self._add(_target(asked, error))
        if self._holders:
            self._holders[error.slot_id] = address
        self.doubt()
        return address

    async def _ask(
        self, address: Address, args: Sequence[EncodableT], options: dict[str, object]
    ) -> object:
        """Send a command of a slot that is being moved to `address`, where it is not yet known."""
        async with self._nodes[address].pipeline(transaction=False) as pipeline:
            pipeline.execute_command("ASKING")  # counts for the next command of its connection
            pipeline.execute_command(*args, **options)
            _, answer = await pipeline.execute()
        return answer

    def _learn_once(self) -> asyncio.Task[None]:
        """Return the one question under way; a caller who leaves does not end it."""
        if self._learning is None or self._learning.done():
            self._learning = asyncio.get_running_loop().create_task(self._learn())
            self._learning.add_done_callback(_mark_as_seen)
        return self._learning

    async def _learn(self) -> None:
        """Ask one node after the other who holds what, until one tells."""
        self._learned_at = time.monotonic()
        failure: Exception = ClusterDownError("No node knows a cluster")
        for address in random.sample(list(self._nodes), len(self._nodes)):
            try:
                async with asyncio.timeout(ASK_SECONDS):
                    shares = await _send(self._nodes[address], "CLUSTER SLOTS")
            except (OSError, RedisError) as error:
                log.warning("cluster.node_away", extra={"node": address, "error": error})
                failure = error
                continue
            if shares:
                await self._take(parse_cluster_slots(shares, current_host=address[0]))
                return
        raise failure

    async def _take(self, shares: dict[tuple[int, int], dict[str, Any]]) -> None:
        holders: list[Address | None] = [None] * REDIS_CLUSTER_HASH_SLOTS
        for (first, last), nodes in shares.items():
            address = self._add(nodes["primary"])
            holders[first : last + 1] = [address] * (last + 1 - first)
        self._holders = holders
        # All before the first wait: one that is named again meanwhile gets a client of its own.
        gone = [self._nodes.pop(each) for each in {*self._nodes} - {*holders} - {*self._seeds}]
        for node in gone:
            await node.aclose()

    def _add(self, address: Address) -> Address:
        if address not in self._nodes:
            self._nodes[address] = self._connect(address)
        return address


class _OneSlotPipeline(Pipeline):
    """Finds its node when it is executed."""

    def __init__(self, cluster: RedisCluster, *, transaction: bool, shard_hint: str | None) -> None:
        self._cluster = cluster
        super().__init__(
            cluster.connection_pool, cluster.response_callbacks, transaction, shard_hint
        )

    async def execute(self, raise_on_error: bool = True) -> list[Any]:
        """Send all to one node; a redirection is an error, and the next try goes right."""
        slots = {slot_of(args) for args, _ in self.command_stack}
        slot = slots.pop() if len(slots) == 1 else None
        if slot is None:
            raise ValueError("A pipeline to a cluster has keys of one slot")
        address, node = await self._cluster.holder(slot)
        self.connection_pool = node.connection_pool
        try:
            return await super().execute(raise_on_error)
        except MovedError as error:
            self._cluster.note_move(address, error)
            raise
        except (OSError, RedisError, asyncio.CancelledError):
            self._cluster.doubt()
            raise


def slot_of(args: Sequence[EncodableT]) -> int | None:
    """Return the slot of a command's first key, None where any node may answer.

    Raises `ValueError` for a command of one server: ask the client of a node.
    """
    command = str(args[0]).upper()
    if command in OF_ANY_NODE:
        return None
    if command in WITHOUT_KEY:
        raise ValueError(f"{command} has no key: ask a node for it")
    if command in {"XREAD", "XREADGROUP"}:
        key = args[args.index(b"STREAMS") + 1]
    else:
        key = args[KEY_AT.get(command, 1)]
    return key_slot(key if isinstance(key, bytes) else str(key).encode())


def _any_slot() -> int:
    return random.randrange(REDIS_CLUSTER_HASH_SLOTS)  # noqa: S311 - no secret


async def _send(node: Redis, *args: EncodableT, **options: object) -> Any:  # noqa: ANN401
    return await node.execute_command(*args, **options)  # type: ignore[no-untyped-call]


def _target(asked: Address, error: AskError) -> Address:
    return error.host or asked[0], error.port  # without a host: the one that was asked


def _mark_as_seen(task: asyncio.Task[None]) -> None:
    if not task.cancelled():
        task.exception()
