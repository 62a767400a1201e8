import asyncio
from typing import Any

import pytest
from redis.asyncio import Redis

from shared.postgres import Pool
from tests.integration.management.conftest import Api, Start
from tests.integration.management.test_auth import World, admin_key
from tests.integration.management.test_urls import changes_on
from tests.waiting import eventually, is_waiting

CSV = b"""id,username,email,created_at
7,grace,grace@example.com,2025-07-13 12:40:57
9,alan,alan@example.com,2025-12-04 18:26:42
"""


async def test_a_user_lives_from_post_to_delete(api: Api):
    created = await api.post("/users", {"username": "ada", "email": "ada@example.com", "x": 1})
    assert created.status == 201
    user = created.json
    assert list(user) == ["id", "username", "email", "created_at"]
    assert not user["created_at"].endswith("Z")
    assert "+" not in user["created_at"]
    path = f"/users/{user['id']}"

    assert (await api.get(path)).json == user
    assert (await api.get(f"{path}/")).json == user
    changed = await api.put(path, {"email": "lovelace@example.com"})
    assert changed.json == {**user, "email": "lovelace@example.com"}

    assert (await api.delete(path)).status == 204
    assert [(await api.get(path)).status, (await api.delete(path)).status] == [404, 404]
    assert (await api.get(path)).error == "User not found"


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({}, {"username", "email"}),
        ({"username": "", "email": "a@example.com"}, {"username"}),
        ({"username": "  ", "email": "a@example.com"}, {"username"}),
        ({"username": 1, "email": True}, {"username", "email"}),
        ({"username": None, "email": None}, {"username", "email"}),
        ({"username": "x" * 256, "email": "a@example.com"}, {"username"}),
        ({"username": "a\0b", "email": "a@example.com"}, {"username"}),
        ({"username": "a", "email": "no-at"}, {"email"}),
        ({"username": "a", "email": "a@b"}, {"email"}),
        ({"username": "a", "email": "a b@example.com"}, {"email"}),
        ({"username": "a", "email": f"{'x' * 250}@example.com"}, {"email"}),
    ],
)
async def test_wrong_fields_are_all_named(api: Api, body: dict[str, Any], fields: set[str]):
    created = await api.post("/users", body)
    assert created.status == 422
    assert created.error
    assert set(created.json["details"]) == fields

    user_id = await api.user()
    changed = await api.put(f"/users/{user_id}", body)
    assert changed.status == 400
    assert (await api.get("/users")).json[0]["username"] == "ada"


async def test_a_taken_name_or_address_is_a_conflict(api: Api):
    await api.user("ada")
    other = await api.user("grace")

    for body in (
        {"username": "ada", "email": "new@example.com"},
        {"username": "new", "email": "ADA@example.com"},
    ):
        assert (await api.post("/users", body)).status == 409
        assert (await api.put(f"/users/{other}", body)).status == 409


@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b"null", b'"x"', b"\xff", b"[" * 5000])
async def test_what_is_no_json_object_is_malformed(api: Api, raw: bytes):
    user_id = await api.user()
    for method, path in [
        ("POST", "/users"),
        ("PUT", f"/users/{user_id}"),
        ("POST", "/urls"),
        ("POST", "/events"),
    ]:
        answer = await api.ask(method, path, raw=raw)
        assert answer.status == 400
        assert answer.error


async def test_a_body_over_the_limit_is_too_large(api: Api):
    assert (await api.post("/users", {"username": "x" * 70_000})).status == 413


async def test_pages_by_number_and_by_cursor(api: Api):
    ids = [await api.user(f"user{n}") for n in range(5)]

    async def page(query: str) -> list[int]:
        return [user["id"] for user in (await api.get(f"/users{query}")).json]

    assert await page("") == ids
    assert await page("?page=2&per_page=2") == ids[2:4]
    assert await page("?page=4&per_page=2") == []
    assert await page(f"?cursor={ids[2]}") == ids[3:]
    first = await api.get("/users?per_page=2")
    assert first.headers["link"] == f'</users?cursor={ids[1]}&per_page=2>; rel="next"'
    assert "link" not in (await api.get("/users?per_page=5")).headers


@pytest.mark.parametrize(
    "query", ["per_page=0", "per_page=1001", "per_page=x", "page=0", "page=-1", "cursor=a", "page="]
)
async def test_a_bad_page_names_the_parameter(api: Api, query: str):
    answer = await api.get(f"/users?{query}")

    assert answer.status == 400
    assert list(answer.json["details"]) == [query.partition("=")[0]]


@pytest.mark.parametrize("user_id", ["0", "abc", "-1", "99999999999999999999", "1.5", "%00"])
async def test_what_can_be_no_id_is_not_found(api: Api, user_id: str):
    for method in ("GET", "DELETE"):
        answer = await api.ask(method, f"/users/{user_id}")
        assert (answer.status, answer.error) == (404, "User not found")


async def test_a_file_of_users_keeps_its_ids_and_can_be_repeated(api: Api):
    for _ in range(2):
        answer = await api.upload(CSV)
        assert (answer.status, answer.json) == (200, {"count": 2, "imported": 2})

    users = (await api.get("/users")).json
    assert [user["id"] for user in users] == [7, 9]
    assert users[0]["created_at"] == "2025-07-13T12:40:57"
    assert await api.user() == 10


async def test_an_empty_file_is_no_users_and_no_file_an_error(api: Api):
    for content in (b"", b"id,username,email,created_at\n"):
        assert (await api.upload(content)).json == {"count": 0, "imported": 0}
    assert (await api.upload(CSV, field="other")).status == 400
    assert (await api.post("/users/bulk", {})).status == 400
    assert (await api.post("/users/bulk")).status == 400


@pytest.mark.parametrize(
    ("row", "field"),
    [
        ("x,alan,alan@example.com,2025-12-04 18:26:42", "id"),
        ("9,,alan@example.com,2025-12-04 18:26:42", "username"),
        ("9,alan,nowhere,2025-12-04 18:26:42", "email"),
        ("9,alan,alan@example.com,yesterday", "created_at"),
        ("7,alan,alan@example.com,2025-12-04 18:26:42", "id"),
        ("9,grace,alan@example.com,2025-12-04 18:26:42", "username"),
        ("9,alan,grace@example.com,2025-12-04 18:26:42", "email"),
    ],
)
async def test_a_bad_row_imports_nothing_and_names_line_and_field(api: Api, row: str, field: str):
    first = b"".join(CSV.splitlines(keepends=True)[:2])

    answer = await api.upload(first + row.encode() + b"\n")

    assert answer.status == 422
    assert answer.error.startswith("Line 3")
    assert list(answer.json["details"]) == [field]
    assert (await api.get("/users")).json == []


async def test_a_wrong_header_too_few_fields_and_wrong_encoding_are_said(api: Api):
    assert (await api.upload(b"name,mail\na,b\n")).status in {400, 422}
    assert "Line 2" in (await api.upload(b"id,username,email,created_at\n1,a\n")).error
    assert "Line 2" in (await api.upload(b"id,username,email,created_at\n1,\xff\n")).error


async def test_a_removed_users_links_may_become_another_users(api: Api, bus: Redis):
    ada, bob = await api.user("ada"), await api.user("bob")
    live, trashed, bobs = await api.url(ada), await api.url(ada), await api.url(bob)
    await api.delete(f"/urls/{trashed['id']}")

    assert (await api.delete(f"/users/{ada}?transfer_to={bob}")).status == 204

    assert (await api.get(f"/users/{ada}")).status == 404
    shown = (await api.get(f"/urls?user_id={bob}")).json
    assert [url["id"] for url in shown] == [live["id"], bobs["id"]]
    assert shown[0] == {**live, "user_id": bob, "updated_at": shown[0]["updated_at"]}
    announced = max(await changes_on(bus), key=lambda change: change.record.version)
    assert (announced.code, announced.record.user_id) == (live["short_code"], bob)
    assert announced.record.state == "active"
    restored = await api.post(f"/urls/{trashed['id']}/restore")
    assert (restored.status, restored.json["user_id"]) == (200, bob)
    history = (await api.get(f"/urls/{live['id']}/history")).json
    assert history[-1]["details"] == {"user_id": bob}
    (record,) = (await api.get("/admin/audit?action=user.deleted")).json
    assert record["details"] == {"transferred_to": bob, "urls": 1}


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("1", "transfer_to must be another user"),
        ("999", "transfer_to is no user"),
        ("x", "transfer_to"),
    ],
)
async def test_links_are_not_given_to_nobody(api: Api, query: str, says: str):
    url = await api.url(await api.user())

    answer = await api.delete(f"/users/1?transfer_to={query}")

    assert answer.status == 400
    assert says in answer.json["details"]["transfer_to"]
    assert (await api.get("/urls")).json == [url]


async def test_only_an_administrator_gives_links_to_others(start: Start, database: str):
    async with start(auth="required") as api:
        world = World(api, await admin_key(database))
        await world.fill()
        other = await world.admin.user("heir")

        refused = await world.owner.delete(f"/users/{world.owner_id}?transfer_to={other}")
        allowed = await world.admin.delete(f"/users/{world.owner_id}?transfer_to={other}")

    assert (refused.status, allowed.status) == (403, 204)


async def test_two_users_who_are_each_others_heirs_do_not_wait_for_ever(api: Api):
    ada, bob = await api.user("ada"), await api.user("bob")
    await api.url(ada)
    await api.url(bob)

    answers = await asyncio.gather(
        api.delete(f"/users/{ada}?transfer_to={bob}"), api.delete(f"/users/{bob}?transfer_to={ada}")
    )

    assert sorted(answer.status for answer in answers) in ([204, 400], [204, 404])
    assert len((await api.get("/urls")).json) == 2


TRASH = "UPDATE urls SET deleted_at = now() WHERE id = $1"
RESTORE = "UPDATE urls SET deleted_at = NULL WHERE id = $1"


@pytest.mark.parametrize("change", [TRASH, RESTORE], ids=["trashed", "restored"])
@pytest.mark.parametrize("is_given", [False, True])
async def test_a_link_that_is_trashed_or_restored_as_its_user_goes_goes_with_the_others(
    api: Api, pool: Pool, change: str, *, is_given: bool
):
    ada, bob = await api.user("ada"), await api.user("bob")
    url = await api.url(ada)
    if change == RESTORE:
        await api.delete(f"/urls/{url['id']}")

    async with (
        asyncio.TaskGroup() as tasks,
        pool.acquire() as other,
        other.transaction(),
    ):
        await other.execute(change, url["id"])
        removal = tasks.create_task(
            api.delete(f"/users/{ada}?transfer_to={bob}" if is_given else f"/users/{ada}")
        )
        await eventually(lambda: is_waiting(other))

    assert removal.result().status == 204
    row = await pool.fetchrow("SELECT user_id, deleted_at FROM urls WHERE id = $1", url["id"])
    assert row is not None
    assert row["user_id"] == (bob if is_given else None)
    assert (row["deleted_at"] is None) == (is_given and change == RESTORE)


async def test_a_deleted_users_links_stop_and_its_events_stay(api: Api, pool: Pool):
    user_id = await api.user()
    url = await api.url(user_id)

    assert (await api.delete(f"/users/{user_id}")).status == 204

    assert (await api.get(f"/urls/{url['id']}")).status == 404
    events = (await api.get("/events")).json
    assert [event["event_type"] for event in events] == ["created", "deleted"]
    assert all(event["url_id"] is None and event["user_id"] is None for event in events)
    code = url["short_code"]
    assert await pool.fetchval("SELECT deleted_at FROM urls WHERE short_code = $1", code)
