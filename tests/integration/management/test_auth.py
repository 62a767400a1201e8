"""Keys as they are presented, and whose things they show; test_who_may_do_what walks all routes."""

import asyncio
import sys
from typing import Any

import asyncpg
import pytest

from management import keys
from shared.postgres import Pool
from tests.conftest import database_url
from tests.integration.management.conftest import Api, Start


async def admin_key(database: str) -> str:
    connection = await asyncpg.connect(database)
    try:
        return (await keys.create(connection, name="first", user_id=None, scope="admin")).key
    finally:
        await connection.close()


class World:
    """A running service with an administrator, an owner with a link, and a stranger."""

    def __init__(self, api: Api, admin: str) -> None:
        self.nobody = api
        self.admin = Api(api.port, admin)

    async def fill(self) -> None:
        self.owner_id = await self.admin.user("owner")
        self.stranger_id = await self.admin.user("stranger")
        self.owner = await self.with_key(self.owner_id)
        self.stranger = await self.with_key(self.stranger_id)
        answer = await self.owner.post("/urls", {"original_url": "https://example.com"})
        assert answer.status == 201, answer.body
        self.url = answer.json
        self.event = (await self.owner.get("/events")).json[0]

    async def with_key(self, user_id: int, **fields: Any) -> Api:
        return Api(self.nobody.port, (await self.with_key_row(user_id, **fields))["key"])

    async def with_key_row(self, user_id: int, **fields: Any) -> dict[str, Any]:
        answer = await self.admin.post(f"/users/{user_id}/keys", {"name": "test", **fields})
        assert answer.status == 201, answer.body
        return dict(answer.json)


async def test_lists_show_only_what_is_ones_own(start: Start, database: str):
    async with start(auth="required") as api:
        world = World(api, await admin_key(database))
        await world.fill()

        assert [u["id"] for u in (await world.stranger.get("/users")).json] == [world.stranger_id]
        assert (await world.stranger.get("/urls")).json == []
        assert (await world.stranger.get(f"/urls?user_id={world.owner_id}")).json == []
        assert (await world.stranger.get("/events")).json == []
        assert len((await world.admin.get("/urls")).json) == 1


async def test_an_owner_may_not_write_for_another(start: Start, database: str):
    async with start(auth="required") as api:
        world = World(api, await admin_key(database))
        await world.fill()
        body = {"user_id": world.owner_id, "original_url": "https://example.com"}

        assert (await world.stranger.post("/urls", body)).status == 403
        assert len((await world.admin.get("/urls")).json) == 1


async def test_redirects_health_and_home_need_no_key(start: Start):
    async with start(auth="required") as api:
        for path in ("/", "/health", "/health/ready"):
            assert (await api.get(path)).status == 200


@pytest.mark.parametrize(
    "key", ["", "x", "sw_", "sw_abc_def", "sw_000000000000_x", "a" * 500, "sw_\xe9_x_y"]
)
async def test_a_wrong_key_is_unauthorized(start: Start, key: str):
    async with start(auth="required") as api:
        assert (await api.get("/users", headers={"X-API-Key": key})).status == 401
        assert (await api.get("/users", headers={"Authorization": f"Bearer {key}"})).status == 401


async def test_a_key_works_in_either_header_and_ends_when_revoked_or_expired(
    start: Start, database: str, pool: Pool
):
    async with start(auth="required") as api:
        world = World(api, await admin_key(database))
        await world.fill()
        path = f"/users/{world.owner_id}/keys"
        made = (await world.owner.post(path, {"name": "laptop"})).json
        listed = (await world.owner.get(path)).json[-1]
        assert "key" not in listed
        assert listed["name"] == "laptop"
        other_half = f"{made['key'][:-1]}{'a' if made['key'][-1] != 'a' else 'b'}"

        async def status(key: str) -> int:
            return (await api.get("/users", headers={"X-API-Key": key})).status

        assert await status(made["key"]) == 200
        assert await status(other_half) == 401
        assert (await world.owner.delete(f"{path}/{made['id']}")).status == 204
        assert await status(made["key"]) == 401
        fresh = (await world.owner.post(path, {"name": "b", "expires_at": "2999-01-01"})).json
        assert await status(fresh["key"]) == 200
        await pool.execute("UPDATE api_keys SET expires_at = now() WHERE id = $1", fresh["id"])
        assert await status(fresh["key"]) == 401
        past = await world.owner.post(path, {"name": "b", "expires_at": "2001-01-01T00:00:00"})
        assert past.status == 422


async def test_the_secret_is_stored_nowhere(start: Start, database: str, pool: Pool):
    async with start(auth="required"):
        key = await admin_key(database)
        rows = await pool.fetchval("SELECT array_agg(k::text)::text FROM api_keys AS k")

    assert key.rpartition("_")[2] not in rows


async def test_the_first_admin_key_is_made_once(database: str):
    server, _, name = database.rpartition("/")
    environ = {"POSTGRES_DSN": database_url(f"{server}/x", name, "shortwire_management")}
    command = [sys.executable, "-m", "management.keys", "create", "--admin", "--if-none"]

    async def make() -> bytes:
        process = await asyncio.create_subprocess_exec(
            *command, "--name", "first", env=environ, stdout=asyncio.subprocess.PIPE
        )
        output, _ = await process.communicate()
        assert process.returncode == 0
        return output

    assert (await make()).startswith(b"sw_")
    assert await make() == b""
