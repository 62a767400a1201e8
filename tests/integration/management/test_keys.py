"""Keys: what each may do, when it ends, and the command that makes, lists and revokes them."""

import asyncio
import json
import sys
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from management import key_repository, key_uses
from management.key_uses import KeyUses
from shared.postgres import Pool
from tests.conftest import database_url
from tests.integration.management.conftest import Api, Start
from tests.integration.management.test_auth import World, admin_key


async def world_of(api: Api, database: str) -> World:
    world = World(api, await admin_key(database))
    await world.fill()
    return world


async def test_a_key_for_reading_sees_what_its_owner_sees_and_changes_nothing(
    start: Start, database: str
):
    async with start(auth="required") as api:
        world = await world_of(api, database)
        reader = await world.with_key(world.owner_id, scope="read")

        seen = [await client.get("/urls") for client in (reader, world.owner)]
        refused = await reader.put(f"/urls/{world.url['id']}", {"title": "T"})
        revoking = await reader.delete(f"/users/{world.owner_id}/keys/1")

    assert seen[0].json == seen[1].json != []
    assert (refused.status, revoking.status) == (403, 403)
    assert refused.error == "This needs a key with the scope write; yours has read"


@pytest.mark.parametrize(
    ("body", "status", "scope"),
    [
        ({}, 201, "write"),
        ({"scope": "read"}, 201, "read"),
        ({"scope": "write", "is_admin": False}, 201, "write"),
        ({"scope": "admin"}, 403, None),
        ({"is_admin": True}, 403, None),
        ({"scope": "write", "is_admin": True}, 422, None),
        ({"scope": "owner"}, 422, None),
        ({"scope": None}, 422, None),
    ],
)
async def test_an_owner_makes_keys_with_no_more_than_they_have(
    start: Start, database: str, body: dict[str, Any], status: int, scope: str | None
):
    async with start(auth="required") as api:
        world = await world_of(api, database)
        answer = await world.owner.post(f"/users/{world.owner_id}/keys", {"name": "more"} | body)

    assert answer.status == status
    assert answer.json.get("scope") == scope


async def test_a_key_makes_none_that_outlives_it(start: Start, database: str):
    async with start(auth="required") as api:
        world = await world_of(api, database)
        path = f"/users/{world.owner_id}/keys"
        ending = await world.with_key(world.owner_id, expires_at="2998-01-01")

        later = await ending.post(path, {"name": "later", "expires_at": "2999-01-01"})
        same = await ending.post(path, {"name": "same"})
        sooner = await ending.post(path, {"name": "sooner", "expires_at": "2997-01-01"})

    assert later.status == 403
    assert same.json["expires_at"] == "2998-01-01T00:00:00"
    assert sooner.json["expires_at"] == "2997-01-01T00:00:00"


async def test_a_revoked_key_ends_at_once_in_every_process(start: Start, database: str):
    async with start(auth="required") as api, start(auth="required") as other:
        world = await world_of(api, database)
        path = f"/users/{world.owner_id}/keys"
        made = (await world.owner.post(path, {"name": "a"})).json
        elsewhere = Api(other.port, made["key"])
        assert (await elsewhere.get("/urls")).status == 200

        assert (await world.owner.delete(f"{path}/{made['id']}")).status == 204

        assert (await elsewhere.get("/urls")).status == 401


async def test_a_user_has_a_bounded_number_of_keys(
    start: Start, database: str, monkeypatch: pytest.MonkeyPatch
):
    few = key_repository.INSERT.replace(f"< {key_repository.MAX_OF_USER}", "< 2")
    monkeypatch.setattr(key_repository, "INSERT", few)
    async with start(auth="required") as api:
        world = await world_of(api, database)
        path = f"/users/{world.owner_id}/keys"
        second = await world.owner.post(path, {"name": "second"})
        third = await world.owner.post(path, {"name": "third"})
        await world.owner.delete(f"{path}/{second.json['id']}")
        again = await world.owner.post(path, {"name": "again"})

    assert (second.status, third.status, again.status) == (201, 409, 201)


async def last_use(pool: Pool, key_id: int) -> datetime | None:
    moment: datetime | None = await pool.fetchval(
        "SELECT last_used_at FROM api_keys WHERE id = $1", key_id
    )
    return moment


async def test_a_use_is_written_beside_the_requests(
    start: Start, database: str, pool: Pool, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(key_uses, "WRITE_SECONDS", 0.02)
    async with start(auth="required") as api:
        world = await world_of(api, database)
        path = f"/users/{world.owner_id}/keys"
        (key,) = (await world.owner.get(path)).json
        async with asyncio.timeout(10):
            while await last_use(pool, key["id"]) is None:
                await asyncio.sleep(0.02)
        (listed,) = (await world.owner.get(path)).json

    assert listed["last_used_at"] is not None


async def test_the_last_use_is_written_when_the_process_stops(
    start: Start, database: str, pool: Pool, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(key_uses, "WRITE_SECONDS", 3600)
    async with start(auth="required") as api:
        world = await world_of(api, database)
        (key,) = (await world.owner.get(f"/users/{world.owner_id}/keys")).json

    assert await last_use(pool, key["id"]) is not None


async def test_a_use_is_written_at_most_once_a_minute(pool: Pool):
    key_id = await pool.fetchval(
        "INSERT INTO api_keys (name, prefix, secret_hash, is_admin) "
        "VALUES ('n', 'p', '', true) RETURNING id"
    )
    uses = KeyUses(pool)

    async def written_after(seconds: float) -> bool:
        """Whether a use is written where the one before lies `seconds` back."""
        before = datetime.now(UTC) - timedelta(seconds=seconds)
        await pool.execute("UPDATE api_keys SET last_used_at = $1", before)
        uses.note(key_id)
        await uses.write()
        return await last_use(pool, key_id) != before

    assert not await written_after(50)
    assert await written_after(70)


class Command:
    """`keys` as management runs it."""

    def __init__(self, database: str) -> None:
        server, _, name = database.rpartition("/")
        self._dsn = database_url(f"{server}/x", name, "shortwire_management")

    async def run(self, *arguments: str, status: int = 0) -> str:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "management.keys", *arguments),
            env={"POSTGRES_DSN": self._dsn, "COLUMNS": "100"},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        output, complaint = await process.communicate()
        assert process.returncode == status, complaint
        return (output or complaint).decode().strip()

    async def json(self, *arguments: str) -> Any:
        return json.loads(await self.run(*arguments, "--json"))


async def test_the_command_makes_lists_and_revokes(start: Start, database: str):
    async with start(auth="required") as api:
        keys = Command(database)
        admin = Api(api.port, await keys.run("create", "--admin", "--name", "operator"))
        user = await admin.user("ada")
        made = await keys.json(
            *("create", "--name", "poster", "--user-id", str(user)),
            *("--scope", "read", "--expires", "90d"),
        )
        reader = Api(api.port, made["key"])
        worked = await reader.get("/urls")
        listed = await keys.json("list", "--user-id", str(user))
        table = await keys.run("list")
        revoked = await keys.json("revoke", str(made["id"]))
        ended = await reader.get("/urls")
        again = await keys.run("revoke", str(made["id"]), status=1)
        left = await keys.json("list")
        everything = await keys.json("list", "--all")

    assert (worked.status, ended.status) == (200, 401)
    assert (made["scope"], made["user_id"]) == ("read", user)
    days = datetime.fromisoformat(made["expires_at"]) - datetime.now(UTC).replace(tzinfo=None)
    assert timedelta(days=89) < days <= timedelta(days=90)
    assert [key["id"] for key in listed] == [made["id"]]
    assert "key" not in listed[0]
    assert listed[0]["username"] == "ada"
    assert [line.split()[2] for line in table.splitlines()] == ["SCOPE", "admin", "read"]
    assert made["key"].rpartition("_")[2] not in table
    assert revoked == {"id": made["id"], "is_revoked": True}
    assert again == f"There is no key {made['id']}, or it is revoked already."
    assert [key["name"] for key in left] == ["operator"]
    assert [key["name"] for key in everything] == ["operator", "poster"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["create", "--name", "x"], "give --user-id, or --admin"),
        (["create", "--name", " ", "--admin"], "a name must not be empty"),
        (["create", "--name", "x", "--admin", "--expires", "soon"], "soon must be an ISO 8601"),
        (["create", "--name", "x", "--admin", "--expires", "2001-01-01"], "in the future"),
        (["create", "--name", "x", "--scope", "owner"], "invalid choice: 'owner'"),
        (["revoke", "x"], "invalid int value: 'x'"),
        (["lose"], "invalid choice: 'lose'"),
    ],
)
async def test_the_command_says_what_is_wrong(database: str, arguments: list[str], sentence: str):
    assert sentence in await Command(database).run(*arguments, status=2)


async def test_the_command_names_an_unknown_user(database: str):
    printed = await Command(database).run("create", "--name", "x", "--user-id", "9", status=1)

    assert printed == "There is no user 9."


@pytest.mark.parametrize("command", ["create", "list", "revoke"])
async def test_every_command_explains_itself(database: str, command: str):
    keys = Command(database)

    assert f"keys {command}" in await keys.run("--help")
    assert "--json" in await keys.run(command, "--help")
