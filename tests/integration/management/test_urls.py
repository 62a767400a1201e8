import re
from typing import Any

import pytest
from redis.asyncio import Redis

from shared import link_cache, streams
from shared.events import LinkChanged, LinkRecord, encoder, link_message_decoder
from tests.integration.management.conftest import Api

KEYS = [
    "id",
    "user_id",
    "short_code",
    "original_url",
    "title",
    "is_active",
    "created_at",
    "updated_at",
]


async def changes_on(bus: Redis) -> list[LinkChanged]:
    entries: Any = await bus.xrange(streams.LINKS)
    messages = [link_message_decoder.decode(f[streams.LINKS_MESSAGE]) for _, f in entries]
    return [message for message in messages if isinstance(message, LinkChanged)]


async def test_a_url_lives_from_post_to_delete(api: Api):
    user_id = await api.user()
    created = await api.post(
        "/urls", {"user_id": user_id, "original_url": "https://example.com/a", "title": "A"}
    )
    url = created.json
    assert created.status == 201
    assert created.headers["location"] == f"/urls/{url['id']}"
    assert list(url) == KEYS
    assert re.fullmatch("[A-Za-z0-9]{6}", url["short_code"])
    assert url["is_active"] is True
    path = f"/urls/{url['id']}"

    changed = (await api.put(path, {"title": "B", "is_active": False})).json
    assert changed == {
        **url,
        "title": "B",
        "is_active": False,
        "updated_at": changed["updated_at"],
    }
    assert changed["updated_at"] > url["updated_at"]
    assert (await api.get(path)).json == changed

    assert (await api.delete(path)).status == 204
    for method in ("GET", "PUT", "DELETE"):
        answer = await api.ask(method, path, {"title": "C"})
        assert (answer.status, answer.error) == (404, "URL not found")


async def test_one_change_is_one_event_and_one_announcement(api: Api, bus: Redis):
    user_id = await api.user()
    url = await api.url(user_id, title="A")
    path = f"/urls/{url['id']}"
    await api.put(path, {"title": "B", "is_active": True})
    await api.put(path, {"title": "B"})
    await api.put(path, {"original_url": "https://example.com/b", "is_active": False})
    events = (await api.get(f"/events?url_id={url['id']}")).json
    await api.delete(path)

    assert [(event["event_type"], event["details"]) for event in events] == [
        ("created", {"short_code": url["short_code"], "original_url": "https://example.com/a"}),
        ("updated", {"title": "B"}),
        ("updated", {"original_url": "https://example.com/b", "is_active": False}),
    ]
    changes = await changes_on(bus)
    in_order = list(dict.fromkeys((c.operation, c.record.state) for c in changes))
    assert in_order == [
        ("created", "active"),
        ("updated", "active"),
        ("updated", "inactive"),
        ("deleted", "deleted"),
    ]
    newest = max(changes, key=lambda change: change.record.version)
    assert newest.operation == "deleted"


async def test_a_change_is_in_the_shared_cache_when_it_is_acknowledged(api: Api, cache: Redis):
    url = await api.url(await api.user(), short_code="abc123")
    old = LinkRecord(version=0, state="unknown", cached_at=0.0)
    await cache.set("u:{1/abc123}", b"0:" + encoder.encode(old))

    await api.put(f"/urls/{url['id']}", {"original_url": "https://example.com/new"})

    cached = await link_cache.get(cache, 1, "abc123")
    assert cached is not None
    assert cached.target == "https://example.com/new"


async def test_a_custom_code_is_kept_and_stays_reserved_after_deletion(api: Api):
    user_id = await api.user()
    url = await api.url(user_id, short_code="My_code-1")
    assert url["short_code"] == "My_code-1"
    body = {"user_id": user_id, "original_url": "https://example.com", "short_code": "My_code-1"}

    assert (await api.post("/urls", body)).status == 409
    await api.delete(f"/urls/{url['id']}")
    assert (await api.post("/urls", body)).status == 409


GOOD = {"original_url": "https://example.com"}


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({}, {"user_id", "original_url"}),
        ({"user_id": "1", **GOOD}, {"user_id"}),
        ({"user_id": True, **GOOD}, {"user_id"}),
        ({"user_id": 1.0, **GOOD}, {"user_id"}),
        ({"user_id": None, **GOOD}, {"user_id"}),
        ({"user_id": 2**63, **GOOD}, {"user_id"}),
        ({"user_id": 1, "original_url": 7}, {"original_url"}),
        ({"user_id": 1, "original_url": "nowhere"}, {"original_url"}),
        ({"user_id": 1, **GOOD, "title": 5}, {"title"}),
        ({"user_id": 1, **GOOD, "title": "x" * 256}, {"title"}),
        ({"user_id": 1, **GOOD, "short_code": "ab"}, {"short_code"}),
        ({"user_id": 1, **GOOD, "short_code": "a" * 65}, {"short_code"}),
        ({"user_id": 1, **GOOD, "short_code": "a b"}, {"short_code"}),
        ({"user_id": 1, **GOOD, "short_code": "abcd\n"}, {"short_code"}),
        ({"user_id": 1, **GOOD, "short_code": "Users"}, {"short_code"}),
        ({"user_id": 1, "original_url": "x", "title": 5}, {"original_url", "title"}),
    ],
)
async def test_wrong_fields_are_all_named_and_nothing_is_stored(
    api: Api, body: dict[str, Any], fields: set[str]
):
    answer = await api.post("/urls", body)

    assert answer.status == 422
    assert set(answer.json["details"]) == fields
    assert all(answer.json["details"][name].startswith(name) for name in fields)
    assert (await api.get("/urls")).json == []


@pytest.mark.parametrize(
    "body",
    [{}, {"is_active": "true"}, {"is_active": 1}, {"title": 7}, {"original_url": "ftp://a.com"}],
)
async def test_a_wrong_update_is_malformed_and_changes_nothing(api: Api, body: dict[str, Any]):
    url = await api.url(await api.user())

    assert (await api.put(f"/urls/{url['id']}", body)).status == 400
    assert (await api.get(f"/urls/{url['id']}")).json == url


async def test_an_unknown_user_is_malformed(api: Api):
    assert (await api.post("/urls", {"user_id": 12345, **GOOD})).status == 400


async def test_lists_filter_and_page(api: Api):
    ada, grace = await api.user("ada"), await api.user("grace")
    first = await api.url(ada)
    second = await api.url(grace, short_code="special")
    third = await api.url(ada)
    await api.put(f"/urls/{third['id']}", {"is_active": False})

    async def ids(query: str) -> list[int]:
        answer = await api.get(f"/urls{query}")
        assert answer.status == 200, answer.body
        return [url["id"] for url in answer.json]

    assert await ids("") == [first["id"], second["id"], third["id"]]
    assert await ids(f"?user_id={ada}") == [first["id"], third["id"]]
    assert await ids("?is_active=false") == [third["id"]]
    assert await ids(f"?is_active=true&user_id={ada}") == [first["id"]]
    assert await ids("?short_code=special") == [second["id"]]
    assert await ids(f"?cursor={first['id']}") == [second["id"], third["id"]]
    assert await ids(f"?page_num={second['id']}") == [third["id"]]
    answer = await api.get(f"/urls?user_id={ada}&per_page=1")
    link = f'</urls?user_id={ada}&cursor={first["id"]}&per_page=1>; rel="next"'
    assert answer.headers["link"] == link


@pytest.mark.parametrize("query", ["user_id=x", "is_active=yes", "is_active=1", "short_code=%00"])
async def test_a_bad_filter_names_the_parameter(api: Api, query: str):
    answer = await api.get(f"/urls?{query}")

    assert answer.status == 400
    assert list(answer.json["details"]) == [query.partition("=")[0]]


async def test_our_own_host_is_no_target(api: Api):
    user_id = await api.user()
    body = {"user_id": user_id, "original_url": "https://sho.example.com/abc"}

    answer = await api.post("/urls", body, headers={"Host": "sho.example.com"})

    assert answer.status == 422
    assert "itself" in answer.error


async def test_a_wrong_parameter_is_refused_also_where_another_wins(api: Api):
    answer = await api.get("/urls?cursor=1&page_num=9.7")

    assert answer.status == 400
    assert set(answer.json["details"]) == {"page_num"}
