"""Who changed what: links in their events, all else in the audit's records."""

import asyncio
from typing import Any

from shared.postgres import Pool
from tests.integration.management.conftest import Api, Start
from tests.integration.management.test_keys import Command, world_of

EVENT_KEYS = {"id", "url_id", "user_id", "event_type", "timestamp", "details"}


async def key_id_of(client: Api, user_id: int) -> int:
    (key,) = (await client.get(f"/users/{user_id}/keys")).json
    return int(key["id"])


async def test_every_change_of_a_link_tells_who_made_it(start: Start, database: str):
    async with start(auth="required") as api:
        world = await world_of(api, database)
        path = f"/urls/{world.url['id']}"
        key_id = await key_id_of(world.owner, world.owner_id)
        await world.owner.put(path, {"title": "T"})
        await world.admin.put(path, {"title": "U"})
        await world.owner.delete(path)

        events = (await world.owner.get("/events?include=actor")).json

    owner = {"user_id": world.owner_id, "key_id": key_id}
    by_hand = {"user_id": None, "key_id": 1}
    assert [(event["event_type"], event["actor"]) for event in events] == [
        ("created", owner),
        ("updated", owner),
        ("updated", by_hand),
        ("deleted", owner),
    ]
    assert events[1]["details"] == {"title": "T"}


async def test_concurrent_requests_are_told_apart(start: Start, database: str):
    async with start(auth="required") as api:
        world = await world_of(api, database)
        clients = {world.owner_id: world.owner, world.stranger_id: world.stranger}
        body = {"original_url": "https://example.com"}
        await asyncio.gather(
            *(client.post("/urls", body) for client in clients.values() for _ in range(10))
        )

        events = (await world.admin.get("/events?include=actor")).json

    assert len(events) == 21
    assert all(event["actor"]["user_id"] == event["user_id"] for event in events)


async def test_an_event_has_the_contract_s_keys_unless_more_is_asked_for(
    start: Start, database: str
):
    async with start(auth="required") as api:
        world = await world_of(api, database)
        path = f"/events/{world.event['id']}"
        plain = (await world.owner.get(path)).json
        listed = (await world.owner.get("/events")).json
        more = (await world.owner.get(f"{path}?include=actor")).json
        wrong = await world.owner.get(f"{path}?include=all")

    assert set(plain) == set(listed[0]) == EVENT_KEYS
    assert set(more) == EVENT_KEYS | {"actor"}
    assert wrong.status == 400
    assert wrong.json["details"] == {"include": "include must be actor"}


async def test_without_keys_nobody_is_named(api: Api):
    await api.url(await api.user())

    (event,) = (await api.get("/events?include=actor")).json
    (record,) = (await api.get("/admin/audit")).json

    assert set(event) == EVENT_KEYS
    assert (record["action"], record["actor_key_id"]) == ("user.created", None)


async def test_changes_of_users_and_keys_are_recorded_with_who_made_them(
    start: Start, database: str, pool: Pool
):
    async with start(auth="required") as api:
        world = await world_of(api, database)
        user, key_id = f"/users/{world.owner_id}", await key_id_of(world.owner, world.owner_id)
        made = (await world.owner.post(f"{user}/keys", {"name": "b", "scope": "read"})).json
        await world.owner.delete(f"{user}/keys/{made['id']}", headers={"X-Request-ID": "mine"})
        await world.owner.put(user, {"email": "new@example.com"})
        await world.admin.upload(
            b"id,username,email,created_at\n9,eve,eve@example.com,2026-01-01 00:00:00\n"
        )
        before = (await world.owner.get(f"{user}/audit")).json
        await world.owner.delete(user)
        everything = (await world.admin.get("/admin/audit")).json

    def facts(record: dict[str, Any]) -> tuple[Any, ...]:
        return (record["action"], record["subject_id"], record["actor_key_id"], record["details"])

    wanted = [
        ("user.created", world.owner_id, 1, {}),
        ("key.created", key_id, 1, {"name": "test", "scope": "write"}),
        ("key.created", made["id"], key_id, {"name": "b", "scope": "read"}),
        ("key.revoked", made["id"], key_id, {}),
        ("user.updated", world.owner_id, key_id, {"changed": ["email"]}),
    ]
    assert [facts(record) for record in before] == wanted
    assert before[3]["request_id"] == "mine"
    assert before[3]["actor_user_id"] == world.owner_id
    assert facts(everything[-1]) == ("user.deleted", world.owner_id, key_id, {})
    assert facts(everything[-2]) == ("users.imported", None, 1, {"rows": 1})
    rows = await pool.fetchval("SELECT array_agg(a::text)::text FROM audit_records AS a")
    assert made["key"].rpartition("_")[2] not in rows


async def test_a_refused_change_leaves_no_record(start: Start, database: str):
    async with start(auth="required") as api:
        world = await world_of(api, database)
        path = "/admin/audit?user_id=" + str(world.stranger_id)
        before = (await world.admin.get(path)).json
        taken = await world.stranger.put(f"/users/{world.stranger_id}", {"username": "owner"})
        missing = await world.stranger.delete(f"/users/{world.stranger_id}/keys/999")

        assert (taken.status, missing.status) == (409, 404)
        assert (await world.admin.get(path)).json == before


async def test_what_the_command_does_is_recorded(start: Start, database: str):
    async with start(auth="required") as api:
        keys = Command(database)
        admin = Api(api.port, await keys.run("create", "--admin", "--name", "operator"))
        user = await admin.user()
        made = await keys.json("create", "--name", "second", "--user-id", str(user))
        await keys.run("revoke", str(made["id"]))

        records = (await admin.get(f"/users/{user}/audit?action=key.revoked")).json

    assert [(record["subject_id"], record["details"]) for record in records] == [
        (made["id"], {"by": "command line"})
    ]
