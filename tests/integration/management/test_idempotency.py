"""`Idempotency-Key`: what is sent twice is done once."""

import asyncio
from typing import Any

import pytest

from management import url_handlers
from shared.postgres import Pool
from tests.integration.management.conftest import Answer, Api, Start
from tests.integration.management.test_auth import admin_key

KEY = {"Idempotency-Key": "order-1"}


def body_of(path: str, user_id: int, url_id: int) -> dict[str, Any]:
    bodies: dict[str, dict[str, Any]] = {
        "/users": {"username": "bob", "email": "bob@example.com"},
        "/urls": {"user_id": user_id, "original_url": "https://example.com/b"},
        "/events": {"user_id": user_id, "url_id": url_id, "event_type": "scan"},
    }
    return bodies[path]


def without_id(answer: Answer) -> dict[str, str]:
    changing = {"x-request-id", "date", "idempotency-replayed"}
    return {name: value for name, value in answer.headers.items() if name not in changing}


@pytest.mark.parametrize("path", ["/users", "/urls", "/events"])
async def test_a_post_that_is_sent_again_is_done_once(api: Api, pool: Pool, path: str):
    user_id = await api.user()
    body = body_of(path, user_id, (await api.url(user_id))["id"])
    counted = f"SELECT count(*) FROM {path[1:]}"
    before = await pool.fetchval(counted)

    first = await api.post(path, body, headers=KEY)
    again = await api.post(path, body, headers=KEY)
    other = await api.post(path, {**body, "more": 1}, headers=KEY)

    assert first.status == again.status == 201
    assert again.body == first.body
    assert without_id(again) == without_id(first)
    assert "idempotency-replayed" not in first.headers
    assert again.headers["idempotency-replayed"] == "true"
    assert other.status == 422
    assert set(other.json["details"]) == {"Idempotency-Key"}
    assert await pool.fetchval(counted) == before + 1


async def test_another_path_or_query_is_another_request(api: Api):
    user_id = await api.user()
    body = body_of("/urls", user_id, 0)
    await api.post("/urls", body, headers=KEY)

    assert (await api.post("/urls?x=1", body, headers=KEY)).status == 422


async def test_what_was_refused_may_be_mended_under_the_same_key(api: Api):
    user_id = await api.user()

    refused = await api.post("/urls", {"user_id": user_id}, headers=KEY)
    done = await api.post("/urls", body_of("/urls", user_id, 0), headers=KEY)

    assert (refused.status, done.status) == (422, 201)
    assert "idempotency-replayed" not in done.headers


async def test_a_key_is_its_principals_own(start: Start, database: str):
    async with start(auth="required") as nobody:
        admin = Api(nobody.port, await admin_key(database))
        owners = []
        for name in ("ada", "bob"):
            user_id = await admin.user(name)
            made = await admin.post(f"/users/{user_id}/keys", {"name": "k", "scope": "write"})
            owners.append((user_id, Api(nobody.port, made.json["key"])))

        answers = [
            await owner.post("/urls", {"original_url": "https://example.com/"}, headers=KEY)
            for _, owner in owners
        ]

    assert [answer.json["user_id"] for answer in answers] == [user_id for user_id, _ in owners]


async def test_two_at_once_make_one(api: Api, pool: Pool):
    user_id = await api.user()
    body = body_of("/urls", user_id, 0)

    answers = await asyncio.gather(*(api.post("/urls", body, headers=KEY) for _ in range(8)))

    assert await pool.fetchval("SELECT count(*) FROM urls") == 1
    assert {answer.status for answer in answers} <= {201, 409}
    done = [answer for answer in answers if answer.status == 201]
    assert len({answer.body for answer in done}) == 1
    assert sum("idempotency-replayed" not in answer.headers for answer in done) == 1


async def test_a_key_whose_request_never_ended_is_free_after_a_while(api: Api, pool: Pool):
    user_id = await api.user()
    body = body_of("/urls", user_id, 0)
    await api.post("/urls", body, headers=KEY)
    await pool.execute("UPDATE idempotency_keys SET status = NULL")

    meanwhile = await api.post("/urls", body, headers=KEY)
    await pool.execute("UPDATE idempotency_keys SET claimed_at = now() - interval '61 seconds'")
    after = await api.post("/urls", body, headers=KEY)

    assert meanwhile.status == 409
    assert after.status == 201


async def test_a_key_ends_after_a_day_and_is_removed(api: Api, pool: Pool):
    user_id = await api.user()
    body = body_of("/urls", user_id, 0)
    first = await api.post("/urls", body, headers=KEY)
    await api.post("/urls", body, headers={"Idempotency-Key": "order-2"})
    await pool.execute("UPDATE idempotency_keys SET claimed_at = now() - interval '25 hours'")

    later = await api.post("/urls", body, headers=KEY)

    assert later.json["id"] != first.json["id"]
    assert await pool.fetchval("SELECT count(*) FROM idempotency_keys") == 1


async def test_neither_keys_nor_passwords_are_kept(api: Api, pool: Pool):
    body = {**body_of("/urls", await api.user(), 0), "password": "open sesame"}

    await api.post("/urls", body, headers=KEY)

    row = str(dict(await pool.fetchrow("SELECT * FROM idempotency_keys") or {}))
    assert "order-1" not in row
    assert "sesame" not in row


async def test_a_bug_frees_its_key(api: Api, monkeypatch: pytest.MonkeyPatch):
    user_id = await api.user()
    body = body_of("/urls", user_id, 0)

    with monkeypatch.context() as patched:
        patched.setattr(url_handlers, "LinkChanges", None)
        failed = await api.post("/urls", body, headers=KEY)

    assert failed.status == 500
    assert (await api.post("/urls", body, headers=KEY)).status == 201


@pytest.mark.parametrize("key", ["", " ", "a b", "ü", "x" * 256])
async def test_a_wrong_key_is_refused(api: Api, pool: Pool, key: str):
    answer = await api.post("/users", {}, headers={"Idempotency-Key": key})

    assert answer.status == 400
    assert set(answer.json["details"]) == {"Idempotency-Key"}
    assert await pool.fetchval("SELECT count(*) FROM idempotency_keys") == 0


async def test_the_longest_body_is_no_longer_with_a_key(api: Api):
    answer = await api.post("/users", raw=b"{" + b" " * (64 << 10), headers=KEY)

    assert answer.status == 413
