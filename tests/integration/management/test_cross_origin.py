"""Which other sites' pages a browser lets call the API."""

import pytest

from tests.integration.management.conftest import Start

APP, OTHER = "https://app.example.com", "https://other.example"
PREFLIGHT = {
    "Access-Control-Request-Method": "PATCH",
    "Access-Control-Request-Headers": "authorization, content-type, if-match",
}


async def test_pages_of_a_named_origin_may_call_and_read(start: Start):
    async with start(auth="required", cors_origins=f"http://localhost:3000, {APP}") as api:
        asked = await api.ask("OPTIONS", "/urls/1", headers={"Origin": APP, **PREFLIGHT})
        refused = await api.get("/urls", headers={"Origin": APP})

    assert asked.status == 200
    assert asked.headers["access-control-allow-origin"] == APP
    assert "PATCH" in asked.headers["access-control-allow-methods"]
    assert "If-Match" in asked.headers["access-control-allow-headers"]
    assert asked.headers["access-control-max-age"] == "7200"
    assert refused.status == 401  # an error can be read, too
    assert refused.headers["access-control-allow-origin"] == APP
    assert "X-Next-Cursor" in refused.headers["access-control-expose-headers"]
    assert "access-control-allow-credentials" not in refused.headers
    assert "Origin" in refused.headers["vary"]


@pytest.mark.parametrize("origins", ["", APP])
async def test_others_may_not(start: Start, origins: str):
    async with start(cors_origins=origins) as api:
        asked = await api.ask("OPTIONS", "/urls/1", headers={"Origin": OTHER, **PREFLIGHT})
        answer = await api.get("/urls", headers={"Origin": OTHER})

    assert asked.status >= 400
    assert "access-control-allow-origin" not in asked.headers
    assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"Origin": OTHER}, "Disallowed CORS origin"),
        ({"Access-Control-Request-Method": "TRACE"}, "Disallowed CORS method"),
        ({"Access-Control-Request-Headers": "x-mine"}, "Disallowed CORS headers"),
    ],
)
async def test_what_is_refused_is_an_error_like_all(
    start: Start, changed: dict[str, str], says: str
):
    async with start(cors_origins=APP) as api:
        asked = await api.ask("OPTIONS", "/urls", headers={"Origin": APP, **PREFLIGHT, **changed})

    assert (asked.status, asked.json) == (400, {"error": says})
    assert asked.headers["content-type"] == "application/json"
    assert "Origin" in asked.headers["vary"]
    assert asked.headers["x-request-id"]
