"""Deleted links: what of them is left, the way back, the way out, and what happened before."""

from typing import Any

from redis.asyncio import Redis

from redirector import link_repository
from shared import link_cache
from shared.postgres import Pool
from tests.integration.management.conftest import Api, Start
from tests.integration.management.test_aliases import cached, newest
from tests.integration.management.test_auth import World, admin_key
from tests.integration.management.test_urls import KEYS


async def test_what_is_deleted_is_in_the_trash_and_comes_back_as_it_was(
    api: Api, bus: Redis, pool: Pool
):
    url = await api.url(await api.user(), short_code="first", tags=["kept"])
    path = f"/urls/{url['id']}"
    before = (await api.post(f"{path}/aliases", {"short_code": "second"})).json
    await api.delete(path)

    (trashed,) = (await api.get("/urls/trash")).json
    missing = await api.get(path)
    restored = await api.post(f"{path}/restore")

    assert before["short_code"] == "second"
    assert trashed["deleted_at"] == trashed["updated_at"]
    assert missing.status == 404
    assert restored.status == 200
    assert restored.json == {
        **url,
        "aliases": ["second"],
        "updated_at": restored.json["updated_at"],
    }
    assert (await api.get(path)).json == restored.json
    assert (await api.get("/urls/trash")).json == []
    assert (await api.post(f"{path}/restore")).status == 404
    for code in ("first", "second"):
        record = (await newest(bus))[code].record
        row = await link_repository.find(pool, 1, code)
        assert (record.state, record.version) == ("active", row.version)


async def test_a_link_whose_user_is_gone_stays_in_the_trash(api: Api):
    user_id = await api.user()
    url = await api.url(user_id)
    await api.delete(f"/users/{user_id}")

    refused = await api.post(f"/urls/{url['id']}/restore")

    assert (await api.get("/urls/trash")).json[0]["user_id"] is None
    assert (refused.status, refused.error) == (409, "The user of this URL is gone")


async def test_a_purge_frees_the_codes_and_says_so(api: Api, bus: Redis, cache: Redis):
    user_id = await api.user()
    live = await api.url(user_id, short_code="live")
    await api.post(f"/urls/{live['id']}/aliases", {"short_code": "alias"})
    gone = await api.url(user_id, short_code="gone")
    await api.delete(f"/urls/{gone['id']}")
    known = await newest(bus)
    for code in ("live", "alias", "gone"):
        await cached(cache, code, known[code].record)

    for url in (live, gone):
        assert (await api.delete(f"/urls/{url['id']}?purge=true")).status == 204
        assert (await api.delete(f"/urls/{url['id']}?purge=true")).status == 404

    announced = await newest(bus)
    for code in ("live", "alias", "gone"):
        record = announced[code].record
        assert record.state == "unknown"
        assert record.version > known[code].record.version
        entry = await link_cache.get(cache, 1, code)
        assert entry is not None
        assert (entry.state, entry.version) == ("unknown", record.version)
        heir = await api.url(user_id, short_code=code)
        assert list(heir) == KEYS
        assert (await newest(bus))[code].record.version > record.version
    assert (await api.get("/urls/trash")).json == []
    purged = (await api.get("/events?event_type=deleted")).json
    assert [event["details"] for event in purged] == [
        {"short_code": "gone"},
        {"short_code": "live", "purged": True},
        {"short_code": "gone", "purged": True},
    ]
    assert {event["url_id"] for event in purged} == {None}


async def test_a_history_tells_every_change_also_in_the_trash(api: Api):
    url = await api.url(await api.user(), short_code="first")
    path = f"/urls/{url['id']}"
    await api.put(path, {"title": "T"})
    await api.delete(path)
    in_trash = await api.get(f"{path}/history")
    await api.post(f"{path}/restore")
    await api.post("/events", {"url_id": url["id"], "user_id": url["user_id"], "event_type": "x"})

    history = (await api.get(f"{path}/history")).json
    page = await api.get(f"{path}/history?per_page=2")

    assert [(change["event_type"], change["details"]) for change in history] == [
        ("created", {"short_code": "first", "original_url": url["original_url"]}),
        ("updated", {"title": "T"}),
        ("deleted", {"short_code": "first"}),
        ("updated", {"deleted_at": None}),
    ]
    assert in_trash.json == history[:3]
    assert page.json == history[:2]
    assert page.headers["link"].startswith(f"<{path}/history?cursor={history[1]['id']}&")
    assert (await api.get("/urls/99/history")).status == 404


async def test_who_may_do_what_with_the_trash(start: Start, database: str):
    async with start(auth="required") as api:
        world = World(api, await admin_key(database))
        await world.fill()
        path = f"/urls/{world.url['id']}"
        assert (await world.owner.delete(f"{path}?purge=true")).status == 403
        assert (await world.owner.delete(path)).status == 204

        asks: list[tuple[str, str, int, int]] = [
            ("GET", f"{path}/history", 404, 200),
            ("POST", f"{path}/restore", 404, 200),
        ]
        for method, asked, stranger, owner in asks:
            assert (await world.nobody.ask(method, asked)).status == 401
            assert (await world.stranger.ask(method, asked)).status == stranger
            assert (await world.owner.ask(method, asked)).status == owner
        await world.owner.delete(path)
        for change in (await world.admin.get(f"{path}/history")).json:
            assert change["actor"]["user_id"] == world.owner_id
        assert (await world.stranger.get("/urls/trash")).json == []
        assert len((await world.owner.get("/urls/trash")).json) == 1
        assert (await world.admin.delete(f"{path}?purge=true")).status == 204


async def test_two_editors_do_not_overwrite_each_other(api: Api):
    created = await api.post(
        "/urls", {"user_id": await api.user(), "original_url": "https://example.com/a"}
    )
    path = created.headers["location"]
    read = await api.get(path)
    seen = {"If-Match": read.headers["etag"]}

    first = await api.put(path, {"title": "First"}, headers=seen)
    second = await api.put(path, {"title": "Second"}, headers=seen)
    deleted = await api.delete(path, headers=seen)
    purged = await api.delete(f"{path}?purge=true", headers=seen)

    assert created.headers["etag"] == read.headers["etag"]
    assert first.status == 200
    assert first.headers["etag"] != read.headers["etag"]
    for refused in (second, deleted, purged):
        assert (refused.status, refused.error) == (
            412,
            "The URL was changed meanwhile: read it again",
        )
    assert (await api.get(path)).json == first.json


async def test_a_condition_may_name_any_or_several_also_weakened_by_a_gateway(api: Api):
    url = await api.url(await api.user())
    path = f"/urls/{url['id']}"

    async def status(condition: str) -> int:
        tag = (await api.get(path)).headers["etag"]
        headers = {"If-Match": condition.replace("TAG", tag)}
        title = {"title": f"for {condition}"}
        return (await api.put(path, title, headers=headers)).status

    accepted: list[Any] = ["*", "TAG", "W/TAG", '"1", TAG', '"x",TAG']
    assert [await status(each) for each in accepted] == [200] * 5
    assert [await status(each) for each in ('"0"', "", "x", '"', '"*"')] == [412] * 5
