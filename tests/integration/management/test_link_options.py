"""What an owner may set of a link, from the request to the row, the event and the announcement."""

import logging
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from argon2 import PasswordHasher
from redis.asyncio import Redis

from redirector import link_repository
from shared.events import Rule
from shared.postgres import Pool
from tests.integration.management.conftest import Api
from tests.integration.management.test_urls import KEYS, changes_on

OTHER = "https://example.com/other"
SECRET = "open sesame"
RULES = [{"target": OTHER, "devices": ["mobile"], "countries": ["de"], "percent": 50}]
OPTIONS: dict[str, Any] = {
    "starts_at": "2998-01-01T00:00:00",
    "expires_at": "2999-01-01T00:00:00",
    "expired_url": "https://example.com/over",
    "max_clicks": 7,
    "redirect_type": 307,
    "cache_seconds": 0,
    "forward_query": True,
    "tags": ["spring", "mail"],
    "notes": "first line\nsecond",
    "rules": RULES,
    "archived": True,
}
NOTHING: dict[str, Any] = {
    "starts_at": None,
    "expires_at": None,
    "expired_url": None,
    "max_clicks": None,
    "password": None,
    "redirect_type": None,
    "cache_seconds": None,
    "forward_query": False,
    "tags": [],
    "notes": "",
    "rules": None,
    "archived": False,
}


@pytest.mark.parametrize("way", ["created so", "changed"])
async def test_options_are_shown_where_set_and_gone_when_taken_back(api: Api, way: str):
    given = {**OPTIONS, "password": SECRET}
    user_id = await api.user()
    if way == "created so":
        url = await api.url(user_id, **given)
    else:
        plain = await api.url(user_id)
        assert list(plain) == KEYS
        url = (await api.put(f"/urls/{plain['id']}", given)).json
    path = f"/urls/{url['id']}"

    assert {name: url[name] for name in url if name not in KEYS} == {
        **OPTIONS,
        "has_password": True,
    }
    assert (await api.get(path)).json == url
    assert list((await api.put(path, NOTHING)).json) == KEYS


async def test_what_is_announced_is_what_redirectors_read(api: Api, bus: Redis, pool: Pool):
    url = await api.url(await api.user())
    await api.put(f"/urls/{url['id']}", {**OPTIONS, "password": SECRET})

    announced = max(await changes_on(bus), key=lambda change: change.record.version).record
    row = await link_repository.find(pool, 1, url["short_code"])
    for record in (announced, row):
        assert record.starts_at == datetime(2998, 1, 1, tzinfo=UTC).timestamp()
        assert record.expires_at == datetime(2999, 1, 1, tzinfo=UTC).timestamp()
        assert record.expired_target == "https://example.com/over"
        assert (record.max_clicks, record.redirect_status, record.cache_seconds) == (7, 307, 0)
        assert record.forward_query
        assert record.rules == (
            Rule(target=OTHER, devices=("mobile",), countries=("de",), percent=50),
        )
        assert record.password_hash is not None
        assert record.password_hash.startswith("$argon2id$")
        assert PasswordHasher().verify(record.password_hash, SECRET)
    assert announced.version == row.version


async def test_an_event_tells_what_changed_and_never_the_password(
    api: Api, caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.DEBUG)
    url = await api.url(await api.user(), password=SECRET)
    path = f"/urls/{url['id']}"
    await api.put(path, {**OPTIONS, "password": SECRET})
    await api.put(path, {**OPTIONS, "password": None})
    await api.put(path, OPTIONS)

    answer = await api.get(f"/events?url_id={url['id']}")
    details = [event["details"] for event in answer.json]
    assert details == [
        {"short_code": url["short_code"], "original_url": url["original_url"]},
        {**OPTIONS, "has_password": True},
        {"has_password": False},
    ]
    assert SECRET not in caplog.text
    assert b"argon2" not in answer.body


async def test_a_link_may_be_ended_in_the_past_only_by_an_edit(api: Api):
    user_id = await api.user()
    past = (datetime.now(UTC) - timedelta(days=1)).isoformat()
    body = {"user_id": user_id, "original_url": OTHER, "expires_at": past}
    refused = await api.post("/urls", body)
    url = await api.url(user_id, expires_at="2999-01-01T02:00:00+02:00")

    ended = await api.put(f"/urls/{url['id']}", {"expires_at": past})

    assert (refused.status, set(refused.json["details"])) == (422, {"expires_at"})
    assert url["expires_at"] == "2999-01-01T00:00:00"
    assert ended.json["expires_at"] == past.removesuffix("+00:00")


async def test_a_link_begins_before_it_ends(api: Api):
    early, late = "2998-01-01T00:00:00", "2999-01-01T00:00:00"
    wrong = {"starts_at": "starts_at must be before expires_at"}
    user_id = await api.user()
    body = {"user_id": user_id, "original_url": OTHER}
    created = await api.post("/urls", {**body, "starts_at": late, "expires_at": late})
    url = await api.url(user_id, starts_at=early, expires_at=late)
    path = f"/urls/{url['id']}"

    changed = [
        await api.put(path, {"starts_at": late}),
        await api.put(path, {"expires_at": early}),
        await api.put(path, {"starts_at": "2999-01-01T01:00:00+00:30"}),
    ]

    assert (created.status, created.json["details"]) == (422, wrong)
    assert [(answer.status, answer.json["details"]) for answer in changed] == [(400, wrong)] * 3
    assert (await api.get(path)).json == url
    moved = await api.put(path, {"starts_at": late, "expires_at": None})
    assert (moved.json["starts_at"], "expires_at" in moved.json) == (late, False)


async def test_a_link_may_have_begun_long_ago(api: Api):
    url = await api.url(await api.user(), starts_at="2001-01-01")

    assert url["starts_at"] == "2001-01-01T00:00:00"


async def test_tags_are_trimmed_and_said_once(api: Api):
    url = await api.url(await api.user(), tags=[" spring ", "mail", "spring"])

    assert url["tags"] == ["spring", "mail"]


async def test_conditions_are_kept_in_lower_case(api: Api):
    rule = {"target": OTHER, "systems": ["iOS"], "languages": ["de-AT"], "countries": ["AT"]}
    url = await api.url(await api.user(), rules=[rule])

    assert url["rules"] == [
        {"target": OTHER, "systems": ["ios"], "languages": ["de-at"], "countries": ["at"]}
    ]


def rule(**fields: Any) -> dict[str, Any]:
    return {"rules": [{"target": OTHER, **fields}]}


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"expires_at": "tomorrow"}, "must be an ISO 8601 time"),
        ({"expires_at": "0001-01-01T00:00:00+10:00"}, "must be an ISO 8601 time"),
        ({"expires_at": 5}, "must be"),
        ({"starts_at": "soon"}, "must be an ISO 8601 time"),
        ({"starts_at": 5}, "must be"),
        ({"expired_url": "javascript:alert(1)"}, "must"),
        ({"expired_url": "http://127.0.0.1/"}, "must name a host"),
        ({"expired_url": ""}, "must be 1 to 2048 characters"),
        ({"max_clicks": 0}, "must be between 1 and"),
        ({"max_clicks": True}, "must be an integer"),
        ({"password": ""}, "must not be empty"),
        ({"password": "x" * 201}, "must not be longer than 200 characters"),
        ({"password": 5}, "must be a string"),
        ({"redirect_type": 303}, "must be one of 301, 302, 307, 308"),
        ({"redirect_type": "301"}, "must be one of"),
        ({"cache_seconds": -1}, "must be between 0 and 31536000"),
        ({"forward_query": 1}, "must be true or false"),
        ({"archived": None}, "must be true or false"),
        ({"tags": "spring"}, "must be a list"),
        ({"tags": ["a", " "]}, "item 2 must not be empty"),
        ({"tags": ["a"] * 31}, "must not have more than 30 items"),
        ({"notes": "a\x00"}, "must not contain control characters"),
        ({"notes": "a" * 2001}, "must not be longer than 2000 characters"),
        ({"rules": [5]}, "item 1 must be an object"),
        ({"rules": [{}]}, "item 1 has no target"),
        (rule(target="http://127.0.0.1/"), "item 1 target must name a host"),
        (rule(target="https://localhost/"), "item 1 target must"),
        (rule(device=["mobile"]), "item 1 has 'device', which is none of target, devices"),
        (rule(devices=["phone"]), "item 1 devices item 1 must be one of desktop, mobile"),
        (rule(languages=["deutsch-de-at-!"]), "item 1 languages item 1 must be like de-at"),
        (rule(countries=["deu"]), "item 1 countries item 1 must be like de"),
        (rule(countries=None), "item 1 countries must be a list"),
        (rule(percent=0), "item 1 percent must be between 1 and 100"),
        (rule(percent=101), "item 1 percent must be between 1 and 100"),
        ({"rules": [{"target": OTHER}] * 21}, "must not have more than 20 items"),
    ],
)
async def test_a_wrong_option_is_named_and_nothing_is_stored(
    api: Api, options: dict[str, Any], says: str
):
    user_id = await api.user()
    url = await api.url(user_id)
    (name,) = options

    created = await api.post("/urls", {"user_id": user_id, "original_url": OTHER, **options})
    changed = await api.put(f"/urls/{url['id']}", options)

    assert (created.status, changed.status) == (422, 400)
    for answer in (created, changed):
        assert set(answer.json["details"]) == {name}
        assert says in answer.json["details"][name]
    assert (await api.get("/urls?archived=all")).json == [url]


async def test_nothing_else_leads_to_our_own_host(api: Api):
    url = await api.url(await api.user())
    ours = "https://sho.example.com/x"
    for name, value in {"rules": [{"target": ours}], "expired_url": ours}.items():
        answer = await api.put(
            f"/urls/{url['id']}", {name: value}, headers={"Host": "sho.example.com:8080"}
        )

        assert answer.status == 400
        assert "itself" in answer.json["details"][name]


async def test_archived_links_are_left_out_of_lists_unless_asked_for(api: Api):
    user_id = await api.user()
    kept = await api.url(user_id)
    put_away = await api.url(user_id)
    await api.put(f"/urls/{put_away['id']}", {"archived": True})

    async def ids(query: str) -> list[int]:
        return [url["id"] for url in (await api.get(f"/urls{query}")).json]

    assert await ids("") == [kept["id"]]
    assert await ids("?archived=false") == [kept["id"]]
    assert await ids(f"?archived=true&user_id={user_id}") == [put_away["id"]]
    assert await ids("?archived=all") == [kept["id"], put_away["id"]]
    assert (await api.get("/urls?archived=maybe")).status == 400
    assert (await api.get(f"/urls/{put_away['id']}")).json["archived"] is True
