"""A Redis Cluster of three nodes on loopback, whose nodes can be killed and started again."""

import asyncio
import os
import secrets
import signal
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from redis.asyncio import Redis
from redis.crc import key_slot

from shared import redis_client
from shortwire import processes, servers

NODES = 3
SLOTS = 16_384
GOSSIP_OFFSET = 10_000  # from a node's port to that of its gossip; Redis 6.2 has no setting for it
FORM_SECONDS = 20.0
# One node away must not stop the others. 500 ms: a dead node is noticed while a test waits.
SETTINGS = {
    "cluster-enabled": "yes",
    "cluster-config-file": "nodes.conf",
    "cluster-node-timeout": "500",
    "cluster-require-full-coverage": "no",
}

Step = Literal["moving", "moved"]


class LocalCluster:
    """Nodes without replicas, each with a third of the slots."""

    def __init__(self, folder: Path, name: str, settings: Mapping[str, str]) -> None:
        self.ports: list[int] = []
        while len(self.ports) < NODES:
            if (port := _free_port()) not in self.ports:
                self.ports.append(port)
        self._password = secrets.token_hex(8)
        self._folder = folder
        self._programs = [
            servers.redis(
                f"{name}-{number}",
                folder / f"{name}-{number}",
                port,
                self._password,
                {**settings, **SETTINGS},
            )
            for number, port in enumerate(self.ports)
        ]
        self._children = [processes.start(program, folder) for program in self._programs]

    @property
    def url(self) -> str:
        """The address of the whole cluster."""
        hosts = ",".join(f"{servers.LOOPBACK}:{port}" for port in self.ports)
        return f"redis+cluster://:{self._password}@{hosts}"

    def node(self, number: int) -> Redis:
        """A client of one node only."""
        url = servers.redis_url(self.ports[number], self._password)
        return redis_client.connect(url, name="tests", max_connections=8, timeout=5)

    async def form(self) -> None:
        """Give each node its slots and introduce them to each other."""
        for number in range(NODES):
            async with self.node(number) as node:
                await command(node, "CLUSTER SET-CONFIG-EPOCH", number + 1)
                share = range(number * SLOTS // NODES, (number + 1) * SLOTS // NODES)
                await command(node, "CLUSTER ADDSLOTS", *share)
                await command(node, "CLUSTER MEET", servers.LOOPBACK, self.ports[0])
        await self.whole()

    async def whole(self) -> None:
        """Wait until every node knows that all are there, and all tell the same."""
        async with asyncio.timeout(FORM_SECONDS):
            while not _is_whole([await self._view(number) for number in range(NODES)]):
                await asyncio.sleep(0.05)

    async def _view(self, number: int) -> tuple[dict[str, str], list[Any]]:
        """What a node says of the cluster, and of who holds which slots."""
        async with self.node(number) as node:
            info = await command(node, "CLUSTER INFO")
            return info, sorted(await command(node, "CLUSTER SLOTS"))

    def owner_of(self, key: str) -> int:
        """The number of the node that was given the slot of `key`."""
        return key_slot(key.encode()) * NODES // SLOTS

    def key_of(self, number: int) -> str:
        """A key of a node."""
        return next(key for key in map(str, range(100)) if self.owner_of(key) == number)

    async def move(self, slot: int, source: int, target: int, *, stop_at: Step = "moved") -> None:
        """Move a slot as `redis-cli --cluster reshard` does, but its keys; or stop half-way."""
        await self.whole()  # a taker that knows an old epoch takes one twice: two owners for good
        async with self.node(source) as giver, self.node(target) as taker:
            giver_id, taker_id = [await _id(node) for node in (giver, taker)]
            await command(taker, "CLUSTER SETSLOT", slot, "IMPORTING", giver_id)
            await command(giver, "CLUSTER SETSLOT", slot, "MIGRATING", taker_id)
            if stop_at == "moving":
                return
            await command(taker, "CLUSTER SETSLOT", slot, "NODE", taker_id)
            await command(giver, "CLUSTER SETSLOT", slot, "NODE", taker_id)

    def kill(self, number: int) -> None:
        """Kill a node, as a power cut does."""
        self._children[number].bury()

    def stop_answering(self, number: int) -> None:
        """Have a node accept connections, and say nothing."""
        os.kill(self._children[number].pid, signal.SIGSTOP)

    async def answer_again(self, number: int) -> None:
        os.kill(self._children[number].pid, signal.SIGCONT)
        await self.whole()

    async def revive(self, number: int) -> None:
        """Start a killed node again; it comes back under its address, with its slots."""
        self._children[number] = processes.start(self._programs[number], self._folder)
        await self.whole()

    async def flush(self) -> None:
        """Empty all nodes."""
        for number in range(NODES):
            async with self.node(number) as node:
                await node.flushall()

    def stop(self) -> None:
        for child in self._children:
            child.stop()


async def _id(node: Redis) -> str:
    name = await command(node, "CLUSTER MYID")
    return name.decode() if isinstance(name, bytes) else str(name)


async def command(node: Redis, *words: str | int) -> Any:
    """Send what redis-py has no typed method for."""
    return await node.execute_command(*words)  # type: ignore[no-untyped-call]


def _is_whole(views: list[tuple[dict[str, str], list[Any]]]) -> bool:
    """A node that started takes no commands for two seconds, though it knows the others."""
    first, shares = views[0]
    return all(
        info["cluster_known_nodes"] == str(NODES)
        and info["cluster_slots_ok"] == str(SLOTS)
        and info["cluster_state"] == "ok"
        and info["cluster_current_epoch"] == first["cluster_current_epoch"]
        and held == shares
        for info, held in views
    )


def _free_port() -> int:
    """Return a free port whose gossip port is free, too."""
    while True:
        port = servers.free_port()
        if port + GOSSIP_OFFSET > 65_535:
            port -= 30_000
        try:
            for each in (port, port + GOSSIP_OFFSET):
                with socket.socket() as probe:
                    probe.bind((servers.LOOPBACK, each))
        except OSError:
            continue
        return port
