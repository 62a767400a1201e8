"""The client of a cluster, on a real one: the right node, redirections, and a node away."""

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from typing import cast

import pytest
from redis.asyncio import Redis, SSLConnection
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import MaxConnectionsError, MovedError, RedisError

from shared import redis_client, settings
from shared.redis_cluster import RedisCluster, slot_of
from shared.streams import Entries
from tests.redis_cluster import NODES, LocalCluster, command
from tests.waiting import eventually

ADD = "return redis.call('INCRBY', KEYS[1], ARGV[1])"
Read = list[tuple[bytes, Entries]]
KEYS = [f"key:{number}" for number in range(300)]


@pytest.fixture
async def client(cluster: LocalCluster) -> AsyncIterator[Redis]:
    async with connect(cluster) as client:
        yield client


def connect(cluster: LocalCluster, *, max_connections: int = 50) -> Redis:
    return redis_client.connect(
        cluster.url, name="tests", max_connections=max_connections, timeout=2
    )


async def test_each_key_is_kept_by_its_node(client: Redis, cluster: LocalCluster) -> None:
    await asyncio.gather(*(client.set(key, key) for key in KEYS[:50]))

    for key in KEYS[:50]:
        async with cluster.node(cluster.owner_of(key)) as node:
            assert await node.get(key) == key.encode() == await client.get(key)


async def test_scripts_streams_and_transactions_find_their_node(client: Redis) -> None:
    for key in KEYS[:10]:
        assert await client.eval(ADD, 1, key, "2") == 2
        async with client.pipeline(transaction=True) as pipeline:
            pipeline.incr(key)
            pipeline.expire(key, 60)
            assert await pipeline.execute() == [3, True]
        await client.xadd(f"stream:{key}", {"a": "b"})
        read = await client.xread({f"stream:{key}": "0"}, count=1, block=10)
        assert cast("Read", read)[0][1][0][1] == {b"a": b"b"}
        assert (await client.xinfo_stream(f"stream:{key}"))["length"] == 1


async def test_a_pipeline_of_several_slots_is_refused(client: Redis) -> None:
    async with client.pipeline(transaction=False) as pipeline:
        pipeline.incr("a")
        pipeline.incr("b")
        with pytest.raises(ValueError, match="one slot"):
            await pipeline.execute()

    assert await client.get("a") is None


async def test_what_is_of_one_server_is_asked_of_a_node(client: Redis) -> None:
    assert redis_client.part_of(client, "a") is client, "nobody knows before the first command"
    with pytest.raises(ValueError, match="no key"):
        await client.info("server")

    first, second = [await redis_client.node_of(client, key) for key in ("a", "b")]

    assert (await first.info("server"))["run_id"] != (await second.info("server"))["run_id"]
    assert redis_client.part_of(client, "a") is first
    assert redis_client.part_of(client, "b") is second
    assert len(redis_client.nodes(client)) == NODES


async def test_a_random_key_comes_from_any_node(client: Redis, cluster: LocalCluster) -> None:
    for number in range(NODES):
        await client.set(cluster.key_of(number), "")

    drawn = {await client.randomkey() for _ in range(100)}

    assert len(drawn) == NODES


async def test_a_slot_that_was_moved_is_found(client: Redis, cluster: LocalCluster) -> None:
    key = cluster.key_of(0)
    await client.get(key)
    await cluster.move(slot(key), 0, 1)
    try:
        await client.set(key, "here")

        async with cluster.node(1) as node:
            assert await node.get(key) == b"here"
            await node.delete(key)
    finally:
        await cluster.move(slot(key), 1, 0)
        await cluster.whole()


async def test_a_pipeline_to_a_moved_slot_goes_right_the_next_time(
    client: Redis, cluster: LocalCluster
) -> None:
    key = cluster.key_of(0)
    await client.get(key)
    await cluster.move(slot(key), 0, 1)
    try:
        with pytest.raises(MovedError):
            await increment(client, key)

        assert await increment(client, key) == [1]

        await client.delete(key)
    finally:
        await cluster.move(slot(key), 1, 0)
        await cluster.whole()


async def test_a_node_that_is_named_again_while_others_leave_is_kept(cluster: LocalCluster) -> None:
    first, *others = cluster.ports
    url = cluster.url.rpartition("@")[0] + f"@127.0.0.1:{first}"
    async with redis_client.connect(url, name="tests", max_connections=1, timeout=2) as client:
        assert isinstance(client, RedisCluster)
        for number in range(NODES):
            await client.get(cluster.key_of(number))

        leaving = asyncio.ensure_future(
            client._take({(0, 16_383): {"primary": ("127.0.0.1", first)}})
        )
        await asyncio.sleep(0)  # the first connection is being closed
        for number, port in enumerate(others, 1):
            moved = MovedError(f"{slot(cluster.key_of(number))} 127.0.0.1:{port}")
            client.note_move(("127.0.0.1", first), moved)
        await leaving

        for number in range(NODES):
            assert await client.get(cluster.key_of(number)) is None


async def increment(client: Redis, key: str) -> list[int]:
    async with client.pipeline(transaction=True) as pipeline:
        pipeline.incr(key)
        return list(await pipeline.execute())


async def test_a_key_of_a_slot_that_is_being_moved_is_written_where_it_will_be(
    client: Redis, cluster: LocalCluster
) -> None:
    key = cluster.key_of(0)
    await client.get(key)
    await cluster.move(slot(key), 0, 1, stop_at="moving")
    try:
        assert await client.eval(ADD, 1, key, "2") == 2
        assert await client.get(key) == b"2"

        async with cluster.node(0) as giver:
            assert await command(giver, "CLUSTER COUNTKEYSINSLOT", slot(key)) == 0
        await client.delete(key)
    finally:
        await cluster.move(slot(key), 0, 1)
        await cluster.move(slot(key), 1, 0)
        await cluster.whole()


async def test_the_others_answer_as_ever_while_a_node_is_away(
    client: Redis, cluster: LocalCluster
) -> None:
    """redis-py's own client, of 8.1, fails a fifth of these."""
    await client.get("a")
    cluster.kill(1)
    try:
        failed = [await fails(client, key) for key in KEYS]

        assert failed == [cluster.owner_of(key) == 1 for key in KEYS]
    finally:
        await cluster.revive(1)
    await eventually(partial(is_whole, client))


async def fails(client: Redis, key: str) -> bool:
    try:
        async with asyncio.timeout(1):
            await client.get(key)
    except RedisConnectionError:
        return True
    return False


async def is_whole(client: Redis) -> bool:
    return not any([await fails(client, key) for key in KEYS])


async def test_a_client_starts_while_a_node_is_away(cluster: LocalCluster) -> None:
    for number in (0, 1):
        cluster.kill(number)
        try:
            async with connect(cluster) as client:
                key = cluster.key_of(2)
                assert await answered(client, key)
        finally:
            await cluster.revive(number)


async def answered(client: Redis, key: str) -> bool:
    """Whether it is answered once the others noticed: before, they tell of the dead node, too."""
    return await client.set(key, "") is True


async def test_connections_are_bounded_for_each_node(cluster: LocalCluster) -> None:
    async with connect(cluster, max_connections=1) as client:
        await client.get("a")
        waits = asyncio.ensure_future(client.xread({cluster.key_of(0): "0"}, block=500))
        await asyncio.sleep(0.1)

        with pytest.raises(MaxConnectionsError):
            await client.get(cluster.key_of(0))
        await client.get(cluster.key_of(1))

        assert await waits == []


async def test_a_slot_without_a_node_is_an_error_of_redis(
    client: Redis, cluster: LocalCluster
) -> None:
    key = cluster.key_of(0)
    for number in range(NODES):
        async with cluster.node(number) as node:
            await command(node, "CLUSTER DELSLOTS", slot(key))
    try:
        with pytest.raises(RedisError):
            await client.get(key)
    finally:
        async with cluster.node(0) as node:
            await command(node, "CLUSTER ADDSLOTS", slot(key))
        await cluster.whole()
    await eventually(partial(is_whole, client))


@pytest.mark.parametrize(
    ("url", "addresses"),
    [
        ("redis://:a@one:1/2", [("one", 1)]),
        ("redis+cluster://u:p@one:1,two", [("one", 1), ("two", 6379)]),
        ("rediss+cluster://u:p@[::1]:1", [("::1", 1)]),
    ],
)
def test_an_address_may_name_several_nodes(url: str, addresses: list[tuple[str, int]]) -> None:
    environ = {"CACHE_URL": url}

    url = settings.load(CacheSettings, environ).cache_url
    client = redis_client.connect(url, name="tests", max_connections=3, timeout=1)

    pools = [node.connection_pool for node in redis_client.nodes(client)]
    kwargs = [pool.connection_kwargs for pool in pools]
    assert [(each["host"], each["port"]) for each in kwargs] == addresses
    assert {pool.max_connections for pool in pools} == {3}
    assert {each["retry"].get_retries() for each in kwargs} == {0}
    is_encrypted = url.startswith("rediss")
    assert {issubclass(pool.connection_class, SSLConnection) for pool in pools} == {is_encrypted}


class CacheSettings(settings.Settings, frozen=True, kw_only=True):
    cache_url: settings.RedisURL


async def test_nobody_there_is_an_error_of_redis() -> None:
    url = "redis+cluster://:secret@127.0.0.1:1,[::1]:1"
    async with redis_client.connect(url, name="tests", max_connections=1, timeout=1) as client:
        with pytest.raises(RedisConnectionError):
            await client.get("a")


def slot(key: str) -> int:
    found = slot_of(["GET", key])
    assert found is not None
    return found
