"""Many URLs in one request."""

from typing import Any

import pytest
from redis.asyncio import Redis

from management import bulk_handlers
from shared.postgres import Pool
from tests.integration.management.conftest import Answer, Api, Start
from tests.integration.management.test_auth import admin_key
from tests.integration.management.test_urls import changes_on

TARGET = "https://example.com/a"
PATH = "/urls/bulk"


async def counts(pool: Pool) -> tuple[int, int, int]:
    """How many links, changes of links and announcements there are."""
    row = await pool.fetchrow(
        "SELECT (SELECT count(*) FROM urls WHERE deleted_at IS NULL), "
        "(SELECT count(*) FROM events), (SELECT last_value FROM outbox_id_seq)"
    )
    assert row is not None
    return row[0], row[1], row[2]


async def create(api: Api, user_id: int, *items: dict[str, Any], query: str = "") -> Answer:
    urls = [{"user_id": user_id, "original_url": TARGET, **item} for item in items]
    return await api.post(f"{PATH}{query}", {"urls": urls})


async def test_many_are_made_in_order_with_all_that_is_given(api: Api, bus: Redis):
    user_id = await api.user()
    options = {
        "short_code": "first-one",
        "title": "Ä title",
        "starts_at": "2039-01-01T00:00:00",
        "expires_at": "2040-01-01T00:00:00",
        "expired_url": "https://example.com/over",
        "max_clicks": 5,
        "redirect_type": 301,
        "cache_seconds": 7,
        "forward_query": True,
        "tags": ["a", 'b"{,}'],
        "notes": "two\nlines",
        "rules": [{"target": "https://example.com/m", "devices": ["mobile"]}],
        "archived": True,
    }

    answer = await create(api, user_id, options, {}, {"title": None})

    assert answer.status == 201, answer.body
    first, second, third = answer.json
    alone = await api.url(user_id, **{**options, "short_code": "alone"})
    differing = {"id", "short_code", "created_at", "updated_at"}
    assert {k: v for k, v in first.items() if k not in differing} == {
        k: v for k, v in alone.items() if k not in differing
    }
    assert first["short_code"] == "first-one"
    assert first["id"] < second["id"] < third["id"]
    for url in answer.json:
        assert (await api.get(f"/urls/{url['id']}")).json == url
        (event,) = (await api.get(f"/events?url_id={url['id']}")).json
        assert event["details"] == {
            "short_code": url["short_code"],
            "original_url": url["original_url"],
        }
    announced = {change.code for change in await changes_on(bus)}
    assert {url["short_code"] for url in answer.json} <= announced


async def test_a_thousand_at_once_and_no_more(api: Api, pool: Pool):
    user_id = await api.user()

    made = await create(api, user_id, *[{} for _ in range(1000)])
    more = await create(api, user_id, *[{} for _ in range(1001)])
    none = await create(api, user_id)
    changed = await api.ask(
        "PATCH", PATH, {"urls": [{"id": url["id"], "tags": ["x"]} for url in made.json]}
    )
    gone = await api.delete(PATH, body={"ids": [url["id"] for url in made.json]})

    assert len({url["short_code"] for url in made.json}) == 1000
    assert more.error == none.error == "urls must have 1 to 1000 items"
    assert [url["tags"] for url in changed.json] == [["x"]] * 1000
    assert gone.json == [url["id"] for url in made.json]
    assert await counts(pool) == (0, 3000, 3000)


WRONG: list[tuple[dict[str, Any], int, str]] = [
    ({"original_url": "javascript:alert(1)"}, 422, "original_url"),
    ({"title": 7}, 422, "title"),
    ({"user_id": 999}, 400, "user_id"),
    ({"short_code": "taken"}, 409, "short_code"),
    ({"short_code": "alias"}, 409, "short_code"),
    ({"short_code": "good-0"}, 409, "short_code"),
    ({"short_code": "Reserved-1"}, 422, "short_code"),
    ({"short_code": "urls"}, 422, "short_code"),
    ({"password": "secret"}, 422, "password"),
    ({"original_url": "https://a.banned.com/"}, 422, "original_url"),
    ({"expired_url": "https://a.banned.com/"}, 422, "expired_url"),
    ({"starts_at": "2040-01-02", "expires_at": "2040-01-01"}, 422, "starts_at"),
]


async def prepared(api: Api) -> int:
    user_id = await api.user()
    url = await api.url(user_id, short_code="taken", expires_at="2040-01-01")
    await api.post(f"/urls/{url['id']}/aliases", {"short_code": "alias"})
    assert (await api.put("/reserved-codes/reserved-1")).status < 300
    assert (await api.put("/banned-hosts/banned.com")).status < 300
    return user_id


@pytest.mark.parametrize(("wrong", "status", "field"), WRONG, ids=str)
async def test_one_wrong_item_undoes_all_and_is_named(
    api: Api, pool: Pool, wrong: dict[str, Any], status: int, field: str
):
    user_id = await prepared(api)
    before = await counts(pool)

    answer = await create(api, user_id, {"short_code": "good-0"}, wrong, {"short_code": "good-2"})

    assert answer.status == status, answer.body
    assert set(answer.json["details"]) == {f"urls[1].{field}"}
    assert answer.error.startswith(f"Nothing was changed: 1 wrong, urls[1].{field}: ")
    assert (await counts(pool))[:2] == before[:2]


async def test_every_wrong_item_has_its_own_result_where_part_is_wanted(api: Api, pool: Pool):
    user_id = await prepared(api)
    good = {"short_code": "good-0"}

    answer = await create(
        api, user_id, good, *(item for item, _, _ in WRONG), query="?partial=true"
    )

    assert answer.status == 207
    results = answer.json["results"]
    assert (answer.json["succeeded"], answer.json["failed"]) == (1, len(WRONG))
    assert [result["index"] for result in results] == list(range(len(WRONG) + 1))
    assert results[0]["url"]["short_code"] == "good-0"
    assert [result["status"] for result in results[1:]] == [status for _, status, _ in WRONG]
    assert [set(result["details"]) for result in results[1:]] == [{field} for *_, field in WRONG]
    assert (await counts(pool))[0] == 2


async def test_what_no_body_knows_is_ignored_and_makes_no_request_partial(api: Api, pool: Pool):
    user_id = await prepared(api)
    before = await counts(pool)
    good = {"user_id": user_id, "original_url": TARGET, "unheard_of": 1}
    taken = {**good, "short_code": "taken"}
    beside = {"partial": True, "parital": True}

    refused = await api.post(PATH, {"urls": [good, taken], **beside})
    assert (refused.status, set(refused.json["details"])) == (409, {"urls[1].short_code"})
    assert (await counts(pool))[:2] == before[:2]

    made = await api.post(PATH, {"urls": [good], **beside})
    assert made.status == 201, made.body


async def test_different_errors_are_told_together(api: Api):
    user_id = await api.user()

    answer = await api.post(
        PATH, {"urls": [{"user_id": user_id}, 7, {"user_id": user_id, "original_url": TARGET}]}
    )

    assert answer.status == 422
    assert answer.json["details"] == {
        "urls[0].original_url": "original_url is required",
        "urls[1]": "must be an object",
    }


async def test_many_are_changed_and_what_is_the_same_makes_no_event(api: Api, pool: Pool):
    user_id = await api.user()
    made = (await create(api, user_id, {"title": "a"}, {"title": "b"}, {"title": "c"})).json
    before = await counts(pool)

    answer = await api.ask(
        "PATCH",
        PATH,
        {
            "urls": [
                {"id": made[2]["id"], "original_url": "https://example.com/c", "tags": ["n"]},
                {"id": made[0]["id"], "title": "a"},
                {"id": made[1]["id"], "is_active": False, "title": None},
            ]
        },
    )

    assert answer.status == 200, answer.body
    for url in answer.json:
        assert (await api.get(f"/urls/{url['id']}")).json == url
    third, first, second = answer.json
    assert (third["original_url"], third["title"], third["tags"]) == (
        "https://example.com/c", "c", ["n"],
    )  # fmt: skip
    assert first == {**made[0], "updated_at": first["updated_at"]}
    assert (second["is_active"], second["title"]) == (False, None)
    assert await counts(pool) == (3, before[1] + 2, before[2] + 2)
    events = (await api.get(f"/events?url_id={third['id']}&event_type=updated")).json
    assert [event["details"] for event in events] == [
        {"original_url": "https://example.com/c", "tags": ["n"]}
    ]


@pytest.mark.parametrize(
    ("wrong", "status", "place"),
    [
        ({"id": 999, "title": "x"}, 404, "urls[1]"),
        ({"id": 1}, 400, "urls[1]"),
        ({"title": "x"}, 400, "urls[1].id"),
        ({"id": "1", "title": "x"}, 400, "urls[1].id"),
        ({"id": 1, "title": 5}, 400, "urls[1].title"),
        ({"id": 1, "short_code": "other"}, 400, "urls[1].short_code"),
        ({"id": 1, "password": "x"}, 400, "urls[1].password"),
        ({"id": 1, "original_url": "https://banned.com"}, 400, "urls[1].original_url"),
        ({"id": 1, "starts_at": "2041-01-01"}, 400, "urls[1].starts_at"),
        ({"id": 1, "expired_url": "https://banned.com"}, 400, "urls[1].expired_url"),
        ({"id": 2, "title": "twice"}, 400, "urls[1].id"),
        ([], 400, "urls[1]"),
    ],
    ids=str,
)
async def test_a_wrong_change_undoes_all_or_itself(api: Api, wrong: Any, status: int, place: str):
    user_id = await prepared(api)
    await api.url(user_id)
    items = [{"id": 2, "title": "good"}, wrong]

    whole = await api.ask("PATCH", PATH, {"urls": items})
    unchanged = (await api.get("/urls/2")).json["title"]
    part = await api.ask("PATCH", f"{PATH}?partial=true", {"urls": items})

    assert whole.status == status, whole.body
    assert set(whole.json["details"]) == {place}
    assert unchanged is None
    assert [result["status"] for result in part.json["results"]] == [200, status]
    assert (await api.get("/urls/2")).json["title"] == "good"


async def test_many_are_deleted_all_or_those_that_are_there(api: Api, bus: Redis):
    user_id = await api.user()
    ids = [url["id"] for url in (await create(api, user_id, {}, {}, {})).json]

    whole = await api.delete(PATH, body={"ids": [*ids, 999]})
    wrong = await api.delete(PATH, body={"ids": [ids[0], "x", ids[0]]})
    part = await api.delete(f"{PATH}?partial=true", body={"ids": [ids[0], 999, ids[2]]})

    assert (whole.status, whole.json["details"]) == (404, {"ids[3]": "URL not found"})
    assert set(wrong.json["details"]) == {"ids[1]", "ids[2].id"}
    assert part.json == {
        "succeeded": 2,
        "failed": 1,
        "results": [
            {"index": 0, "status": 204},
            {"index": 1, "status": 404, "error": "URL not found"},
            {"index": 2, "status": 204},
        ],
    }
    assert [url["id"] for url in (await api.get("/urls")).json] == [ids[1]]
    assert {c.record.state for c in await changes_on(bus) if c.operation == "deleted"} == {
        "deleted"
    }


async def test_an_owner_changes_their_own_only(start: Start, database: str):
    async with start(auth="required") as nobody:
        admin = Api(nobody.port, await admin_key(database))
        ada, bob = await admin.user("ada"), await admin.user("bob")
        theirs = await admin.url(bob)
        made = await admin.post(f"/users/{ada}/keys", {"name": "k", "scope": "write"})
        owner = Api(nobody.port, made.json["key"])

        own = await owner.post(PATH, {"urls": [{"original_url": TARGET}]})
        other = await owner.post(PATH, {"urls": [{"user_id": bob, "original_url": TARGET}]})
        changed = await owner.ask("PATCH", PATH, {"urls": [{"id": theirs["id"], "title": "x"}]})
        deleted = await owner.delete(PATH, body={"ids": [theirs["id"]]})

    assert [url["user_id"] for url in own.json] == [ada]
    assert (other.status, changed.status, deleted.status) == (403, 404, 404)


async def test_a_bulk_sent_again_is_done_once_also_when_it_is_large(api: Api, pool: Pool):
    user_id = await api.user()
    target = f"{TARGET}?{'x' * 1500}"
    body = {"urls": [{"user_id": user_id, "original_url": target} for _ in range(100)]}
    key = {"Idempotency-Key": "k"}

    first = await api.post(PATH, body, headers=key)
    again = await api.post(PATH, body, headers=key)

    assert first.status == again.status == 201
    assert first.body == again.body
    assert (await counts(pool))[0] == 100


async def test_a_body_has_a_limit(api: Api):
    answer = await api.post(PATH, raw=b" " * (bulk_handlers.MAX_BYTES + 1))

    assert answer.status == 413
