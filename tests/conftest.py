"""Real servers for every test: PostgreSQL and two Redis, started once, a database per test."""

import os
import secrets
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import hypothesis  # noqa: F401 - its first import must not be deep in a failing test (Python 3.11)
import pytest
from redis.asyncio import Redis

from shared import migrate, redis_client
from shared.postgres import Pool
from shortwire import processes, servers
from tests.redis_cluster import LocalCluster
from tests.replica import Replica

TEMPLATE = "shortwire_template"


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def server_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("servers")
    processes.give_to_children(folder)
    return folder


@pytest.fixture(scope="session")
def postgres_url(server_folder: Path) -> Iterator[str]:
    """The owner's DSN of a server of the tests' own, or TEST_POSTGRES_URL."""
    if given := os.environ.get("TEST_POSTGRES_URL"):
        yield given
        return
    if os.environ.get("TEST_BACKEND") == "containers":
        from testcontainers.community.postgres import PostgresContainer

        with PostgresContainer("postgres:17") as container:
            yield container.get_connection_url(driver=None)
        return
    data, port, password = server_folder / "postgres", servers.free_port(), secrets.token_hex(8)
    servers.initialise_postgres(data, password)
    # A test's data may be lost at a power cut: what kills a process is all that is tested.
    child = processes.start(servers.postgres(data, port, fsync="off"), server_folder)
    yield f"postgres://{servers.POSTGRES_OWNER}:{password}@127.0.0.1:{port}/postgres"
    child.stop()


@pytest.fixture(scope="session")
def replica_server(postgres_url: str, server_folder: Path) -> Iterator[Replica]:
    """A replica of the PostgreSQL of all tests."""
    if "TEST_POSTGRES_URL" in os.environ or os.environ.get("TEST_BACKEND") == "containers":
        pytest.skip("a replica is made of the tests' own PostgreSQL only")
    replica = Replica(server_folder, postgres_url)
    yield replica
    replica.stop()


@pytest.fixture
async def replica(replica_server: Replica, database: str) -> AsyncIterator[Replica]:
    """The replica, with the test's own database, replaying."""
    assert database
    await replica_server.caught_up()
    yield replica_server
    await replica_server.go_on()


@pytest.fixture(scope="session")
def cache_server(server_folder: Path) -> Iterator[str]:
    yield from _redis(server_folder, "cache", servers.CACHE_SETTINGS)


@pytest.fixture(scope="session")
def bus_server(server_folder: Path) -> Iterator[str]:
    yield from _redis(server_folder, "bus", servers.BUS_SETTINGS)


def _redis(folder: Path, name: str, settings: Mapping[str, str]) -> Iterator[str]:
    if given := os.environ.get(f"TEST_{name.upper()}_URL"):
        yield given
        return
    if os.environ.get("TEST_BACKEND") == "containers":
        from testcontainers.community.redis import RedisContainer

        command = ["redis-server", *servers.redis_options(settings)]
        with RedisContainer("redis:8").with_command(command) as container:
            yield f"redis://{container.get_container_host_ip()}:{container.get_exposed_port(6379)}"
        return
    port, password = servers.free_port(), secrets.token_hex(8)
    program = servers.redis(name, folder / name, port, password, settings)
    child = processes.start(program, folder)
    yield f"redis://:{password}@127.0.0.1:{port}/0"
    child.stop()


@pytest.fixture(scope="session")
async def cluster_server(server_folder: Path) -> AsyncIterator[LocalCluster]:
    """A cluster of three caches."""
    cluster = LocalCluster(server_folder, "cluster", servers.CACHE_SETTINGS)
    try:
        await cluster.form()
        yield cluster
    finally:
        cluster.stop()


@pytest.fixture
async def cluster(cluster_server: LocalCluster) -> LocalCluster:
    """The cluster of caches, whole and empty."""
    await cluster_server.flush()
    return cluster_server


@pytest.fixture(scope="session")
async def bus_cluster_server(server_folder: Path) -> AsyncIterator[LocalCluster]:
    """A cluster of three buses."""
    cluster = LocalCluster(server_folder, "bus-cluster", servers.BUS_SETTINGS)
    try:
        await cluster.form()
        yield cluster
    finally:
        cluster.stop()


@pytest.fixture
async def bus_cluster(bus_cluster_server: LocalCluster) -> LocalCluster:
    """The cluster of buses, whole and empty."""
    await bus_cluster_server.flush()
    return bus_cluster_server


@pytest.fixture(scope="session")
async def template(postgres_url: str) -> str:
    """The name of a migrated database that each test gets a copy of."""
    admin = await asyncpg.connect(postgres_url)
    await admin.execute(f"DROP DATABASE IF EXISTS {TEMPLATE} WITH (FORCE)")
    await admin.execute(f"CREATE DATABASE {TEMPLATE}")
    connection = await asyncpg.connect(database_url(postgres_url, TEMPLATE))
    passwords = dict.fromkeys(
        ["shortwire_redirector", "shortwire_management", "shortwire_ingest"], ROLE_PASSWORD
    )
    await migrate.migrate(connection, passwords)
    await connection.close()
    await admin.close()
    return TEMPLATE


ROLE_PASSWORD = "tests-only"


def database_url(server: str, name: str, role: str | None = None) -> str:
    """The DSN of database `name`, as the owner or as one of the services' roles."""
    head, _, _ = server.rpartition("/")
    if role is not None:
        head = f"postgres://{role}:{ROLE_PASSWORD}@{head.rpartition('@')[2]}"
    return f"{head}/{name}"


@pytest.fixture
async def database(postgres_url: str, template: str) -> AsyncIterator[str]:
    """The owner's DSN of a database of the test's own."""
    name = f"test_{secrets.token_hex(6)}"
    admin = await asyncpg.connect(postgres_url)
    await admin.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
    yield database_url(postgres_url, name)
    await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
    await admin.close()


@pytest.fixture
async def pool(database: str) -> AsyncIterator[Pool]:
    """The owner's connections to the test's own database."""
    async with asyncpg.create_pool(database, min_size=1, max_size=4) as pool:
        yield pool


@pytest.fixture
async def cache_url(cache_server: str) -> str:
    """The cache, empty."""
    await _flush(cache_server)
    return cache_server


@pytest.fixture
async def bus_url(bus_server: str) -> str:
    """The bus, empty."""
    await _flush(bus_server)
    return bus_server


async def _flush(url: str) -> None:
    async with redis_client.connect(url, name="tests", max_connections=1, timeout=5) as redis:
        await redis.flushall()


@asynccontextmanager
async def refusing(redis: Redis) -> AsyncIterator[None]:
    """Let the server take no writes, as if too few replicas followed it."""
    await redis.config_set("min-replicas-to-write", 1)
    try:
        yield
    finally:
        await redis.config_set("min-replicas-to-write", 0)


@pytest.fixture
async def cache(cache_url: str) -> AsyncIterator[Redis]:
    async with redis_client.connect(cache_url, name="tests", max_connections=8, timeout=5) as redis:
        yield redis


@pytest.fixture
async def bus(bus_url: str) -> AsyncIterator[Redis]:
    async with redis_client.connect(bus_url, name="tests", max_connections=8, timeout=5) as redis:
        yield redis
