"""What administrators forbid: hosts and codes, at once and for every way to a link."""

import asyncio
from typing import Any

import pytest
from redis.asyncio import Redis

from management import takedown
from tests.integration.management.conftest import Api, Start
from tests.integration.management.test_aliases import newest
from tests.integration.management.test_auth import World, admin_key

FINE = "https://example.com/"


async def test_a_ban_lives_from_put_to_delete(api: Api):
    first = await api.put("/banned-hosts/Evil.Example")
    again = await api.put("/banned-hosts/evil.example")
    wide = await api.put("/banned-hosts/b%C3%BCcher.example")

    listed = (await api.get("/banned-hosts?per_page=1")).json
    assert first.status == 200
    assert again.json == first.json
    assert (first.json["host"], first.json["links_stopped"]) == ("evil.example", 0)
    assert wide.json["host"] == "xn--bcher-kva.example"
    assert listed == [{k: v for k, v in first.json.items() if k != "links_stopped"}]
    assert (await api.delete("/banned-hosts/evil.example")).status == 204
    assert (await api.delete("/banned-hosts/evil.example")).status == 404
    await api.url(await api.user(), original_url="https://evil.example.com/")


@pytest.mark.parametrize("host", ["127.0.0.1", "0x7f.1", "a%20b", "-", "a..b", "x" * 64])
async def test_what_is_no_host_is_refused(api: Api, host: str):
    answer = await api.put(f"/banned-hosts/{host}")

    assert (answer.status, set(answer.json["details"])) == (400, {"host"})


@pytest.mark.parametrize(
    "target",
    [
        "https://evil.com",
        "http://EVIL.com:8080/x?y",
        "https://very.much.evil.com/",
        "https://evil.com.",
        "https://\uff45vil.com/",  # full-width
    ],
)
async def test_no_link_leads_to_a_banned_host_by_whatever_way(api: Api, target: str):
    user_id = await api.user()
    trashed = await api.url(user_id, original_url=target)
    await api.delete(f"/urls/{trashed['id']}")
    url = await api.url(user_id)
    path = f"/urls/{url['id']}"
    await api.put("/banned-hosts/evil.com")

    refused = [
        (
            422,
            "original_url",
            await api.post("/urls", {"user_id": user_id, "original_url": target}),
        ),
        (400, "original_url", await api.put(path, {"original_url": target})),
        (400, "rules", await api.put(path, {"rules": [{"target": target}]})),
        (400, "expired_url", await api.put(path, {"expired_url": target})),
        (409, "original_url", await api.post(f"/urls/{trashed['id']}/restore")),
    ]

    for status, field, answer in refused:
        assert answer.status == status
        assert answer.json["details"] == {
            field: f"{field} must not lead to the banned host evil.com"
        }
    assert (await api.get("/urls")).json == [url]
    for fine in ("https://notevil.com/", "https://evil.com.example.com/"):
        assert (await api.put(path, {"original_url": fine})).status == 200


async def test_a_link_that_leads_there_goes_on_and_may_be_edited(api: Api):
    url = await api.url(await api.user(), original_url="https://evil.com/")
    await api.put("/banned-hosts/evil.com")

    edited = await api.put(f"/urls/{url['id']}", {"title": "T"})

    assert (edited.status, edited.json["is_active"]) == (200, True)


async def test_a_takedown_switches_off_every_link_to_the_host(
    api: Api, bus: Redis, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(takedown, "SCANNED_IDS", 3)
    monkeypatch.setattr(takedown, "CHANGED_AT_ONCE", 2)
    user_id = await api.user()
    bad = [
        await api.url(user_id, **fields)
        for fields in (
            {"original_url": "https://evil.com"},
            {"original_url": "http://sub.evil.com:81/x"},
            {"original_url": "https://evil.com?a"},
            {"rules": [{"target": "https://evil.com/x", "percent": 1}]},
            {"expired_url": "https://evil.com/x"},
            {"original_url": "https://sub.evil.com#x"},
        )
    ]
    good = [
        await api.url(user_id, original_url=target)
        for target in (
            "https://notevil.com/",
            "https://example.com/?u=https://evil.com/",
            "https://evil.com.example.com/",
            "https://evilxcom.example.com/",
        )
    ]
    await api.post(f"/urls/{bad[0]['id']}/aliases", {"short_code": "alias"})

    answer = await api.put("/banned-hosts/evil.com?takedown=true")
    again = await api.put("/banned-hosts/evil.com?takedown=true")

    assert (answer.json["links_stopped"], again.json["links_stopped"]) == (6, 0)
    active = {url["id"] for url in (await api.get("/urls?is_active=true")).json}
    assert active == {url["id"] for url in good}
    announced = await newest(bus)
    for code in [url["short_code"] for url in bad] + ["alias"]:
        assert announced[code].record.state == "inactive"
    history = (await api.get(f"/urls/{bad[0]['id']}/history")).json
    assert history[-1]["details"] == {"is_active": False}


async def test_of_a_ban_and_a_link_at_once_one_sees_the_other(api: Api):
    user_id = await api.user()
    for number in range(10):
        host = f"evil{number}.com"
        body = {"user_id": user_id, "original_url": f"https://{host}/"}

        asked = [api.post("/urls", body) for _ in range(4)]
        *links, ban = await asyncio.gather(*asked, api.put(f"/banned-hosts/{host}?takedown=true"))

        assert {link.status for link in links} <= {201, 422}
        assert ban.json["links_stopped"] == [link.status for link in links].count(201)
    assert (await api.get("/urls?is_active=true")).json == []


async def test_a_reserved_code_is_refused_in_whatever_case_by_whatever_way(api: Api):
    user_id = await api.user()
    has_it = await api.url(user_id, short_code="offers")
    other = await api.url(user_id)
    reserved = await api.put("/reserved-codes/Offers")
    await api.put("/reserved-codes/deals")

    refused: list[Any] = [
        await api.post("/urls", {"user_id": user_id, "original_url": FINE, "short_code": "DEALS"}),
        await api.post(f"/urls/{other['id']}/aliases", {"short_code": "deals"}),
        await api.put(f"/urls/{other['id']}", {"short_code": "Deals"}),
    ]

    assert (reserved.status, reserved.json["short_code"]) == (200, "offers")
    assert [answer.status for answer in refused] == [422, 422, 400]
    for answer in refused:
        assert answer.json["details"] == {"short_code": "short_code is a reserved word"}
    assert (await api.put(f"/urls/{has_it['id']}", {"title": "T"})).status == 200
    assert [each["short_code"] for each in (await api.get("/reserved-codes")).json] == [
        "offers",
        "deals",
    ]
    assert (await api.delete("/reserved-codes/DEALS")).status == 204
    assert (await api.delete("/reserved-codes/deals")).status == 404
    await api.url(user_id, short_code="deals")


async def test_a_generated_code_is_none_that_is_reserved(api: Api, monkeypatch: pytest.MonkeyPatch):
    codes = iter(["offers", "OFFERS", "abcdef"])
    monkeypatch.setattr("management.short_codes.generate", lambda: next(codes))
    await api.put("/reserved-codes/offers")

    url = await api.url(await api.user())

    assert url["short_code"] == "abcdef"


@pytest.mark.parametrize("code", ["ab", "a%20b", "x" * 65])
async def test_what_can_be_no_code_is_not_reserved(api: Api, code: str):
    answer = await api.put(f"/reserved-codes/{code}")

    assert (answer.status, set(answer.json["details"])) == (400, {"code"})


async def test_only_an_administrator_forbids(start: Start, database: str):
    async with start(auth="required") as api:
        world = World(api, await admin_key(database))
        await world.fill()
        for path in ("/banned-hosts", "/reserved-codes"):
            asks = [
                ("GET", path, 200),
                ("PUT", f"{path}/evil", 200),
                ("DELETE", f"{path}/evil", 204),
            ]
            for method, asked, status in asks:
                assert (await world.nobody.ask(method, asked)).status == 401
                assert (await world.owner.ask(method, asked)).status == 403
                assert (await world.admin.ask(method, asked)).status == status
        trail = (await world.admin.get("/admin/audit")).json
    assert [record["action"] for record in trail][-4:] == [
        "host.banned",
        "host.unbanned",
        "code.reserved",
        "code.freed",
    ]
    assert trail[-4]["details"] == {"host": "evil", "takedown": False}
