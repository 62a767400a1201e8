"""`find_if_exists`: a link that is there instead of another one like it."""

from typing import Any

import pytest

from shared.postgres import Pool
from tests.integration.management.conftest import Answer, Api

TARGET = "https://example.com/a"


async def ask(api: Api, user_id: int, **fields: Any) -> Answer:
    body = {"user_id": user_id, "original_url": TARGET, "find_if_exists": True, **fields}
    return await api.post("/urls", body)


async def test_a_link_to_the_target_is_found_and_nothing_is_made(api: Api, pool: Pool):
    user_id = await api.user()

    made = await ask(api, user_id, title="T")
    found = await ask(api, user_id, title="Another")

    assert (made.status, found.status) == (201, 200)
    assert found.json == made.json
    assert found.headers["location"] == f"/urls/{made.json['id']}"
    assert found.headers["etag"] == made.headers["etag"]
    assert await pool.fetchval("SELECT count(*) FROM urls") == 1
    assert await pool.fetchval("SELECT count(*) FROM events") == 1


async def test_false_or_nothing_makes_another(api: Api):
    user_id = await api.user()
    first = await api.url(user_id)

    assert (await api.url(user_id))["id"] != first["id"]
    assert (await ask(api, user_id, find_if_exists=False)).status == 201


async def test_a_code_has_to_be_the_links_own_or_its_alias(api: Api):
    user_id = await api.user()
    url = await api.url(user_id, short_code="hello")
    await api.post(f"/urls/{url['id']}/aliases", {"short_code": "other"})

    for code in ("hello", "other"):
        found = await ask(api, user_id, short_code=code)
        assert (found.status, found.json["id"]) == (200, url["id"])
    assert (await ask(api, user_id, short_code="Hello")).status == 201
    other_target = await ask(api, user_id, short_code="hello", original_url="https://example.com/b")
    assert other_target.status == 409


@pytest.mark.parametrize(
    "fields",
    [
        {"starts_at": "2999-01-01T00:00:00"},
        {"expires_at": "2050-01-01T00:00:00"},
        {"max_clicks": 5},
        {"password": "long enough"},
        {"archived": True},
        {"rules": [{"target": "https://example.com/c"}]},
        {"original_url": f"{TARGET}/"},
    ],
    ids=lambda fields: next(iter(fields)),
)
async def test_a_link_that_does_something_else_is_not_found(api: Api, fields: dict[str, Any]):
    user_id = await api.user()
    await api.url(user_id, **fields)

    assert (await ask(api, user_id)).status == 201


async def test_neither_is_one_that_is_off_in_the_trash_or_anothers(api: Api):
    user_id = await api.user()
    off, trashed = await api.url(user_id), await api.url(user_id)
    await api.put(f"/urls/{off['id']}", {"is_active": False})
    await api.delete(f"/urls/{trashed['id']}")
    await api.url(await api.user("bob"))

    assert (await ask(api, user_id)).status == 201


async def test_options_are_refused_beside_it(api: Api, pool: Pool):
    answer = await ask(api, await api.user(), tags=["a"], max_clicks=1)

    assert answer.status == 422
    assert answer.json["details"] == {
        "find_if_exists": "find_if_exists does not go with max_clicks, tags"
    }
    assert await pool.fetchval("SELECT count(*) FROM urls") == 0
