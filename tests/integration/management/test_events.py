from typing import Any

import pytest

from shared.postgres import Pool
from tests.integration.management.conftest import Api

KEYS = ["id", "url_id", "user_id", "event_type", "timestamp", "details"]


async def test_an_event_is_added_read_and_corrected(api: Api):
    user_id = await api.user()
    url = await api.url(user_id)
    body = {"url_id": url["id"], "user_id": user_id, "event_type": "scan", "details": {"a": [1]}}

    created = await api.post("/events", body)

    assert created.status == 201
    event = created.json
    assert list(event) == KEYS
    assert {name: event[name] for name in body} == body
    path = f"/events/{event['id']}"
    assert (await api.get(path)).json == event
    changed = await api.put(path, {"event_type": "scanned", "details": {}})
    assert changed.json == {**event, "event_type": "scanned", "details": {}}


@pytest.mark.parametrize(
    "changes",
    [
        {"url_id": "1"},
        {"url_id": None},
        {"user_id": True},
        {"event_type": ""},
        {"event_type": 5},
        {"event_type": "x" * 65},
        {"details": "text"},
        {"details": [1]},
        {"details": None},
        {"details": {"a": "\0"}},
        {"details": {"a": "x" * 20_000}},
    ],
)
async def test_wrong_fields_are_malformed(api: Api, changes: dict[str, Any]):
    user_id = await api.user()
    url = await api.url(user_id)
    body = {"url_id": url["id"], "user_id": user_id, "event_type": "scan"}
    event_id = (await api.post("/events", body)).json["id"]

    assert (await api.post("/events", {**body, **changes})).status == 400
    assert (await api.put(f"/events/{event_id}", changes)).status == 400
    name = next(iter(changes))
    missing = {key: value for key, value in body.items() if key != name}
    if name != "details":
        assert (await api.post("/events", missing)).status == 400


async def test_unknown_references_are_not_found(api: Api):
    user_id = await api.user()
    url = await api.url(user_id)
    body = {"url_id": url["id"], "user_id": user_id, "event_type": "scan"}

    assert (await api.post("/events", {**body, "url_id": 999})).error == "URL not found"
    assert (await api.post("/events", {**body, "user_id": 999})).error == "User not found"
    assert (await api.get("/events/999999")).error == "Event not found"
    assert (await api.put("/events/999999", {"event_type": "x"})).status == 404


async def test_lists_filter_and_page(api: Api):
    ada, grace = await api.user("ada"), await api.user("grace")
    first, second = await api.url(ada), await api.url(grace)
    await api.put(f"/urls/{first['id']}", {"title": "B"})

    async def kinds(query: str) -> list[tuple[int, str]]:
        answer = await api.get(f"/events{query}")
        assert answer.status == 200, answer.body
        return [(event["url_id"], event["event_type"]) for event in answer.json]

    everything = [
        (first["id"], "created"),
        (second["id"], "created"),
        (first["id"], "updated"),
    ]
    assert await kinds("") == everything
    assert await kinds(f"?url_id={first['id']}") == [everything[0], everything[2]]
    assert await kinds(f"?user_id={grace}") == [everything[1]]
    assert await kinds("?event_type=updated") == [everything[2]]
    assert await kinds("?event_type=redirect") == []
    assert await kinds(f"?url_id={first['id']}&event_type=created") == [everything[0]]
    first_page = await api.get("/events?per_page=2")
    cursor = first_page.json[-1]["id"]
    assert first_page.headers["link"] == f'</events?cursor={cursor}&per_page=2>; rel="next"'
    assert await kinds(f"?cursor={cursor}") == [everything[2]]


async def test_events_of_a_deleted_url_stay_with_null_and_no_filter_finds_them(api: Api):
    user_id = await api.user()
    url = await api.url(user_id)
    await api.delete(f"/urls/{url['id']}")

    events = (await api.get("/events")).json

    assert [(e["url_id"], e["user_id"]) for e in events] == [(None, user_id), (None, user_id)]
    assert (await api.get(f"/events?url_id={url['id']}")).json == []


async def test_an_event_of_a_day_without_partition_makes_one(api: Api, pool: Pool):
    user_id = await api.user()
    today = await pool.fetchval("SELECT ensure_events_partition(now())")
    await pool.execute(f"DROP TABLE {today}")

    await api.url(user_id)

    assert len((await api.get("/events")).json) == 1
