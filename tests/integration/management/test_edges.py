from uuid import UUID

import pytest

from shared.postgres import Pool
from tests.integration.management.conftest import Api, Start


async def test_health_touches_nothing_and_ready_names_what_lacks(start: Start):
    async with start(
        postgres_dsn="postgres://nobody@127.0.0.1:1/x", cache_url="redis://127.0.0.1:1"
    ) as api:
        alive = await api.get("/health")
        ready = await api.get("/health/ready")
        users = await api.get("/users")

    assert (alive.status, alive.json) == (200, {"status": "ok"})
    assert ready.status == 503
    assert ready.json["details"] == {
        "postgres": "unavailable",
        "cache": "unavailable",
        "bus": "ok",
    }
    assert users.status == 503
    assert users.headers["retry-after"] == "1"
    assert users.error


async def test_ready_with_all_there(api: Api):
    answer = await api.get("/health/ready")

    assert (answer.status, answer.json) == (200, {"status": "ok"})


async def test_home_says_what_this_is(api: Api):
    answer = await api.get("/")

    assert answer.status == 200
    assert answer.headers["content-type"].startswith("text/html")
    assert b"Shortwire" in answer.body


@pytest.mark.parametrize("path", ["/nothing", "/users/1/nothing", "/urls/1/2/3", "/metrics"])
async def test_an_unknown_path_is_not_found_in_the_error_shape(api: Api, path: str):
    answer = await api.get(path)

    assert answer.status == 404
    assert answer.error


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/users", "GET, HEAD, POST"),
        ("/users/1", "DELETE, GET, HEAD, PUT"),
        ("/users/bulk", "POST"),
        ("/urls/1/", "DELETE, GET, HEAD, PATCH, PUT"),
        ("/events/1", "GET, HEAD, PUT"),
        ("/health", "GET, HEAD"),
    ],
)
async def test_a_wrong_method_is_told_the_right_ones(api: Api, path: str, allowed: str):
    answer = await api.ask("TRACE", path)

    assert answer.status == 405
    assert answer.headers["allow"] == allowed
    assert answer.error


async def test_who_prefers_html_gets_a_page_with_the_same_status(api: Api):
    answer = await api.get("/nothing", headers={"Accept": "text/html"})

    assert answer.status == 404
    assert answer.headers["content-type"].startswith("text/html")


async def test_every_answer_has_a_request_id(api: Api):
    given = await api.get("/users", headers={"X-Request-ID": "client-1"})
    made = await api.get("/nothing", headers={"X-Request-ID": "with space"})

    assert given.headers["x-request-id"] == "client-1"
    assert UUID(made.headers["x-request-id"])


async def test_a_bug_is_a_500_without_a_stack_trace(api: Api, pool: Pool):
    await pool.execute("ALTER TABLE users RENAME COLUMN email TO mail")

    answer = await api.get("/users")

    assert answer.status == 500
    assert answer.json == {"error": "Internal error"}
    assert answer.headers["x-request-id"]
