"""Further codes of a link: what they announce, what they block, and a code that is changed."""

import asyncio
from typing import Any

import pytest
from redis.asyncio import Redis

from management import alias_repository
from redirector import link_repository
from shared import link_cache
from shared.events import LinkChanged, LinkRecord, encoder
from shared.postgres import Pool
from tests.integration.management.conftest import Api
from tests.integration.management.test_auth import World, admin_key
from tests.integration.management.test_urls import KEYS, changes_on


async def newest(bus: Redis) -> dict[str, LinkChanged]:
    """The last announcement under each code."""
    ordered = sorted(await changes_on(bus), key=lambda change: change.record.version)
    return {change.code: change for change in ordered}


async def cached(cache: Redis, code: str, record: LinkRecord) -> None:
    await cache.set(f"u:{{1/{code}}}", b"%d:%b" % (record.version, encoder.encode(record)))


UNKNOWN = LinkRecord(version=0, state="unknown", cached_at=0.0)


async def test_an_alias_lives_from_post_to_delete(api: Api):
    url = await api.url(await api.user(), short_code="first")
    path = f"/urls/{url['id']}"

    answer = await api.post(f"{path}/aliases", {"short_code": "second"})

    assert answer.status == 201
    assert answer.headers["location"] == f"{path}/aliases/second"
    assert set(answer.json) == {"short_code", "created_at"}
    assert (await api.get(f"{path}/aliases")).json == [answer.json]
    assert (await api.get(path)).json["aliases"] == ["second"]
    for code in ("first", "second"):
        assert [each["id"] for each in (await api.get(f"/urls?short_code={code}")).json] == [
            url["id"]
        ]
    assert (await api.delete(f"{path}/aliases/second")).status == 204
    assert (await api.delete(f"{path}/aliases/second")).status == 404
    assert (await api.delete(f"{path}/aliases/first")).status == 404, "its own code is no alias"
    assert list((await api.get(path)).json) == KEYS
    assert (await api.get("/urls?short_code=second")).json == []


async def test_every_change_is_announced_and_cached_under_each_code(
    api: Api, bus: Redis, cache: Redis, pool: Pool
):
    url = await api.url(await api.user(), short_code="first")
    path = f"/urls/{url['id']}"
    await cached(cache, "second", UNKNOWN)  # somebody asked for it before it was there

    await api.post(f"{path}/aliases", {"short_code": "second"})
    added = await newest(bus)
    await api.put(path, {"original_url": "https://example.com/new"})
    changed = await newest(bus)
    await api.delete(path)
    deleted = await newest(bus)

    assert set(added) == set(changed) == set(deleted) == {"first", "second"}
    assert added["second"].record.target == url["original_url"]
    for code in ("first", "second"):
        assert changed[code].record.target == "https://example.com/new"
        assert changed[code].record.version > added[code].record.version
        assert deleted[code].record.state == "deleted"
        row = await link_repository.find(pool, 1, code)
        assert (row.version, row.state) == (deleted[code].record.version, "deleted")
    entry = await link_cache.get(cache, 1, "second")
    assert entry is not None
    assert (entry.state, entry.version) == ("deleted", deleted["second"].record.version)


async def test_an_alias_taken_back_is_unknown_at_once_and_free(api: Api, bus: Redis, cache: Redis):
    user_id = await api.user()
    url = await api.url(user_id, short_code="first")
    await api.post(f"/urls/{url['id']}/aliases", {"short_code": "second"})
    await cached(cache, "second", (await newest(bus))["second"].record)

    await api.delete(f"/urls/{url['id']}/aliases/second")
    freed = (await newest(bus))["second"].record
    entry = await link_cache.get(cache, 1, "second")
    heir = await api.url(user_id, short_code="second")
    inherited = (await newest(bus))["second"].record

    assert freed.state == "unknown"
    assert entry is not None
    assert (entry.state, entry.version) == ("unknown", freed.version)
    assert inherited.url_id == heir["id"]
    assert inherited.version > freed.version


async def test_a_code_that_is_changed_stays_as_an_alias(api: Api, bus: Redis):
    url = await api.url(await api.user(), short_code="misspelt")
    path = f"/urls/{url['id']}"

    changed = (await api.put(path, {"short_code": "spelt", "title": "T"})).json
    announced = await newest(bus)
    back = (await api.put(path, {"short_code": "misspelt"})).json
    same = (await api.put(path, {"short_code": "misspelt"})).json

    assert (changed["short_code"], changed["aliases"]) == ("spelt", ["misspelt"])
    assert {code: change.record.target for code, change in announced.items()} == dict.fromkeys(
        ("spelt", "misspelt"), url["original_url"]
    )
    assert (back["short_code"], back["aliases"]) == ("misspelt", ["spelt"])
    assert same == {**back, "updated_at": same["updated_at"]}
    events = (await api.get(f"/events?url_id={url['id']}&event_type=updated")).json
    assert [event["details"] for event in events] == [
        {"title": "T", "short_code": "spelt", "aliases": ["misspelt"]},
        {"short_code": "misspelt", "aliases": ["spelt"]},
    ]


async def test_a_code_belongs_to_one_link_whatever_it_is_to_it(api: Api):
    user_id = await api.user()
    one = await api.url(user_id, short_code="own")
    other = await api.url(user_id, short_code="other")
    gone = await api.url(user_id, short_code="gone")
    await api.delete(f"/urls/{gone['id']}")
    await api.post(f"/urls/{one['id']}/aliases", {"short_code": "also"})

    taken = [
        await api.post(f"/urls/{other['id']}/aliases", {"short_code": code})
        for code in ("own", "also", "gone", "other")
    ]
    taken += [
        await api.put(f"/urls/{other['id']}", {"short_code": code})
        for code in ("own", "also", "gone")
    ]
    body = {"user_id": user_id, "original_url": "https://example.com", "short_code": "also"}
    taken.append(await api.post("/urls", body))

    assert [answer.status for answer in taken] == [409] * 8
    assert {answer.error for answer in taken} == {"This short code is taken"}
    assert (await api.get(f"/urls/{other['id']}")).json == other


async def test_an_alias_that_is_asked_for_again_is_made_once(api: Api):
    url = await api.url(await api.user())
    path, key = f"/urls/{url['id']}/aliases", {"Idempotency-Key": "one"}

    answers = [await api.post(path, {"short_code": "also"}, headers=key) for _ in range(2)]

    assert [answer.status for answer in answers] == [201, 201]
    assert answers[0].json == answers[1].json


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({}, 422),
        ({"short_code": "a"}, 422),
        ({"short_code": "users"}, 422),
        ({"short_code": 5}, 422),
    ],
)
async def test_a_wrong_alias_is_named(api: Api, body: dict[str, Any], status: int):
    url = await api.url(await api.user())

    answer = await api.post(f"/urls/{url['id']}/aliases", body)

    assert (answer.status, set(answer.json["details"])) == (status, {"short_code"})


async def test_a_link_has_so_many_aliases_and_no_more(api: Api, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(alias_repository, "MAX_ALIASES", 1)
    url = await api.url(await api.user(), short_code="own")
    path = f"/urls/{url['id']}"
    await api.post(f"{path}/aliases", {"short_code": "also"})

    refused = await api.post(f"{path}/aliases", {"short_code": "third"})
    renamed = await api.put(path, {"short_code": "third"})
    swapped = await api.put(path, {"short_code": "also"})

    assert (refused.status, renamed.status) == (409, 409)
    assert swapped.json["aliases"] == ["own"]


async def test_of_many_who_want_one_code_one_gets_it(api: Api):
    user_id = await api.user()
    urls = [await api.url(user_id) for _ in range(6)]
    body = {"user_id": user_id, "original_url": "https://example.com", "short_code": "wanted"}

    asked = [api.post(f"/urls/{url['id']}/aliases", {"short_code": "wanted"}) for url in urls[:3]]
    asked += [api.put(f"/urls/{url['id']}", {"short_code": "wanted"}) for url in urls[3:]]
    asked += [api.post("/urls", body) for _ in range(3)]
    answers = await asyncio.gather(*asked)

    statuses = sorted(answer.status for answer in answers)
    assert statuses[0] in {200, 201}
    assert statuses[1:] == [409] * 8
    assert len((await api.get("/urls?short_code=wanted")).json) == 1


async def test_an_alias_waits_for_a_long_writer_only_so_long(api: Api, pool: Pool):
    user_id = await api.user()
    url = await api.url(user_id, short_code="own")
    path = f"/urls/{url['id']}"
    async with pool.acquire() as connection, connection.transaction():  # as an import does
        await connection.execute("UPDATE urls SET notes = 'x' WHERE id = -1")

        refused = await api.post(f"{path}/aliases", {"short_code": "also"})
        same = await api.put(path, {"short_code": "own", "title": "T"})
        await api.url(user_id)

    assert (refused.status, refused.headers["retry-after"]) == (503, "1")
    assert same.status == 200, "nothing to wait for"
    assert (await api.post(f"{path}/aliases", {"short_code": "also"})).status == 201


async def test_an_owner_has_only_aliases_of_their_own_links(start: Any, database: str):
    async with start(auth="required") as api:
        world = World(api, await admin_key(database))
        await world.fill()
        path = f"/urls/{world.url['id']}/aliases"

        assert (await world.nobody.get(path)).status == 401
        for client, statuses in ((world.stranger, [404] * 3), (world.owner, [201, 200, 204])):
            answers = [
                await client.post(path, {"short_code": "second"}),
                await client.get(path),
                await client.delete(f"{path}/second"),
            ]
            assert [answer.status for answer in answers] == statuses
