"""Lists of the `urls` table: narrowed, searched, in the order asked for, and counted."""

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from management import url_repository
from management.orders import DESCENDING, Mark
from management.pages import Page
from management.url_filters import EXCLUDED
from management.url_repository import Url
from shared.postgres import Connection

_LIVE = "deleted_at IS NULL"
_SCHEDULED = "(starts_at IS NOT NULL AND starts_at > now())"
_EXPIRED = "(expires_at IS NOT NULL AND expires_at <= now())"
_EXHAUSTED = """
    (max_clicks IS NOT NULL AND max_clicks <= (
        SELECT coalesce(sum(clicks), 0) FROM clicks_hourly WHERE url_id = urls.id))
"""
# One of them is true of each link: what the redirector looks at first comes first.
_STATUSES = {
    "inactive": "NOT is_active",
    "scheduled": f"is_active AND {_SCHEDULED}",
    "expired": f"is_active AND {_EXPIRED}",  # it has begun, then
    "exhausted": f"is_active AND NOT {_SCHEDULED} AND NOT {_EXPIRED} AND {_EXHAUSTED}",
    "active": f"is_active AND NOT {_SCHEDULED} AND NOT {_EXPIRED} AND NOT {_EXHAUSTED}",
}
_FEATURES = {
    "password": "password_hash IS NOT NULL",
    "rules": "rules IS NOT NULL",
    "expiry": "expires_at IS NOT NULL",
}
_ARCHIVED = {"false": "archived_at IS NULL", "true": "archived_at IS NOT NULL", "all": "true"}
_SEARCHED = "link_search_text(short_code, original_url, title, tags)"
_TERM = """lower({p}::text COLLATE "pg_c_utf8")"""
# Each takes its value as the parameter {p}.
_FILTERS = {
    "user_id": "user_id = {p}",
    "is_active": "is_active = {p}",
    "short_code": """
        id IN (SELECT id FROM urls WHERE domain_id = 1 AND short_code = {p}
               UNION ALL
               SELECT url_id FROM url_aliases WHERE domain_id = 1 AND short_code = {p})
    """,
    "q": f"trigrams({_SEARCHED}) @> trigrams({_TERM}) AND strpos({_SEARCHED}, {_TERM}) > 0",
    "tags_all": "tags <> '{{}}' AND tags @> {p}::text[]",
    "tags_any": "tags <> '{{}}' AND tags && {p}::text[]",
    "tags_none": "NOT tags && {p}::text[]",
    "created_after": "created_at >= {p}",
    "created_before": "created_at < {p}",
}
# These are of a closed set, and each has an index that a parameter would hide.
_CHOICES: dict[str, Callable[[Any], str]] = {
    "status": lambda value: _STATUSES[value],
    "has": lambda values: " AND ".join(_FEATURES[value] for value in values),
    "archived": lambda value: _ARCHIVED[value],
}


class _Key(msgspec.Struct, frozen=True):
    """What an index is of, with the id; and a cursor's value like it."""

    column: str
    value: str
    id: str = "id"

    @property
    def is_of_clicks(self) -> bool:
        """Whether the index is that of another table."""
        return self.id != "id"


_MOMENT = "{p}::timestamp AT TIME ZONE 'UTC'"
_BY_ID = _Key("id", "{p}")
# A bare `created_at` or `last_click_at` would be the one shown.
_ORDERS = {
    "created_at": _Key("urls.created_at", _MOMENT),
    "updated_at": _Key("urls.updated_at", _MOMENT),
    "short_code": _Key("short_code", "{p}::text"),
    "title": _Key('link_sort_title(title) COLLATE "C"', "link_sort_title({p}::text)"),
    "clicks": _Key("url_clicks.clicks", "{p}::bigint", "url_clicks.url_id"),
    "last_click_at": _Key(
        "url_clicks.last_click_at", f"coalesce({_MOMENT}, '-infinity')", "url_clicks.url_id"
    ),
}


class _Conditions:
    """A WHERE clause and its arguments, made of what is asked for and no more.

    "$1 IS NULL OR …" would hide the index of each condition.
    """

    def __init__(self, filters: Mapping[str, Any], owner: int | None) -> None:
        self.arguments: list[Any] = []
        self._terms = [_LIVE]
        for name, value in ({"archived": "false"} | _with_tags(filters)).items():
            if name in _CHOICES:
                self._terms.append(_CHOICES[name](value))
            else:
                self.add(_FILTERS[name], value)
        if owner is not None:
            self.add(_FILTERS["user_id"], owner)

    def add(self, term: str, value: object) -> None:
        """Ask for `term`, whose parameter is `value`."""
        self._terms.append(term.format(p=self.parameter(value)))

    def add_mark(self, mark: Mark, key: _Key) -> None:
        """Ask for what comes after `mark`."""
        given = key.value.format(p=self.parameter(mark.value))
        side = "<" if mark.order.startswith(DESCENDING) else ">"
        place = f"({given}, {self.parameter(mark.id)})"
        self._terms.append(f"({key.column}, {key.id}) {side} {place}")

    def parameter(self, value: object) -> str:
        """Return the place of a value."""
        self.arguments.append(value)
        return f"${len(self.arguments)}"

    def __str__(self) -> str:
        return " AND ".join(self._terms)


def _with_tags(filters: Mapping[str, Any]) -> dict[str, Any]:
    """Return the filters, `tag` and `tags_mode` told apart by what they ask of the column."""
    others = dict(filters)
    mode, tags = others.pop("tags_mode", "all"), others.pop("tag", [])
    wanted = [each for each in tags if not each.startswith(EXCLUDED)]
    excluded = [each.removeprefix(EXCLUDED) for each in tags if each.startswith(EXCLUDED)]
    if wanted:
        others[f"tags_{mode}"] = wanted
    if excluded:
        others["tags_none"] = excluded
    return others


async def find_page(
    connection: Connection,
    page: Page,
    filters: Mapping[str, Any],
    owner: int | None,
    *,
    with_clicks: bool = False,
) -> list[Url]:
    """Return the page's URLs, of `owner` if given, and one more where there is a next page.

    The filter `archived` is `true`, `false` or `all`; without it archived ones are left out. In an
    order by clicks they are told, too, without `with_clicks`.
    """
    conditions = _Conditions(filters, owner)
    key = _BY_ID
    if page.order is None:
        conditions.add("id > {p}", page.after)
        order = "id"
    else:
        key = _ORDERS[page.order.field]
        if page.mark is not None:
            conditions.add_mark(page.mark, key)
        direction = " DESC" if page.order.is_descending else ""
        order = f"{key.column}{direction}, {key.id}{direction}"
    limit, offset = conditions.parameter(page.limit + 1), conditions.parameter(page.offset)
    join = "JOIN url_clicks ON url_clicks.url_id = urls.id" if key.is_of_clicks else ""
    clauses = f"{join} WHERE {conditions} ORDER BY {order} LIMIT {limit} OFFSET {offset}"
    select = (
        url_repository.select_with_clicks
        if with_clicks or key.is_of_clicks
        else url_repository.select
    )
    return await select(connection, clauses, *conditions.arguments)


async def count(
    connection: Connection, filters: Mapping[str, Any], owner: int | None, limit: int
) -> int:
    """Return how many URLs there are, of `owner` if given, but count no further than `limit`."""
    conditions = _Conditions(filters, owner)
    query = f"""
        SELECT count(*) FROM (
            SELECT FROM urls WHERE {conditions} LIMIT {conditions.parameter(limit)}
        ) AS counted
    """  # noqa: S608 - of the fixed texts above; every value is a parameter
    return int(await connection.fetchval(query, *conditions.arguments))
