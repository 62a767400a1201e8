"""Every route of the API, walked as nobody, a stranger, the owner and an administrator.

The routes are the app's own: one that is not in the table fails the test.
"""

from typing import Any

import msgspec
import pytest

from management.app import ROUTES
from management.descriptions import Path
from management.resources import paths_of
from shared.postgres import Pool
from tests.integration.management.conftest import Api, Start
from tests.integration.management.test_auth import World
from tests.integration.management.test_keys import world_of


class Row(msgspec.Struct, frozen=True):
    """What a stranger, the owner and an administrator are answered, in this order."""

    stranger: int
    owner: int
    admin: int
    body: Any = None
    query: str = ""


LINK = {"original_url": "https://example.com/walk"}
# Deletions come last, and what a deletion of the owner leaves is walked by the administrator.
TABLE: dict[str, Row] = {
    "GET /users": Row(200, 200, 200),
    "POST /users": Row(403, 403, 201, {"username": "n", "email": "n@example.com"}),
    "POST /users/bulk": Row(403, 403, 400),
    "GET /users/{user_id}": Row(404, 200, 200),
    "PUT /users/{user_id}": Row(404, 200, 200, {"username": "renamed"}),
    "GET /users/{user_id}/audit": Row(404, 200, 200),
    "GET /admin/audit": Row(403, 403, 200),
    "GET /users/{user_id}/keys": Row(404, 200, 200),
    "POST /users/{user_id}/keys": Row(404, 201, 201, {"name": "n"}),
    "GET /urls": Row(200, 200, 200),
    "POST /urls": Row(403, 201, 201, {**LINK, "user_id": "{user_id}"}),
    "POST /urls/bulk": Row(403, 201, 201, {"urls": [{**LINK, "user_id": "{user_id}"}]}),
    "PATCH /urls/bulk": Row(404, 200, 200, {"urls": [{"id": "{url_id}", "title": "B"}]}),
    "GET /urls/lookup": Row(404, 200, 200, query="short_code={short_code}"),
    "GET /urls/trash": Row(200, 200, 200),
    "GET /urls/{url_id}": Row(404, 200, 200),
    "PUT /urls/{url_id}": Row(404, 200, 200, {"title": "T"}),
    "PATCH /urls/{url_id}": Row(404, 200, 200, {"title": "T"}),
    "GET /urls/{url_id}/aliases": Row(404, 200, 200),
    "POST /urls/{url_id}/aliases": Row(404, 201, 409, {"short_code": "other-code"}),
    "GET /urls/{url_id}/history": Row(404, 200, 200),
    "POST /urls/{url_id}/restore": Row(404, 404, 404),  # it is not in the trash
    "GET /urls/{url_id}/events/live": Row(404, 200, 200),
    "GET /urls/{url_id}/qr": Row(404, 200, 200),
    "GET /urls/{url_id}/stats": Row(404, 200, 200),
    "GET /stats": Row(200, 200, 200),
    "GET /stats/orphans": Row(403, 403, 200),
    "GET /tags": Row(200, 200, 200),
    "PATCH /tags/{name}": Row(404, 200, 404, {"name": "renamed"}),
    "DELETE /tags/{name}": Row(404, 404, 404),  # it is renamed
    "GET /banned-hosts": Row(403, 403, 200),
    "PUT /banned-hosts/{host}": Row(403, 403, 200, {"reason": "phishing"}),
    "DELETE /banned-hosts/{host}": Row(403, 403, 204),
    "GET /reserved-codes": Row(403, 403, 200),
    "PUT /reserved-codes/{code}": Row(403, 403, 200, {}),
    "DELETE /reserved-codes/{code}": Row(403, 403, 204),
    "GET /events": Row(200, 200, 200),
    "POST /events": Row(
        404, 201, 201, {"url_id": "{url_id}", "user_id": "{user_id}", "event_type": "scan"}
    ),
    "GET /events/export": Row(200, 200, 200),
    "GET /events/{event_id}": Row(404, 200, 200),
    "PUT /events/{event_id}": Row(403, 403, 200, {"event_type": "x"}),
    "GET /webhooks": Row(200, 200, 200),
    "POST /webhooks": Row(
        403,
        201,
        201,
        {"url": "https://example.com/hook", "events": ["clicks"], "user_id": "{user_id}"},
    ),
    "GET /webhooks/{webhook_id}": Row(404, 200, 200),
    "PUT /webhooks/{webhook_id}": Row(404, 200, 200, {"events": ["clicks"]}),
    "POST /webhooks/{webhook_id}/test": Row(404, 202, 202),
    "GET /webhooks/{webhook_id}/deliveries": Row(404, 200, 200),
    "DELETE /webhooks/{webhook_id}": Row(404, 204, 404),
    "DELETE /urls/{url_id}/aliases/{alias}": Row(404, 204, 404),
    "DELETE /users/{user_id}/keys/{key_id}": Row(404, 204, 404),
    "DELETE /urls/bulk": Row(404, 200, 404, {"ids": ["{second_url_id}"]}),
    "DELETE /urls/{url_id}": Row(404, 204, 404),
    "DELETE /users/{user_id}": Row(404, 204, 404),
}
ENDLESS = {
    "GET /urls/{url_id}/events/live"
}  # asked for its head, which the same check lets through
WITHOUT_KEY = {"/", "/docs", "/docs/{asset}", "/openapi.json", "/health", "/health/ready"}


def method_and_path(operation: str) -> tuple[str, str]:
    method, _, template = operation.partition(" ")
    return "HEAD" if operation in ENDLESS else method, template


def operations() -> list[tuple[str, Path]]:
    return [(method.upper(), path) for path in paths_of(ROUTES) for method in path.methods]


WITH_KEY = [f"{method} {path.path}" for method, path in operations() if path.needs_key]


def filled(template: Any, values: dict[str, Any]) -> Any:
    """The path or body, its {names} replaced; a body's whole value keeps its type."""
    if isinstance(template, dict):
        return {name: filled(value, values) for name, value in template.items()}
    if isinstance(template, list):
        return [filled(value, values) for value in template]
    if isinstance(template, str) and template[1:-1] in values:
        return values[template[1:-1]]
    return template.format(**values) if isinstance(template, str) else template


async def values_of(world: World) -> dict[str, Any]:
    key = (await world.with_key_row(world.owner_id))["id"]
    body = {"url": "https://example.com/hook", "events": ["clicks"]}
    hook = (await world.owner.post("/webhooks", body)).json
    return {
        "user_id": world.owner_id,
        "url_id": world.url["id"],
        "short_code": world.url["short_code"],
        "event_id": world.event["id"],
        "key_id": key,
        "webhook_id": hook["id"],
        "second_url_id": (await world.owner.post("/urls", {**LINK, "tags": ["walked"]})).json["id"],
        "alias": "other-code",
        "name": "walked",
        "host": "bad.example.com",
        "code": "walked",
    }


def test_every_route_is_in_the_table():
    public = {path.path for _, path in operations() if not path.needs_key}

    assert public == WITHOUT_KEY, "what needs no key is said here"
    missing = set(WITH_KEY) - set(TABLE)
    assert not missing, "say who may do it: add a row to TABLE"
    assert set(TABLE) <= set(WITH_KEY), "the table has a route that is gone"


async def test_each_route_answers_each_by_what_they_may(start: Start, database: str):
    async with start(auth="required") as api:
        world = await world_of(api, database)
        values = await values_of(world)
        wrong = []
        for operation, row in TABLE.items():
            method, template = method_and_path(operation)
            path = filled(f"{template}?{row.query}" if row.query else template, values)
            body = None if row.body is None else filled(row.body, values)
            for who, client, status in [
                ("nobody", world.nobody, 401),
                ("stranger", world.stranger, row.stranger),
                ("owner", world.owner, row.owner),
                ("admin", world.admin, row.admin),
            ]:
                answer = await client.ask(method, path, body)
                if answer.status != status:
                    wrong.append((who, operation, status, answer.status, answer.body[:120]))
                if answer.status >= 400 and method != "HEAD":
                    assert answer.error

    assert wrong == []


@pytest.mark.parametrize("kind", ["read-only", "expired", "revoked"])
async def test_a_key_that_may_not_may_nowhere(start: Start, database: str, pool: Pool, kind: str):
    async with start(auth="required") as api:
        world = await world_of(api, database)
        values = await values_of(world)
        client = await ended_key(world, pool, kind)
        before = await everything(pool)
        wrong = []
        for number, operation in enumerate(WITH_KEY):
            method, template = method_and_path(operation)
            # Each from another address: one may not try so many wrong keys.
            address = {"X-Forwarded-For": f"203.0.113.{number}"}
            query = TABLE[WITH_KEY[number]].query
            path = filled(f"{template}?{query}" if query else template, values)
            answer = await client.ask(method, path, {"name": "n"}, headers=address)
            is_reading = method in {"GET", "HEAD"}
            expected = {401} if kind != "read-only" else {200, 403} if is_reading else {403}
            if answer.status not in expected:
                wrong.append((operation, answer.status, answer.body[:120]))

        assert wrong == []
        assert await everything(pool) == before, "nothing was changed"


async def ended_key(world: World, pool: Pool, kind: str) -> Api:
    scope = "read" if kind == "read-only" else "write"
    made = await world.with_key_row(world.owner_id, scope=scope)
    if kind == "revoked":
        path = f"/users/{world.owner_id}/keys/{made['id']}"
        assert (await world.owner.delete(path)).status == 204
    if kind == "expired":
        await pool.execute("UPDATE api_keys SET expires_at = now() WHERE id = $1", made["id"])
    return Api(world.nobody.port, made["key"])


async def everything(pool: Pool) -> list[Any]:
    tables = ("users", "urls", "events", "url_aliases", "audit_records", "webhooks")
    counts = [await pool.fetchval(f"SELECT count(*) FROM {table}") for table in tables]
    keys = await pool.fetchval("SELECT array_agg((id, revoked_at) ORDER BY id)::text FROM api_keys")
    return [*counts, keys]
