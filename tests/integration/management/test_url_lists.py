"""Lists of URLs: search, filters, orders; and the tags."""

import base64
import json
import re
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, urlencode

import pytest

from management import url_filters
from shared.postgres import Pool
from tests.integration.management.conftest import Api, Start
from tests.integration.management.test_auth import admin_key
from tests.integration.management.test_urls import KEYS

ROWS = [  # code, target, title, tags
    ("spring-sale", "https://shop.example.com/offers", "Spring offers", ["Mail", "2026"]),
    ("Handbook", "https://docs.example.com/hand-book?v=2", None, []),
    ("abc", "https://example.org/", "Überblick 東京タワー", ["mail", "straße"]),
    ("xyz", "https://example.org/100%25_off", "50% off_ 'quoted' \"all\" \\ here", []),
]


async def fill(api: Api, pool: Pool) -> None:
    user_id = await api.user()
    for code, target, title, tags in ROWS:
        await pool.execute(
            "INSERT INTO urls (short_code, user_id, original_url, title, tags) "
            "VALUES ($1, $2, $3, $4, $5)",
            *(code, user_id, target, title, tags),
        )


async def codes(api: Api, **query: Any) -> list[str]:
    answer = await api.get(f"/urls?{urlencode(query, doseq=True)}")
    assert answer.status == 200, answer.body
    return [url["short_code"] for url in answer.json]


@pytest.mark.parametrize(
    ("term", "found"),
    [
        ("SPRING-S", ["spring-sale"]),
        ("offers", ["spring-sale"]),
        ("dbo", ["Handbook"]),
        ("hand-book?v=2", ["Handbook"]),
        ("EXAMPLE.ORG", ["abc", "xyz"]),
        ("example", ["spring-sale", "Handbook", "abc", "xyz"]),
        ("überBLICK", ["abc"]),
        ("東京タ", ["abc"]),
        ("mail", ["spring-sale", "abc"]),
        ("STRASSE", []),
        ("straße", ["abc"]),
        ("  offers ", ["spring-sale"]),
        ("50% off_", ["xyz"]),
        ("25_off", ["xyz"]),
        ("_of_", []),
        ("'quoted' \"all\" \\ h", ["xyz"]),
        ("salehttps", []),  # not across two parts
        ("mail2026", []),
        ("nothing", []),
    ],
)
async def test_a_term_is_found_in_any_part_whatever_its_case(
    api: Api, pool: Pool, term: str, found: list[str]
):
    await fill(api, pool)

    assert await codes(api, q=term) == found


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({"tag": ["-mail"]}, ["spring-sale", "Handbook", "xyz"]),
        ({"tag": ["-mail", "-Mail"]}, ["Handbook", "xyz"]),
        ({"tag": ["mail", "-straße"]}, []),
        ({"tag": ["2026", "-straße"]}, ["spring-sale"]),
        ({"tag": ["- Mail"]}, ["Handbook", "abc", "xyz"]),
        ({"tag": ["mail", "Mail"]}, []),
        ({"tag": ["mail", "Mail"], "tags_mode": "all"}, []),
        ({"tag": ["mail", "Mail"], "tags_mode": "any"}, ["spring-sale", "abc"]),
        ({"tag": ["mail", "Mail", "-2026"], "tags_mode": "any"}, ["abc"]),
        ({"tags_mode": "any"}, ["spring-sale", "Handbook", "abc", "xyz"]),
    ],
    ids=str,
)
async def test_tags_are_excluded_and_any_of_several_is_enough_if_asked_for(
    api: Api, pool: Pool, query: dict[str, Any], found: list[str]
):
    await fill(api, pool)

    assert await codes(api, **query) == found
    counted = await api.get(f"/urls?{urlencode({**query, 'count': 'true'}, doseq=True)}")
    assert counted.headers["x-total-count"] == str(len(found))


@pytest.mark.parametrize("query", ["tag=-", "tag=-%00", "tags_mode=some"])
async def test_a_wrong_tag_to_exclude_or_mode_is_named(api: Api, query: str):
    answer = await api.get(f"/urls?{query}")

    assert answer.status == 400
    assert list(answer.json["details"]) == [query.partition("=")[0]]


async def test_a_search_sees_changes_at_once_and_no_trash(api: Api):
    url = await api.url(await api.user(), title="Winter")
    path = f"/urls/{url['id']}"

    assert await codes(api, q="winter") == [url["short_code"]]
    await api.put(path, {"title": "Summer"})
    assert await codes(api, q="winter") == []
    assert await codes(api, q="summer") == [url["short_code"]]
    await api.delete(path)
    assert await codes(api, q="summer") == []


async def test_trigrams_that_share_a_number_are_told_apart(api: Api):
    await api.url(await api.user(), title="abc")

    assert await codes(api, q="".join(chr(ord(letter) + 1024) for letter in "abc")) == []


@pytest.mark.parametrize("term", ["", "ab", "  a  ", "a\nb\nc", "\x00abc", "x" * 201])
async def test_a_term_too_short_or_strange_is_refused(api: Api, term: str):
    answer = await api.get(f"/urls?q={quote(term)}")

    assert answer.status == 400
    assert answer.error.startswith("q must")
    assert set(answer.json["details"]) == {"q"}


async def follow(api: Api, path: str) -> list[dict[str, Any]]:
    """Everything on the pages from `path` on."""
    rows: list[dict[str, Any]] = []
    for _ in range(100):
        answer = await api.get(path)
        assert answer.status == 200, answer.body
        rows += answer.json
        if "link" not in answer.headers:
            return rows
        match = re.fullmatch(r'<(.+)>; rel="next"', answer.headers["link"])
        assert match
        path = match[1]
        assert f"cursor={answer.headers['x-next-cursor']}" in path
    raise AssertionError("no end")


async def with_key(admin: Api, user_id: int) -> Api:
    answer = await admin.post(f"/users/{user_id}/keys", {"name": "test"})
    return Api(admin.port, answer.json["key"])


async def test_a_search_goes_on_by_id_and_keeps_to_its_owner(start: Start, database: str):
    async with start(auth="required") as nobody:
        admin = Api(nobody.port, await admin_key(database))
        ada, bob = await admin.user("ada"), await admin.user("bob")
        for number in range(7):
            await admin.url(ada if number % 2 else bob, title=f"Page {number}")
        owner = await with_key(admin, ada)

        everything = await follow(admin, "/urls?q=page&per_page=2")
        own = await follow(owner, "/urls?q=page&per_page=2")
        counted = await owner.get("/urls?q=page&per_page=2&count=true")

    assert [url["title"] for url in everything] == [f"Page {number}" for number in range(7)]
    assert [url["title"] for url in own] == ["Page 1", "Page 3", "Page 5"]
    assert counted.headers["x-total-count"] == "3"


@pytest.mark.parametrize("field", url_filters.ORDERS)
@pytest.mark.parametrize("sign", ["", "-"])
async def test_every_order_goes_on_where_a_page_ended(api: Api, pool: Pool, field: str, sign: str):
    user_id = await api.user()
    await pool.execute(
        "INSERT INTO urls (short_code, user_id, original_url, title, created_at, updated_at) "
        "SELECT 'code' || (n * 7 % 23), $1, 'https://example.com/', "
        "(ARRAY[NULL, 'beta', 'Alpha', 'ä'])[1 + n % 4], "
        "now() + n % 3 * interval '1.000001 second', now() + n % 5 * interval '1 day' "
        "FROM generate_series(1, 23) AS n",
        user_id,
    )
    await pool.execute(
        "UPDATE url_clicks SET clicks = url_id % 4 * 5, "
        "last_click_at = now() + url_id % 5 * interval '1.000001 second' WHERE url_id % 3 > 0"
    )

    rows = await follow(api, f"/urls?sort={sign}{field}&per_page=4")

    keys = [(sortable(row.get(field)), row["id"]) for row in rows]
    assert keys == sorted(keys, reverse=bool(sign))
    assert len({row["id"] for row in rows}) == 23


def sortable(value: Any) -> Any:
    return value if isinstance(value, int) else (value or "").lower()


async def test_clicks_are_told_where_they_are_asked_for(api: Api, pool: Pool):
    user_id = await api.user()
    rare, never, often = [(await api.url(user_id))["id"] for _ in range(3)]
    await pool.executemany(
        "UPDATE url_clicks SET clicks = $2, last_click_at = $3 WHERE url_id = $1",
        [(rare, 2, datetime(2026, 4, 4, tzinfo=UTC)), (often, 9, datetime(2026, 4, 3, tzinfo=UTC))],
    )
    told = {rare: (2, "2026-04-04T00:00:00"), never: (0, None), often: (9, "2026-04-03T00:00:00")}
    ways = {
        "/urls?include=clicks": [rare, never, often],
        "/urls?sort=-clicks": [often, rare, never],
        "/urls?sort=clicks&include=clicks": [never, rare, often],
        "/urls?sort=-last_click_at": [rare, often, never],
        "/urls?include=clicks&sort=-created_at": [often, never, rare],
        f"/urls?include=clicks&user_id={user_id}&status=active&q=example": [rare, never, often],
    }

    for path, order in ways.items():
        rows = (await api.get(path)).json
        assert [row["id"] for row in rows] == order, path
        assert {row["id"]: (row["clicks"], row.get("last_click_at")) for row in rows} == told
    for path in ("/urls", "/urls?sort=title"):
        assert all(list(row) == KEYS for row in (await api.get(path)).json)
    one = (await api.get(f"/urls/{rare}?include=clicks")).json
    assert (one["clicks"], one["last_click_at"]) == told[rare]
    assert list((await api.get(f"/urls/{rare}")).json) == KEYS


@pytest.mark.parametrize("path", ["/urls", "/urls/1"])
async def test_nothing_else_can_be_included(api: Api, path: str):
    await api.url(await api.user())

    answer = await api.get(f"{path}?include=visits")

    assert (answer.status, list(answer.json["details"])) == (400, ["include"])


async def test_a_link_that_moves_in_the_order_does_not_move_the_cursor(api: Api):
    user_id = await api.user()
    urls = [await api.url(user_id) for _ in range(4)]
    first = await api.get("/urls?sort=updated_at&per_page=2")
    await api.put(f"/urls/{urls[1]['id']}", {"title": "moved to the end"})

    cursor = first.headers["x-next-cursor"]
    rest = await api.get(f"/urls?sort=updated_at&per_page=5&cursor={cursor}")

    assert [url["id"] for url in rest.json] == [urls[n]["id"] for n in (2, 3, 1)]


def mark(*parts: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(parts).encode()).decode().rstrip("=")


@pytest.mark.parametrize(
    "query",
    [
        "sort=nothing",
        "sort=",
        "sort=id",
        "sort=--title",
        "sort=title&cursor=7",
        "sort=title&cursor=",
        "sort=title&cursor=%C3%BC",
        "sort=title&cursor=" + mark("title", "a\x00b", 1),
        "sort=title&cursor=" + mark("title", "a\ud800", 1),
        "sort=title&cursor=" + mark("title", "a"),
        "sort=title&cursor=" + mark("title", "a", 2**63),
        "sort=title&cursor=" + mark("-title", "a", 1),
        "sort=created_at&cursor=" + mark("created_at", "soon", 1),
        "sort=created_at&cursor=" + mark("created_at", "2026-01-01T00:00:00+01:00", 1),
        "sort=created_at&cursor=" + mark("created_at", None, 1),
        "sort=clicks&cursor=" + mark("clicks", 2**63, 1),
        "sort=clicks&cursor=" + mark("clicks", "7", 1),
        "sort=title&cursor=" + base64.urlsafe_b64encode(b'["title",' + b"[" * 3000).decode(),
        "sort=created_at&page_num=" + "A" * 5000,
        "cursor=" + mark("title", "a", 1),
    ],
)
async def test_a_wrong_order_or_cursor_is_refused(api: Api, query: str):
    answer = await api.get(f"/urls?{query}")

    assert answer.status == 400, answer.body
    assert set(answer.json["details"]) <= {"sort", "cursor", "page_num"}


async def filled_with_states(api: Api, pool: Pool) -> None:
    user_id = await api.user()
    await pool.execute(
        "INSERT INTO urls (id, short_code, user_id, original_url, is_active, starts_at, "
        "expires_at, max_clicks, password_hash, rules, tags, created_at) VALUES "
        "(101, 'plain', $1, '', true, NULL, NULL, NULL, NULL, NULL, '{}', '2026-01-01Z'), "
        "(102, 'off', $1, '', false, now() + interval '1 day', now() + interval '2 days', NULL, "
        "NULL, NULL, '{a}', '2026-02-01Z'), "
        "(103, 'past', $1, '', true, now() - interval '2 days', now() - interval '1 day', 1, "
        "NULL, NULL, '{a,b}', '2026-03-01Z'), "
        "(104, 'soon', $1, '', true, now() - interval '1 day', now() + interval '1 day', 5, "
        "'hash', NULL, '{b}', '2026-04-01Z'), "
        "(105, 'spent', $1, '', true, NULL, NULL, 5, 'hash', '[]', '{}', '2026-05-01Z'), "
        "(106, 'later', $1, '', true, now() + interval '1 day', NULL, 5, NULL, NULL, '{}', "
        "'2026-01-01Z')",
        user_id,
    )
    await pool.execute(
        "INSERT INTO clicks_hourly (url_id, hour, clicks) VALUES "
        "(105, '2026-06-01Z', 3), (105, '2026-06-02Z', 2), (104, '2026-06-01Z', 4), "
        "(103, '2026-06-01Z', 9), (106, '2026-06-01Z', 9)"
    )


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({"status": "active"}, ["plain", "soon"]),
        ({"status": "inactive"}, ["off"]),
        ({"status": "scheduled"}, ["later"]),
        ({"status": "expired"}, ["past"]),
        ({"status": "exhausted"}, ["spent"]),
        ({"has": "password"}, ["soon", "spent"]),
        ({"has": "rules"}, ["spent"]),
        ({"has": "expiry"}, ["off", "past", "soon"]),
        ({"has": ["password", "expiry"]}, ["soon"]),
        ({"tag": "a"}, ["off", "past"]),
        ({"tag": ["a", "b"]}, ["past"]),
        ({"tag": "A"}, []),
        ({"created_after": "2026-03-01T00:00:00"}, ["past", "soon", "spent"]),
        ({"created_before": "2026-03-01T00:00:00Z"}, ["plain", "off", "later"]),
        ({"created_after": "2026-03-01T01:00:00+02:00", "tag": "b"}, ["past", "soon"]),
        ({"created_after": "2026-02-01", "created_before": "2026-02-02"}, ["off"]),
        ({"is_active": "false", "has": "expiry", "sort": "-title"}, ["off"]),
        ({"status": "active", "sort": "-created_at"}, ["soon", "plain"]),
    ],
    ids=str,
)
async def test_a_filter_narrows_the_list(
    api: Api, pool: Pool, query: dict[str, Any], found: list[str]
):
    await filled_with_states(api, pool)

    assert await codes(api, **query) == found
    counted = await api.get(f"/urls?count=true&per_page=1&{urlencode(query, doseq=True)}")
    assert counted.headers["x-total-count"] == str(len(found))


async def test_no_more_is_counted_than_is_quick(
    api: Api, pool: Pool, monkeypatch: pytest.MonkeyPatch
):
    await filled_with_states(api, pool)
    monkeypatch.setattr(url_filters, "MAX_COUNTED", 4)

    assert (await api.get("/urls?count=true")).headers["x-total-count"] == "4+"
    assert (await api.get("/urls?count=true&tag=b")).headers["x-total-count"] == "2"
    assert "x-total-count" not in (await api.get("/urls?count=false")).headers


async def test_a_plus_sign_that_arrives_as_a_space_is_an_offset(api: Api, pool: Pool):
    await filled_with_states(api, pool)

    answer = await api.get("/urls?created_before=2026-02-01T01:00:00+01:00")

    assert [url["short_code"] for url in answer.json] == ["plain", "later"]


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("status=gone", "status"),
        ("status=", "status"),
        ("has=title", "has"),
        ("has=password&has=", "has"),
        ("tag=", "tag"),
        ("tag=%00", "tag"),
        ("tag=" + "x" * 51, "tag"),
        ("&".join(["tag=a"] * 21), "tag"),
        ("created_after=yesterday", "created_after"),
        ("created_before=0001-01-01T00:00:00%2B14:00", "created_before"),
        ("created_before=" + "2" * 50, "created_before"),
        ("count=yes", "count"),
    ],
)
async def test_a_wrong_filter_is_named(api: Api, query: str, name: str):
    answer = await api.get(f"/urls?{query}")

    assert answer.status == 400, answer.body
    assert answer.error.startswith(f"{name} must")
    assert set(answer.json["details"]) == {name}


async def test_tags_are_counted_by_owner_page_by_page(start: Start, database: str, pool: Pool):
    async with start(auth="required") as nobody:
        admin = Api(nobody.port, await admin_key(database))
        await filled_with_states(admin, pool)
        bob = await admin.user("bob")
        url = await admin.url(bob)
        await pool.execute("UPDATE urls SET tags = '{b,Ä}' WHERE id = $1", url["id"])
        owner = await with_key(admin, bob)

        everything = await follow(admin, "/tags?per_page=1")
        own = (await owner.get("/tags")).json
        wrong = await admin.get("/tags?cursor=")
        await admin.put(f"/urls/{url['id']}", {"archived": True})
        after = (await admin.get("/tags")).json

    assert everything == [
        {"name": "a", "urls": 2},
        {"name": "b", "urls": 3},
        {"name": "Ä", "urls": 1},
    ]
    assert own == [{"name": "b", "urls": 1}, {"name": "Ä", "urls": 1}]
    assert wrong.error == "cursor must not be empty"
    assert after == [{"name": "a", "urls": 2}, {"name": "b", "urls": 2}]


async def tags_of(api: Api) -> dict[str, list[str]]:
    return {url["short_code"]: url.get("tags", []) for url in (await api.get("/urls")).json}


async def test_a_tag_is_renamed_and_joined_with_one_that_is_there(api: Api, pool: Pool):
    await fill(api, pool)

    renamed = await api.ask("PATCH", "/tags/Mail", {"name": " mail "})
    await api.put("/urls/1", {"title": "T", "tags": ["mail", "2026", "new"]})
    joined = await api.ask("PATCH", "/tags/2026", {"name": "new"})

    assert renamed.json == {"changed": 1, "left": 0}
    assert joined.json == {"changed": 1, "left": 0}
    assert await tags_of(api) == {
        "spring-sale": ["mail", "new"], "Handbook": [], "abc": ["mail", "straße"], "xyz": [],
    }  # fmt: skip
    last = (await api.get("/urls/1/history")).json[-1]
    assert (last["event_type"], last["details"]) == ("updated", {"tags": ["mail", "new"]})


async def test_a_tag_is_taken_off_archived_links_too_and_not_off_the_trash(api: Api, pool: Pool):
    await fill(api, pool)
    await api.put("/urls/3", {"archived": True})
    await pool.execute("UPDATE urls SET tags = '{mail}', deleted_at = now() WHERE id = 4")
    path = f"/tags/{quote('straße')}"

    gone = await api.delete(path)
    again = await api.delete(path)

    assert gone.json == {"changed": 1, "left": 0}
    assert (again.status, again.error) == (404, "Tag not found")
    assert (await api.get("/urls/3")).json["tags"] == ["mail"]
    assert (await api.delete("/tags/mail")).json == {"changed": 1, "left": 0}
    assert await pool.fetchval("SELECT tags FROM urls WHERE id = 4") == ["mail"]


async def test_a_tag_of_more_links_than_one_call_changes_is_said_to_be_left(
    api: Api, pool: Pool, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("management.tag_changes.MAX_LINKS", 2)
    await fill(api, pool)
    await pool.execute("UPDATE urls SET tags = '{all}'")

    answers = [(await api.ask("PATCH", "/tags/all", {"name": "some"})).json for _ in range(2)]

    assert answers == [{"changed": 2, "left": 2}, {"changed": 2, "left": 0}]
    assert set(await codes(api, tag="some")) == {row[0] for row in ROWS}


@pytest.mark.parametrize("name", ["", 1, None, "x" * 51, "a\u0000b", "Mail", " Mail "])
async def test_a_wrong_new_name_of_a_tag_is_said(api: Api, pool: Pool, name: Any):
    await fill(api, pool)

    answer = await api.ask("PATCH", "/tags/Mail", {"name": name})

    assert answer.status == 400
    assert list(answer.json["details"]) == ["name"]
