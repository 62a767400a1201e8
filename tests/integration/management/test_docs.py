import base64
import hashlib
import re

import pytest

from management.app import describe
from tests.integration.management.conftest import Api, Start


async def test_the_description_is_served_to_everybody(start: Start):
    async with start(auth="required") as api:
        answer = await api.get("/openapi.json")

    assert answer.status == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.json == describe()


async def test_the_page_loads_nothing_from_elsewhere(start: Start):
    async with start(auth="required") as api:
        page = await api.get("/docs")
        addresses = re.findall(r'(?:src|href)="([^"]+)"', page.body.decode())
        loaded = [await api.get(address) for address in addresses if address != "data:,"]

    assert page.status == 200
    assert all(address.startswith("/") or address == "data:," for address in addresses)
    assert [(answer.status, answer.headers["content-type"]) for answer in loaded] == [
        (200, "text/css; charset=utf-8"),
        (200, "application/json"),
        (200, "text/javascript; charset=utf-8"),
    ]
    assert all(len(answer.body) > 10_000 for answer in loaded)


async def test_the_page_s_policy_admits_its_own_script_and_no_other(api: Api):
    page = await api.get("/docs/")
    (script,) = re.findall(rb"<script>(.+?)</script>", page.body, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script).digest()).decode()

    policy = page.headers["content-security-policy"]

    assert f"script-src 'self' 'sha256-{digest}'" in policy
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "://" not in policy


@pytest.mark.parametrize("name", ["nothing.js", "..%2F__init__.py", "redoc.js"])
async def test_the_page_has_no_other_files(api: Api, name: str):
    answer = await api.get(f"/docs/{name}")

    assert (answer.status, answer.json) == (404, {"error": "Not found"})
