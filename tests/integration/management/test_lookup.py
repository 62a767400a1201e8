"""`/urls/lookup`: a URL by its code or its target."""

from urllib.parse import quote

import pytest

from tests.integration.management.conftest import Api, Start
from tests.integration.management.test_auth import admin_key

TARGET = "https://example.com/a?b=c#d"


async def test_a_code_or_an_alias_finds_its_url_and_only_exactly(api: Api):
    url = await api.url(await api.user(), short_code="Hello")
    await api.post(f"/urls/{url['id']}/aliases", {"short_code": "other"})
    shown = await api.get(f"/urls/{url['id']}")

    for code in ("Hello", "other"):
        found = await api.get(f"/urls/lookup?short_code={code}")
        assert (found.status, found.json) == (200, shown.json)
        assert found.headers["etag"] == shown.headers["etag"]
    for code in ("hello", "Hell", "Hello%20"):
        assert (await api.get(f"/urls/lookup?short_code={code}")).status == 404


async def test_a_target_finds_the_oldest_of_its_urls_and_only_exactly(api: Api):
    user_id = await api.user()
    first = await api.url(user_id, original_url=TARGET, archived=True)
    await api.url(user_id, original_url=TARGET)
    idn = await api.url(user_id, original_url="https://bücher.example.com/")

    assert (await api.get(f"/urls/lookup/?original_url={quote(TARGET)}")).json == first
    found = await api.get(f"/urls/lookup?original_url={quote('https://bücher.example.com/')}")
    assert found.json == idn
    for target in (TARGET[:-1], f"{TARGET}x", TARGET.replace("/a", "/A")):
        assert (await api.get(f"/urls/lookup?original_url={quote(target)}")).status == 404


async def test_nothing_in_the_trash_is_found(api: Api):
    url = await api.url(await api.user(), short_code="hello", original_url=TARGET)
    await api.delete(f"/urls/{url['id']}")

    assert (await api.get("/urls/lookup?short_code=hello")).status == 404
    assert (await api.get(f"/urls/lookup?original_url={quote(TARGET)}")).status == 404


@pytest.mark.parametrize(
    "query", ["", "?other=x", "?short_code=a&original_url=https://example.com/"]
)
async def test_neither_or_both_is_refused(api: Api, query: str):
    answer = await api.get(f"/urls/lookup{query}")

    assert answer.status == 400
    assert answer.error == "Give either short_code or original_url"


async def test_an_owner_finds_their_own_only(start: Start, database: str):
    async with start(auth="required") as api:
        admin = Api(api.port, await admin_key(database))
        clients, urls = [], []
        for name in ("ada", "bob"):
            user_id = await admin.user(name)
            made = await admin.post(f"/users/{user_id}/keys", {"name": "n"})
            clients.append(Api(api.port, made.json["key"]))
            urls.append(await admin.url(user_id, original_url=TARGET, short_code=f"of-{name}"))

        for client, own, other in zip(clients, urls, reversed(urls), strict=True):
            found = await client.get(f"/urls/lookup?original_url={quote(TARGET)}")
            assert found.json == own
            code = other["short_code"]
            assert (await client.get(f"/urls/lookup?short_code={code}")).status == 404
